"""The draws of NumPyro that CategoricalDrawTests compares with. Needs jax 0.10.2 and numpyro 0.22.0."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

for count in (10**3, 10**4, 10**5):
    parameter_key, key = jax.random.split(jax.random.PRNGKey(count))
    for name, p in (
        ("uniform", jnp.full((count,), 1 / count)),
        ("random", jax.random.uniform(parameter_key, (count,))),
    ):
        draws = np.asarray(dist.CategoricalProbs(p, validate_args=False).sample(key, (2000,)))
        value = 0xCBF29CE484222325
        for draw in draws:
            value = ((value ^ int(draw)) * 0x100000001B3) % 2**64
        print(count, name, hex(value), draws.sum())
