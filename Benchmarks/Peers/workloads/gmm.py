"""Gaussian mixtures by amortized population Gibbs sampling: 20 sets of 60 points, three clusters each, and five sweeps.

The target is that of the reference's example, mended: points choose among three clusters, not four, and a mean's density is that of
its own set, not the sum over all sets and particles. The example's random order of points, which nothing depends on, is left out.
"""

from . import _gibbs

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from flax import linen as nn
from numpyro.ops.indexing import Vindex

CLUSTERS, SETS, BATCH, POINTS, SWEEPS = 3, 20_000, 20, 60, 5


def data():
    tau_key, mean_key, cluster_key, noise_key = jax.random.split(jax.random.PRNGKey(1), 4)
    tau = jax.random.gamma(tau_key, 2, (SETS, CLUSTERS, 2)) / 2
    mean = jax.random.normal(mean_key, tau.shape) / jnp.sqrt(0.1 * tau)
    cluster = jax.random.randint(cluster_key, (SETS, POINTS, 1), 0, CLUSTERS)
    noise = jax.random.normal(noise_key, (SETS, POINTS, 2))
    return jnp.take_along_axis(mean, cluster, axis=1) + noise / jnp.sqrt(jnp.take_along_axis(tau, cluster, axis=1))


class Components(nn.Module):
    """From points to what Normal-Gamma distributions of the clusters' precisions and means they tell."""

    @nn.compact
    def __call__(self, x):
        statistic = nn.Dense(2)(x)[..., None, :]
        share = nn.softmax(nn.Dense(CLUSTERS)(x), axis=-1)[..., None]
        count = share.sum(axis=-3)
        total, squares = (share * statistic).sum(axis=-3), (share * statistic**2).sum(axis=-3)
        shift = 0.1 * count / (0.1 + count) * (total / count) ** 2
        rate = 2 + 0.5 * (squares - total**2 / count + shift)
        return 2 + 0.5 * count, rate, total / (0.1 + count), 0.1 + count


class Clusters(nn.Module):
    """From a point and a cluster's mean and precision to a logit."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(nn.tanh(nn.Dense(32)(x)))[..., 0]


NETWORKS = {"initial_components": (Components(), (POINTS, 2)), "components": (Components(), (POINTS, 2 + CLUSTERS)),
            "clusters": (Clusters(), (6,))}


def target(x):
    tau = numpyro.sample("tau", dist.Gamma(2, 2).expand((CLUSTERS, 2)).to_event(2))
    mean = numpyro.sample("mean", dist.Normal(0, 1 / jnp.sqrt(0.1 * tau)).to_event(2))
    with numpyro.plate("point", POINTS, dim=-1):
        c = numpyro.sample("c", dist.Categorical(logits=jnp.zeros(CLUSTERS)))
        scale = 1 / jnp.sqrt(Vindex(tau)[..., c, :])
        numpyro.sample("x", dist.Normal(Vindex(mean)[..., c, :], scale).to_event(1), obs=x)
    return ({"x": x, "mean": mean, "tau": tau, "c": c},)


def programs(apply):
    def propose_components(state):
        if not isinstance(state, dict):  # the first time there are only points
            state = {"x": state}
            posterior = apply("initial_components", state["x"])
        else:
            known = jax.nn.one_hot(state["c"], CLUSTERS)
            x = jnp.broadcast_to(state["x"], (*known.shape[:-1], 2))
            posterior = apply("components", jnp.concatenate([x, known], axis=-1))
        concentration, rate, center, count = (number[..., None, :, :] for number in posterior)
        tau = numpyro.sample("tau", dist.Gamma(concentration, rate).to_event(2))
        mean = numpyro.sample("mean", dist.Normal(center, 1 / jnp.sqrt(tau * count)).to_event(2))
        return ({**state, "mean": mean, "tau": tau},)

    def propose_clusters(state):
        pairs = jnp.broadcast_arrays(state["x"][..., None, :], state["mean"], state["tau"])
        logits = apply("clusters", jnp.concatenate(pairs, axis=-1))
        with numpyro.plate("point", POINTS, dim=-1):
            c = numpyro.sample("c", dist.Categorical(logits=logits))
        return ({**state, "c": c},)

    return target, [propose_components, propose_clusters]


def train(particles):
    return _gibbs.steps(programs, NETWORKS, data(), batch=BATCH, particle_count=particles, sweeps=SWEEPS, dim=-3)
