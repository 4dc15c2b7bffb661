"""Draws the results of `examples bmnist --out DIR`: frames, where the digits were found, and what they look like."""

import argparse
import json
import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.patches import Rectangle

COLORS = ["#e07b39", "#4aa3df", "#6cbf5f", "#c86bd0"]
MOST_SEQUENCES = 4


def values(folder, name, rank):
    try:
        array = np.load(folder / name, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{folder / name}: not a readable npy file ({error})") from error
    if array.ndim != rank or not array.size:
        raise ValueError(f"{folder / name}: expected an array of {rank} axes, found {list(array.shape)}")
    return array


def digit_size(folder):
    try:
        return int(json.loads((folder / "summary.json").read_text())["digitSize"])
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / 'summary.json'}: has no digitSize") from error


def draw(folder, picture):
    frames = values(folder, "frames.npy", 4)[:MOST_SEQUENCES]
    before, after = (values(folder, f"reconstructions_{time}.npy", 4) for time in ("before", "after"))
    positions = values(folder, "positions_after.npy", 4)
    size = digit_size(folder)
    count, times, height, _ = frames.shape

    figure, panels = plt.subplots(3, count, figsize=(1.5 * count + 0.6, 5.0), layout="constrained", squeeze=False)
    names = ["frames, and where\ndigits were found", "what they look like,\nbefore training", "after training"]
    for row, name in zip(panels, names):
        row[0].set_ylabel(name, fontsize=9)
        for axes in row:
            axes.set_xticks([])
            axes.set_yticks([])
    images = [
        [axes.imshow(source[k, 0], cmap="gray", vmin=0, vmax=1) for k, axes in enumerate(row)]
        for row, source in zip(panels, (frames, before, after))
    ]
    boxes = [
        [
            panels[0, k].add_patch(
                Rectangle((0, 0), size, size, fill=False, lw=1.6, edgecolor=COLORS[digit % len(COLORS)]))
            for digit in range(positions.shape[1])
        ]
        for k in range(count)
    ]

    def show(time):
        for row, source in zip(images, (frames, before, after)):
            for k, image in enumerate(row):
                image.set_data(source[k, time])
        for k in range(count):
            for digit, box in enumerate(boxes[k]):
                # The centre of the first pixel is at 0.
                box.set_xy((positions[k, digit, time] + 1) / 2 * (height - size) - 0.5)
        return []

    FuncAnimation(figure, show, frames=times).save(picture, writer=PillowWriter(fps=3), dpi=70)


def main():
    parser = argparse.ArgumentParser(prog="plot bmnist", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="what `examples bmnist --out DIR` wrote")
    parser.add_argument("picture", type=Path, nargs="?", help="default: DIR/bmnist.gif")
    options = parser.parse_args()
    picture = options.picture or options.folder / "bmnist.gif"
    try:
        draw(options.folder, picture)
    except FileNotFoundError as error:
        sys.exit(f"error: {error.filename} is missing; write it with: examples bmnist --out {options.folder}")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"picture: {picture}")


if __name__ == "__main__":
    main()
