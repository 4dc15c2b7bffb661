"""Writes images of digits, float32 [n, size, size] from 0 to 1: scikit-learn's, enlarged, or those of a file of MNIST."""

import argparse
import gzip
import sys
from pathlib import Path

import numpy as np


def small_digits(size):
    """The 1,797 digits of 8 x 8 pixels that come with scikit-learn, enlarged by cubic interpolation."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    images = load_digits().images / 16
    return np.clip(zoom(images, (1, size / 8, size / 8), order=3, grid_mode=True, mode="grid-constant"), 0, 1)


def mnist(path):
    """The images of an idx file, such as train-images-idx3-ubyte.gz (yann.lecun.com/exdb/mnist)."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        data = file.read()
    if len(data) < 16 or data[:4] != bytes([0, 0, 8, 3]):
        raise ValueError(f"{path}: not an idx file of images")
    shape = [int(size) for size in np.frombuffer(data, ">u4", 3, 4)]
    pixels = np.frombuffer(data, np.uint8, offset=16)
    if pixels.size != shape[0] * shape[1] * shape[2]:
        raise ValueError(f"{path}: {pixels.size} pixels, but the header says {shape}")
    return pixels.reshape(shape) / 255


def main():
    parser = argparse.ArgumentParser(prog="digits", description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", default=Path("digits.npy"), metavar="OUT.npy")
    parser.add_argument("--size", type=int, default=14, help="height and width in pixels of scikit-learn's digits (default: 14)")
    parser.add_argument("--mnist", type=Path, metavar="FILE", help="an idx file of MNIST's images, also gzipped")
    options = parser.parse_args()
    if options.size < 8:
        parser.error(f"the size must be at least 8, is {options.size}")
    try:
        images = mnist(options.mnist) if options.mnist else small_digits(options.size)
        with options.out.open("wb") as file:
            np.save(file, images.astype(np.float32))
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"digits: {options.out}, {list(images.shape)}")


if __name__ == "__main__":
    main()
