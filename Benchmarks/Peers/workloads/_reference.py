"""The reference: coix, from an installation or from the checkout that COIX_REFERENCE names."""

import os
import sys
from pathlib import Path

if checkout := os.environ.get("COIX_REFERENCE"):
    if not (Path(checkout) / "coix" / "__init__.py").is_file():
        sys.exit(f"COIX_REFERENCE={checkout}: no package `coix` in that folder")
    sys.path.insert(0, checkout)

try:
    import coix
except ModuleNotFoundError as error:
    sys.exit(f"{error}: install it from requirements-coix.txt, or name a checkout by COIX_REFERENCE")

import jax
import numpyro

coix.set_backend("coix.numpyro")


def particles(count, dim=-1):
    """What puts a program into a plate of particles."""
    return lambda program: numpyro.plate("particle", count, dim=dim)(program)


def weights(program, key, *inputs):
    """Weights, effective sample size and evidence of a program's run."""
    metrics = coix.traced_evaluate(program, seed=key)(*inputs)[2]
    return {name: metrics[name] for name in ("log_weight", "ess", "log_Z")}


def loss(program, key, *inputs):
    return coix.traced_evaluate(program, seed=key)(*inputs)[2]["loss"]


def called(function, *arguments):
    """A closure that calls the jitted function; its arguments are no constants of it."""
    jitted = jax.jit(function)
    return lambda: jitted(*arguments)
