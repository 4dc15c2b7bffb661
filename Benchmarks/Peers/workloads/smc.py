"""A bootstrap filter of 50 steps in two coordinates and its gradient, by the reference's `vsmc`, as a loop."""

from ._reference import called, coix, loss, particles, weights

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

STEPS = 50
dynamics = {"slope": jnp.float32(0.9), "log_scale": jnp.float32(0)}


def observations():
    noise = jax.random.normal(jax.random.PRNGKey(3), (STEPS, 2, 2))
    x, result = noise[0, 0], []
    for step in range(STEPS):
        x = x if step == 0 else dynamics["slope"] * x + noise[step, 0]
        result.append(x + noise[step, 1])
    return jnp.stack(result)


def filter(count, dynamics, y):
    """The first step, too, has a state before, since rounds of the loop must have the same sites; it doesn't count."""
    plated = particles(count)

    def normal(mean, scale=1.0):
        return dist.Normal(mean, scale).to_event(1)

    def next_state(before):
        return normal(dynamics["slope"] * before, jnp.exp(dynamics["log_scale"]))

    def target(step):
        def program():
            if isinstance(step, int) and step == 0:
                numpyro.sample("before", normal(jnp.zeros(2)).mask(False))
                x = numpyro.sample("x", normal(jnp.zeros(2)))
            else:
                # The density of its observation, which is symmetric in both.
                x = numpyro.sample("x", next_state(numpyro.sample("before", normal(y[step - 1]))))
            numpyro.sample("y", normal(x), obs=y[step])
            return (x,)
        return plated(program)

    def proposal(step):
        def first():
            numpyro.sample("before", dist.Delta(jnp.zeros(2), event_dim=1))
            return numpyro.sample("x", normal(jnp.zeros(2)))

        def move(before):
            before = numpyro.sample("before", dist.Delta(before, event_dim=1))
            return numpyro.sample("x", next_state(before))

        return plated(first if isinstance(step, int) and step == 0 else move)

    return coix.algo.vsmc(target, proposal, num_targets=STEPS)


def forward(particles):
    return called(lambda key, dynamics, y: weights(filter(particles, dynamics, y), key),
                  jax.random.PRNGKey(0), dynamics, observations())


def gradient(particles):
    value_and_gradient = jax.value_and_grad(lambda dynamics, key, y: loss(filter(particles, dynamics, y), key))
    return called(value_and_gradient, dynamics, jax.random.PRNGKey(0), observations())
