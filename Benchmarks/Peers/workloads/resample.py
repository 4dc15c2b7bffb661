"""Systematic resampling in JAX, by sums in single precision."""

import jax
import jax.numpy as jnp


def forward(particles):
    @jax.jit
    def ancestors(key, log_weights):
        sums = jnp.cumsum(jax.nn.softmax(log_weights))
        positions = (jnp.arange(particles) + jax.random.uniform(key)) / particles
        return jnp.minimum(jnp.searchsorted(sums / sums[-1], positions), particles - 1)

    log_weights = jax.random.normal(jax.random.PRNGKey(7), (particles,))
    key = jax.random.PRNGKey(8)
    return lambda: ancestors(key, log_weights)
