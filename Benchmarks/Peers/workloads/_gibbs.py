"""Training of an amortized population Gibbs sampler, by the reference's `apgs`.

As there, the first sweep is composed with a suffix: all of its blocks but the last are auxiliary variables. Coix composes its
examples' first sweeps without one. The programs that run are the same.
"""

from . import _training
from ._reference import coix, loss, particles

import jax
import jax.numpy as jnp


def steps(programs, networks, data, *, batch, particle_count, sweeps, dim):
    """A closure that takes the next step, on a batch drawn from the data's rows.

    `networks` has by names a module and the shape that it can be initialized with. `programs` takes a function of such a name and an
    input, and gives the target and the kernels, for all rows of a batch; `dim` is where particles are in the shape of its sites.
    """
    plated = particles(particle_count, dim)

    def batch_loss(parameters, key, rows):
        target, kernels = programs(lambda name, x: networks[name][0].apply(parameters[name], x))
        program = coix.algo.apgs(plated(target), [plated(kernel) for kernel in kernels], num_sweeps=sweeps)
        return loss(program, key, rows) / batch

    def value_and_gradient(parameters, key, data):
        batch_key, loss_key = jax.random.split(key)
        rows = data[jax.random.randint(batch_key, (batch,), 0, len(data))]
        return jax.value_and_grad(batch_loss)(parameters, loss_key, rows)

    keys = jax.random.split(jax.random.PRNGKey(0), len(networks))
    parameters = {name: module.init(key, jnp.zeros(shape)) for key, (name, (module, shape)) in zip(keys, networks.items())}
    return _training.steps(value_and_gradient, parameters, data=(data,))
