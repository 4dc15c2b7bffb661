"""Reweighted wake-sleep for Gaussian mixtures in plain JAX: 50 sets of 100 points, three clusters each."""

from . import _training

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm

SETS, BATCH, POINTS = 500, 50, 100


def data():
    means = 3 * jax.random.normal(jax.random.PRNGKey(4), (SETS, 3, 2))
    clusters = jax.random.randint(jax.random.PRNGKey(5), (SETS, POINTS), 0, 3)
    centers = jnp.take_along_axis(means, clusters[..., None], axis=1)
    return centers + 0.5 * jax.random.normal(jax.random.PRNGKey(6), (SETS, POINTS, 2))


def perceptron(sizes, seed):
    kernels = zip(jax.random.split(jax.random.PRNGKey(seed), len(sizes) - 1), sizes, sizes[1:])
    return [(jax.nn.initializers.lecun_normal()(key, (inputs, outputs)), jnp.zeros(outputs))
            for key, inputs, outputs in kernels]


def apply(network, x):
    for number, (kernel, bias) in enumerate(network):
        x = x @ kernel + bias
        x = x if number + 1 == len(network) else jnp.tanh(x)
    return x


def loss(parameters, key, x, particles):
    """-sum W (log p + log q) of sets `x`, with weights W and samples that have no gradient."""
    features = apply(parameters["point"], x).mean(axis=1)
    h = apply(parameters["set"], features).reshape(-1, 2, 3, 2)
    mean, scale = 3 * h[:, 0], jnp.exp(h[:, 1])
    means_key, clusters_key = jax.random.split(key)
    noise = jax.random.normal(means_key, (particles, *mean.shape))
    means = jax.lax.stop_gradient(mean + scale * noise)
    distances = jnp.square(x[:, :, None] - means[:, :, None]).sum(axis=-1)
    log_shares = jax.nn.log_softmax(-2 * distances)
    clusters = jax.random.categorical(clusters_key, log_shares)[..., None]
    centers = jnp.take_along_axis(means, clusters, axis=2)

    log_q = norm.logpdf(means, mean, scale).sum(axis=(-1, -2))
    log_q += jnp.take_along_axis(log_shares, clusters, axis=-1).sum(axis=(-1, -2))
    log_p = norm.logpdf(means, 0, 3).sum(axis=(-1, -2)) - POINTS * jnp.log(3.0)
    log_p += norm.logpdf(x, centers, 0.5).sum(axis=(-1, -2))
    weights = jax.lax.stop_gradient(jax.nn.softmax(log_p - log_q, axis=0))
    return -(weights * (log_p + log_q)).sum()


def train(particles):
    def step(parameters, key, x):
        batch_key, loss_key = jax.random.split(key)
        batch = x[jax.random.randint(batch_key, (BATCH,), 0, SETS)]
        return jax.value_and_grad(loss)(parameters, loss_key, batch, particles)

    parameters = {"point": perceptron([2, 32, 32], 1), "set": perceptron([32, 64, 12], 2)}
    return _training.steps(step, parameters, data=(data(),))
