"""Nested variational inference from a wide normal to eight modes, by the reference's `nvi_rkl`, as a loop."""

from . import _training
from ._reference import called, coix, loss, particles, weights

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

TARGETS = 8
KERNELS = TARGETS - 1
HIDDEN = 50

angles = jnp.arange(1, 9) * jnp.pi / 4
modes = dist.Normal(10 * jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1), jnp.sqrt(0.5)).to_event(1)
wide = dist.Normal(0, 5).expand((2,)).to_event(1)


def initial_parameters():
    def networks(seed):
        hidden = jax.nn.initializers.lecun_normal()
        keys = jax.random.split(jax.random.PRNGKey(seed), KERNELS)
        zeros = jnp.zeros
        return {"hidden": (jax.vmap(lambda key: hidden(key, (2, HIDDEN)))(keys), zeros((KERNELS, HIDDEN))),
                "shift": (zeros((KERNELS, HIDDEN, 2)), zeros((KERNELS, 2))),
                "scale": (zeros((KERNELS, HIDDEN, 2)), zeros((KERNELS, 2)))}

    return {"forwards": networks(1), "reverses": networks(2), "temperatures": -jnp.ones(TARGETS - 2)}


def sampler(count, parameters):
    plated = particles(count)
    raw = parameters["temperatures"]
    between = jax.nn.sigmoid(raw[0] + jnp.pad(jnp.cumsum(jax.nn.softplus(raw[1:])), (1, 0)))
    temperatures = jnp.pad(between, (1, 1), constant_values=(0, 1))

    def target(step):
        def program():
            x = numpyro.sample("x", wide.mask(False))
            at_modes = jax.scipy.special.logsumexp(modes.log_prob(x[..., None, :]), axis=-1)
            density = temperatures[step] * at_modes + (1 - temperatures[step]) * wide.log_prob(x)
            numpyro.sample("density", dist.Unit(density))  # latent: no part of the first particles' weights
            return (x,)
        return plated(program)

    def kernel(networks, step):
        network = jax.tree.map(lambda stacked: stacked[step], networks)

        def layer(name, x):
            return x @ network[name][0] + network[name][1]

        def program(x):
            h = jax.nn.relu(layer("hidden", x))
            move = dist.Normal(x + layer("shift", h), jax.nn.softplus(layer("scale", h)))
            return numpyro.sample("x", move.to_event(1))
        return plated(program)

    return coix.algo.nvi_rkl(target, lambda step: kernel(parameters["forwards"], step),
                             lambda step: kernel(parameters["reverses"], step), num_targets=TARGETS)


def value_and_gradient(count):
    return jax.value_and_grad(lambda parameters, key: loss(sampler(count, parameters), key))


def forward(particles):
    """The loss is not asked for, so that the compiler leaves it out."""
    return called(lambda key, parameters: weights(sampler(particles, parameters), key),
                  jax.random.PRNGKey(0), initial_parameters())


def gradient(particles):
    return called(value_and_gradient(particles), initial_parameters(), jax.random.PRNGKey(0))


def train(particles):
    return _training.steps(value_and_gradient(particles), initial_parameters())
