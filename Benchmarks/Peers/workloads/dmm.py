"""Ring-shaped mixtures by amortized population Gibbs sampling: 20 sets of 40 points, four rings each, and five sweeps.

The reference's example has 200 points. Its random order of points, which nothing depends on, is left out.
"""

from . import _gibbs

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from flax import linen as nn
from numpyro.ops.indexing import Vindex

CLUSTERS, SETS, BATCH, POINTS, SWEEPS = 4, 20_000, 20, 40, 5


def data():
    """Two rounds of even steps on each ring."""
    center_key, start_key, noise_key = jax.random.split(jax.random.PRNGKey(1), 3)
    steps = POINTS // (2 * CLUSTERS)
    step = 2 * jnp.pi / steps
    centers = 3 * jax.random.normal(center_key, (SETS, 1, CLUSTERS, 2))
    starts = step * jax.random.uniform(start_key, (SETS, 1, 2, CLUSTERS))
    angles = (step * jnp.arange(steps)[:, None, None] + starts).reshape(SETS, -1, CLUSTERS)
    rings = centers + jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=-1)
    return (rings + 0.1 * jax.random.normal(noise_key, rings.shape)).reshape(SETS, POINTS, 2)


def perceptron(x, hidden, outputs, activation=nn.tanh):
    """One hidden layer; to be called within a compact module."""
    return nn.Dense(outputs)(activation(nn.Dense(hidden)(x)))


def hidden_halves(x):
    """Two parts of a hidden layer."""
    return jnp.split(nn.tanh(nn.Dense(2 * 32)(x)), 2, axis=-1)


class Centers(nn.Module):
    """From points to location and scale of the rings' centers."""

    @nn.compact
    def __call__(self, x):
        features = perceptron(x, 32, 8)[..., None, :]
        share = nn.softmax(perceptron(x, 32, CLUSTERS), axis=-1)[..., None]
        means = (features * share).sum(axis=-3) / share.sum(axis=-3)
        prior = jnp.broadcast_to(jnp.array([0.0, 0, 10, 10]), (*means.shape[:-1], 4))
        for_location, for_scale = hidden_halves(jnp.concatenate([means, prior], axis=-1))
        return nn.Dense(2)(for_location), jnp.exp(0.5 * nn.Dense(2)(for_scale))


class Clusters(nn.Module):
    """From the way from a center to a point to a logit."""

    @nn.compact
    def __call__(self, way):
        return perceptron(way, 32, 1, nn.relu)[..., 0]


class Places(nn.Module):
    """From the way from its center to a point to the two concentrations of its place."""

    @nn.compact
    def __call__(self, way):
        return tuple(jnp.exp(nn.Dense(1)(half)[..., 0]) for half in hidden_halves(way))


class Ring(nn.Module):
    """From a place to a direction."""

    @nn.compact
    def __call__(self, h):
        direction = perceptron(h[..., None], 32, 2)
        return direction / jnp.linalg.norm(direction, axis=-1, keepdims=True)


NETWORKS = {"initial_centers": (Centers(), (POINTS, 2)), "centers": (Centers(), (POINTS, 2 + CLUSTERS + 1)),
            "clusters": (Clusters(), (2,)), "places": (Places(), (2,)), "ring": (Ring(), ())}


def programs(apply):
    def target(x):
        mu = numpyro.sample("mu", dist.Normal(0, 10).expand((CLUSTERS, 2)).to_event(2))
        with numpyro.plate("point", POINTS, dim=-1):
            c = numpyro.sample("c", dist.Categorical(logits=jnp.zeros(CLUSTERS)))
            h = numpyro.sample("h", dist.Beta(1, 1))
            numpyro.sample("x", dist.Normal(Vindex(mu)[..., c, :] + apply("ring", h), 0.1).to_event(1), obs=x)
        return ({"x": x, "mu": mu, "c": c, "h": h},)

    def propose_centers(state):
        if not isinstance(state, dict):  # the first time there are only points
            state = {"x": state}
            location, scale = apply("initial_centers", state["x"])
        else:
            x = jnp.broadcast_to(state["x"], (*state["h"].shape, 2))
            known = [x, jax.nn.one_hot(state["c"], CLUSTERS), state["h"][..., None]]
            location, scale = apply("centers", jnp.concatenate(known, axis=-1))
        normal = dist.Normal(location[..., None, :, :], scale[..., None, :, :])
        return ({**state, "mu": numpyro.sample("mu", normal.to_event(2))},)

    def propose_points(state):
        x, mu = state["x"], state["mu"]
        with numpyro.plate("point", POINTS, dim=-1):
            c = numpyro.sample("c", dist.Categorical(logits=apply("clusters", x[..., None, :] - mu)))
            h = numpyro.sample("h", dist.Beta(*apply("places", x - Vindex(mu)[..., c, :])))
        return ({**state, "c": c, "h": h},)

    return target, [propose_centers, propose_points]


def train(particles):
    return _gibbs.steps(programs, NETWORKS, data(), batch=BATCH, particle_count=particles, sweeps=SWEEPS, dim=-3)
