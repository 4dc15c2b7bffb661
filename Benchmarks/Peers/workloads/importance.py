"""Importance sampling from the prior for a quadratic polynomial through 50 points, in plain JAX."""

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm


def forward(particles):
    x = jnp.linspace(0, 1, 50)
    y = 0.5 - 1.25 * x + 2 * x**2 + 0.05 * jax.random.normal(jax.random.PRNGKey(42), x.shape)

    @jax.jit
    def run(key, x, y):
        a, b, c = (jax.random.normal(key, (particles, 1)) for key in jax.random.split(key, 3))
        log_weight = norm.logpdf(y, a + b * x + c * x**2, 0.05).sum(axis=-1)
        return log_weight, a, b, c

    key = jax.random.PRNGKey(0)
    return lambda: run(key, x, y)
