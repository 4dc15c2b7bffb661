"""Training by Adam."""

import jax
import optax


def steps(value_and_gradient, parameters, learning_rate=1e-3, data=()):
    """A closure that takes the next step, counted from 1, and gives its loss.

    `value_and_gradient` takes the parameters, the step's key and the data.
    """
    optimizer = optax.adam(learning_rate)

    def step(number, parameters, state, key, data):
        loss, gradient = value_and_gradient(parameters, jax.random.fold_in(key, number), *data)
        updates, state = optimizer.update(gradient, state)
        return loss, optax.apply_updates(parameters, updates), state

    step = jax.jit(step, donate_argnums=(1, 2))
    number, state, key = 0, optimizer.init(parameters), jax.random.PRNGKey(0)

    def next_step():
        nonlocal number, parameters, state
        number += 1
        loss, parameters, state = step(number, parameters, state, key, data)
        return loss

    return next_step
