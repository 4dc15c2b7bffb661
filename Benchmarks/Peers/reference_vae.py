"""The VAE of coix's first tutorial on the reference: programs, networks and the jitted functions that vae.py times."""

import os
import sys
from pathlib import Path

if checkout := os.environ.get("COIX_REFERENCE"):
    if not (Path(checkout) / "coix" / "__init__.py").is_file():
        sys.exit(f"COIX_REFERENCE={checkout}: no package `coix` in that folder")
    sys.path.insert(0, checkout)

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from flax import linen as nn

try:
    import coix
except ModuleNotFoundError as error:
    sys.exit(f"{error}: install it from requirements-coix.txt, or name a checkout by COIX_REFERENCE")

coix.set_backend("coix.numpyro")

TRAINING_POINTS = 10_000


class MLP(nn.Module):
    """2 -> 32 -> relu -> 2."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(32)(x))
        return nn.Dense(2)(x)


network = MLP()


def prior(params, x):
    z = numpyro.sample("z", dist.Normal(0, 1).expand((2,)).to_event(1))
    return params, z, x


def decoder(params, z, x):
    mean = network.apply(params["decoder"], z)
    numpyro.sample("x", dist.Normal(mean, 1.0).to_event(1), obs=x)
    return mean


def encoder(params, x):
    mean = network.apply(params["encoder"], x)
    return numpyro.sample("z", dist.Normal(mean, 0.01).to_event(1))


def inference(particles, loss=None):
    """The inference program: row i of the data goes to particle i."""

    def plated(program):
        return numpyro.plate("particle", particles, dim=-1)(program)

    return coix.propose(plated(coix.compose(decoder, prior, suffix=False)), plated(encoder), loss_fn=loss)


def initial_parameters(seed=0):
    encoder_key, decoder_key = jax.random.split(jax.random.PRNGKey(seed))
    point = jnp.zeros(2)
    return {"encoder": network.init(encoder_key, point), "decoder": network.init(decoder_key, point)}


def two_moons(count, noise=0.1, seed=0):
    """`count` points on two interleaved half circles with Gaussian noise, in random order."""
    generator = np.random.default_rng(seed)
    outer, inner = np.linspace(0, np.pi, count // 2), np.linspace(0, np.pi, count - count // 2)
    points = np.concatenate([
        np.stack([np.cos(outer), np.sin(outer)], axis=1),
        np.stack([1 - np.cos(inner), 0.5 - np.sin(inner)], axis=1),
    ])
    generator.shuffle(points)
    return jnp.asarray(points + noise * generator.standard_normal(points.shape), jnp.float32)


def forward(particles):
    """A closure that evaluates the inference program once and gives its metrics."""
    program = inference(particles)
    params, data, key = initial_parameters(), two_moons(particles), jax.random.PRNGKey(0)

    @jax.jit
    def evaluate(key, params, data):
        metrics = coix.traced_evaluate(program, seed=key)(params, data)[2]
        return {name: metrics[name] for name in ("log_weight", "ess", "log_Z")}

    return lambda: evaluate(key, params, data)


def _value_and_gradient(particles):
    program = inference(particles, coix.loss.elbo_loss)

    def loss(params, key, data):
        return coix.traced_evaluate(program, seed=key)(params, data)[2]["loss"]

    return jax.value_and_grad(loss)


def gradient(particles):
    """A closure that gives the ELBO loss and its gradient by both networks' parameters."""
    value_and_gradient = jax.jit(_value_and_gradient(particles))
    params, data, key = initial_parameters(), two_moons(particles), jax.random.PRNGKey(0)
    return lambda: value_and_gradient(params, key, data)


def train(batch):
    """A closure that takes the next training step and gives its loss."""
    value_and_gradient = _value_and_gradient(batch)
    optimizer = optax.adam(1e-2)

    def step(number, params, optimizer_state, key, data):
        batch_key, loss_key = jax.random.split(jax.random.fold_in(key, number))
        rows = jax.random.choice(batch_key, data, (batch,))
        loss, gradients = value_and_gradient(params, loss_key, rows)
        updates, optimizer_state = optimizer.update(gradients, optimizer_state)
        return loss, optax.apply_updates(params, updates), optimizer_state

    step = jax.jit(step, donate_argnums=(1, 2))
    key, data = jax.random.PRNGKey(0), two_moons(TRAINING_POINTS)
    number, params = 0, initial_parameters()
    state = optimizer.init(params)

    def next_step():
        nonlocal number, params, state
        loss, params, state = step(number, params, state, key, data)
        number += 1
        return loss

    return next_step
