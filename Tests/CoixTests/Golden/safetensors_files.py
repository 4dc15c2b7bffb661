"""Writes `safetensors_files.json` beside itself: files as the packages `safetensors` and `flax` write and read them.

    python3 safetensors_files.py

Made with Python 3.11, safetensors 0.7.0, NumPy 2.4, ml_dtypes 0.6, JAX 0.10 and flax 0.12. What is said to be readable is
read by safetensors here, too, before it is written down.
"""

import json
import pathlib
import struct
import sys

import flax.linen
import flax.traverse_util
import jax
import ml_dtypes
import numpy
import safetensors
import safetensors.numpy

from interchange import WIDENED, base64_of, values

# Types that are written as they were read.
KEPT = {"b1", "i4", "i8", "u8", "f4", "f8"}


def array_entry(name, array):
    kind = "float32" if array.dtype == ml_dtypes.bfloat16 else WIDENED[array.dtype.str[1:]]
    widened = numpy.ascontiguousarray(array).astype(kind).reshape(-1)
    bits = {"float32": "u4", "float64": "u8", "bool": "u1"}.get(kind)
    numbers = widened.view(bits) if bits else widened
    # Floating point as bits; all as text, since readers of JSON take numbers for doubles.
    return {"name": name, "shape": list(array.shape), "type": kind, "numbers": [str(number) for number in numbers.tolist()]}


def file_entry(name, data, is_kept, load=safetensors.numpy.load):
    arrays = load(data)
    length = struct.unpack("<Q", data[:8])[0]
    metadata = json.loads(data[8:8 + length]).get("__metadata__", {})
    return {"name": name, "bytes": base64_of(data), "arrays": [array_entry(*item) for item in sorted(arrays.items())],
            "metadata": metadata, "isKept": is_kept}


def load_bfloat16(data):
    """What `safetensors.numpy.load` cannot do."""
    return {name: numpy.frombuffer(array["data"], ml_dtypes.bfloat16).reshape(array["shape"])
            for name, array in safetensors.deserialize(data)}


def by_hand(header, data=b""):
    text = header.encode()
    return struct.pack("<Q", len(text)) + text + data


def files():
    for kind in WIDENED:
        yield file_entry(kind, safetensors.numpy.save({"x": values(kind).reshape(2, 3)}), kind in KEPT)
    half = values("f4").astype(ml_dtypes.bfloat16)
    yield file_entry("bf16", safetensors.numpy.save({"x": half}), False, load_bfloat16)
    mixed = {f"{name}{kind}": values(kind) for kind in sorted(KEPT) for name in ["b", "a", "é"]}
    yield file_entry("all types that are kept", safetensors.numpy.save(mixed, {"format": "np"}), True)
    names = ["", "../../etc/passwd", "/", "a\\b", "a\"b", "a\nb\tc\rd\be\ff", "\0\x1f\x7f", "größe", "😀", "a.b", "A", "ﬀ"]
    named = {name: numpy.float32([index]) for index, name in enumerate(names)}
    yield file_entry("names", safetensors.numpy.save(named, {"a \"name\"": "two\nlines"}), True)
    yield file_entry("nothing", safetensors.numpy.save({}), True)
    yield file_entry("metadata only", safetensors.numpy.save({}, {"é": "ü"}), True)
    shapes = {"scalar": (), "none": (3, 0, 2), "ones": (1, 1, 2, 1)}
    yield file_entry("shapes", safetensors.numpy.save({name: numpy.ones(shape, "f4") for name, shape in shapes.items()}), True)
    yield file_entry("another order and blanks", by_hand(
        ' { "b" : { "data_offsets" : [ 4 , 8 ] , "shape" : [ ] ,\r\n\t"dtype" : "F32" } , '
        '"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}, "__metadata__" : { } }\n\t '.lstrip(),
        struct.pack("<4Bf", 1, 2, 3, 255, 1.5)), False)
    yield file_entry("escapes", by_hand(
        '{"\\u00e9\\ud83d\\ude00\\/\\"\\\\\\b\\f\\n\\r\\t\\u0041":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        struct.pack("<f", 1.5)), False)


def refused():
    for kind, size in [("float8_e4m3fn", 1), ("float8_e5m2", 1), ("complex64", 8)]:
        array = {"dtype": kind, "shape": [2], "data": bytes(2 * size)}
        yield {"name": kind, "bytes": base64_of(safetensors.serialize({"y": array}))}


class Perceptron(flax.linen.Module):
    @flax.linen.compact
    def __call__(self, x):
        for size in [4, 4]:
            x = flax.linen.relu(flax.linen.Dense(size)(x))
        return flax.linen.Dense(2)(x)


class Heads(flax.linen.Module):
    def setup(self):
        self.trunk = Perceptron()
        self.heads = [flax.linen.Dense(1), flax.linen.Dense(1)]

    def __call__(self, x):
        trunk = self.trunk(x)
        return jax.numpy.concatenate([head(trunk) for head in self.heads], axis=-1)


def flax_entry(name, module, separator):
    inputs = numpy.linspace(-1, 1, 6, dtype="f4").reshape(2, 3)
    variables = module.init(jax.random.key(0), inputs)
    # Biases begin as zeros, which would tell nothing.
    variables = jax.tree.map(lambda x: x + numpy.linspace(0, 0.5, x.size, dtype="f4").reshape(x.shape), variables)
    arrays = {key: numpy.asarray(value) for key, value in flax.traverse_util.flatten_dict(variables, sep=separator).items()}
    outputs = module.apply(variables, inputs)
    return {"name": name, "separator": separator, "bytes": base64_of(safetensors.numpy.save(arrays)),
            "inputs": inputs.ravel().tolist(), "outputs": numpy.asarray(outputs).ravel().tolist()}


def main():
    result = {
        "files": list(files()), "refused": list(refused()),
        "flax": [flax_entry("perceptron", Perceptron(), separator) for separator in "/."]
        + [flax_entry("heads", Heads(), separator) for separator in "/."],
    }
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(result, indent=0, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
