"""A VAE of wide layers, 128 -> 512 -> 32 and back, on normal numbers."""

from ._autoencoder import Autoencoder

import jax

vae = Autoencoder(points=128, hidden=512, codes=32)


def numbers(count):
    return jax.random.normal(jax.random.PRNGKey(3), (count, vae.points))


def forward(particles):
    return vae.forward(numbers(particles))


def gradient(particles):
    return vae.gradient(numbers(particles))
