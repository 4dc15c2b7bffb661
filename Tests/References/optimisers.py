"""Writes ../CoixTests/Golden/optimisers.json: what the optimisers and schedules of optax 0.2.8 with JAX 0.10.2 do on a CPU, in single precision.

    pip install jax==0.10.2 optax==0.2.8
    python optimisers.py > ../CoixTests/Golden/optimisers.json

A case has the parameters after each step, from the same start and along the same gradients; a schedule the rates after some numbers of steps.
Tensors are flat lists, row-major. The names are those of OptaxTests.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax

SHAPES = {"bias": (2,), "long": (19,), "scale": (), "weights": (3, 2)}
STEPS = 8
COUNTS = [0, 1, 2, 3, 9, 10, 11, 19, 20, 21, 40, 99, 100, 101, 1000, 100000]

SCHEDULES = {
    "constant": optax.constant_schedule(0.05),
    "linear": optax.linear_schedule(0.0, 0.05, 10),
    "linear down": optax.linear_schedule(0.3, 0.1, 20),
    "cosine decay": optax.cosine_decay_schedule(0.05, 100),
    "cosine decay to a tenth": optax.cosine_decay_schedule(0.05, 20, alpha=0.1),
    "exponential decay": optax.exponential_decay(0.05, 10, 0.7),
    "exponential decay in stairs": optax.exponential_decay(0.05, 3, 0.5, staircase=True),
    "exponential decay to a bound": optax.exponential_decay(0.05, 10, 0.5, end_value=0.01),
    "exponential growth to a bound": optax.exponential_decay(0.05, 10, 1.5, end_value=0.1),
    "piecewise constant": optax.piecewise_constant_schedule(0.05, {3: 0.5, 10: 0.1, 100: 2.0}),
    "warmup cosine decay": optax.warmup_cosine_decay_schedule(0.001, 0.05, 3, 20, 0.002),
    "joined": optax.join_schedules(
        [optax.linear_schedule(0.0, 0.05, 3), optax.constant_schedule(0.05), optax.exponential_decay(0.05, 10, 0.7)], [3, 10]),
}

OPTIMISERS = {
    "sgd": optax.sgd(0.05),
    "sgd momentum": optax.sgd(0.05, momentum=0.9),
    "sgd nesterov": optax.sgd(0.05, momentum=0.9, nesterov=True),
    "adam": optax.adam(0.05),
    "adam settings": optax.adam(0.05, b1=0.5, b2=0.75, eps=0.125),
    "adamw": optax.adamw(0.05, weight_decay=0.1),
    "adamw settings": optax.adamw(0.05, b1=0.5, b2=0.75, eps=0.125, weight_decay=0.5),
    "rmsprop": optax.rmsprop(0.05),
    "rmsprop settings": optax.rmsprop(0.05, decay=0.75, eps=0.125, initial_scale=1.0),
    "rmsprop centered": optax.rmsprop(0.05, eps=1e-3, centered=True),
    "rmsprop momentum": optax.rmsprop(0.05, momentum=0.9),
    "rmsprop nesterov": optax.rmsprop(0.05, centered=True, eps=1e-3, momentum=0.9, nesterov=True),
}
# Norms of gradients are between 2 and 18, so that some are clipped.
OPTIMISERS |= {
    f"{name} clipped": optax.chain(optax.clip_by_global_norm(10.0), OPTIMISERS[name])
    for name in ("sgd momentum", "adam", "rmsprop")
}
OPTIMISERS |= {
    f"{rule} with {name}": make(SCHEDULES[name])
    for rule, make in {
        "sgd momentum": lambda rate: optax.sgd(rate, momentum=0.9),
        "adam": optax.adam,
        "adamw": lambda rate: optax.adamw(rate, weight_decay=0.1),
        "rmsprop": optax.rmsprop,
    }.items()
    for name in ("linear", "warmup cosine decay", "exponential decay in stairs")
}


def numbers(array):
    """The shortest decimals that give the floats back."""
    return [float(str(number)) for number in np.asarray(array, np.float32).ravel()]


def written(tree):
    return {name: numbers(array) for name, array in tree.items()}


def gradients(step, random):
    """Gradients of different sizes; some of them are zero."""
    def one(shape):
        sizes = 10.0 ** random.integers(-3, 1, shape) * (1 + step % 3 * 2)
        return jnp.asarray(random.normal(size=shape) * sizes * (random.random(shape) > 0.1), jnp.float32)
    return {name: one(shape) for name, shape in SHAPES.items()}


def trajectory(optimiser, start, gradients):
    parameters, state = start, optimiser.init(start)
    for gradient in gradients:
        updates, state = optimiser.update(gradient, state, parameters)
        parameters = optax.apply_updates(parameters, updates)
        yield written(parameters)


random = np.random.default_rng(7)
start = {name: jnp.asarray(random.normal(size=shape), jnp.float32) for name, shape in SHAPES.items()}
along = [gradients(step, random) for step in range(STEPS)]
print(json.dumps({
    "shapes": SHAPES,
    "start": written(start),
    "gradients": [written(gradient) for gradient in along],
    "trajectories": {name: list(trajectory(optimiser, start, along)) for name, optimiser in OPTIMISERS.items()},
    "counts": COUNTS,
    "schedules": {name: numbers([schedule(count) for count in COUNTS]) for name, schedule in SCHEDULES.items()},
}, separators=(",", ":")))
