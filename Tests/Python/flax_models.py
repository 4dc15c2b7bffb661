"""Flax modules whose parameters go from one side to the other.

flax_models.py write FOLDER   makes modules with random parameters; writes these, inputs, and outputs
flax_models.py apply FOLDER   writes what the modules with the parameters in the folder make of the inputs there
"""

import pathlib
import sys

import flax.linen
import flax.traverse_util
import jax
import numpy
import safetensors.numpy


class Perceptron(flax.linen.Module):
    @flax.linen.compact
    def __call__(self, x):
        for size in [16, 16]:
            x = flax.linen.relu(flax.linen.Dense(size)(x))
        return flax.linen.Dense(4)(x)


class Heads(flax.linen.Module):
    def setup(self):
        self.trunk = Perceptron()
        self.heads = [flax.linen.Dense(1), flax.linen.Dense(2)]

    def __call__(self, x):
        trunk = self.trunk(x)
        return jax.numpy.concatenate([head(trunk) for head in self.heads], axis=-1)


MODULES = {"perceptron": Perceptron(), "heads": Heads()}


def write(folder):
    inputs = numpy.random.default_rng(0).normal(size=(7, 3)).astype("f4")
    numpy.save(folder / "inputs.npy", inputs)
    for name, module in MODULES.items():
        variables = module.init(jax.random.key(1), inputs)
        # Biases begin as zeros, which would tell nothing.
        variables = jax.tree.map(lambda x: x + numpy.linspace(-0.5, 0.5, x.size, dtype="f4").reshape(x.shape), variables)
        arrays = {key: numpy.asarray(value) for key, value in flax.traverse_util.flatten_dict(variables, sep="/").items()}
        safetensors.numpy.save_file(arrays, folder / f"{name}.safetensors")
        numpy.savez(folder / f"{name}.npz", **arrays)
        numpy.savez_compressed(folder / f"{name}.compressed.npz", **arrays)
        numpy.save(folder / f"{name}.outputs.npy", module.apply(variables, inputs))


def apply(folder):
    inputs = numpy.load(folder / "inputs.npy")
    for name, module in MODULES.items():
        for kind, load in [("safetensors", safetensors.numpy.load_file), ("npz", numpy.load)]:
            variables = flax.traverse_util.unflatten_dict(dict(load(folder / f"{name}.{kind}")), sep="/")
            numpy.save(folder / f"{name}.{kind}.outputs.npy", module.apply(variables, inputs))


if __name__ == "__main__":
    {"write": write, "apply": apply}[sys.argv[1]](pathlib.Path(sys.argv[2]))
