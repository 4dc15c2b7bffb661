"""The VAE of coix's first tutorial, on two moons: 2 -> 32 -> relu -> 2, and back."""

from . import _training
from ._autoencoder import Autoencoder

import jax
import jax.numpy as jnp
import numpy as np

TRAINING_POINTS = 10_000
vae = Autoencoder(points=2, hidden=32, codes=2)


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
    return vae.forward(two_moons(particles))


def gradient(particles):
    return vae.gradient(two_moons(particles))


def train(batch):
    value_and_gradient = vae.value_and_gradient(batch)

    def step(params, key, data):
        batch_key, loss_key = jax.random.split(key)
        return value_and_gradient(params, loss_key, jax.random.choice(batch_key, data, (batch,)))

    return _training.steps(step, vae.initial_parameters(), learning_rate=1e-2, data=(two_moons(TRAINING_POINTS),))
