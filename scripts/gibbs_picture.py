"""What the pictures of `examples gmm --out DIR` and `examples dmm --out DIR` have in common."""

import argparse
import itertools
import json
import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLOURS = np.array(["#c8553d", "#3b6fb6", "#2b8a6e", "#b0863a"])
BEFORE, AFTER = "#b0763a", "#2b8a6e"
SETS = 3


def load(folder, name):
    try:
        return np.load(folder / name, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{folder / name}: not readable ({error})") from error


def summary_of(folder):
    try:
        return json.loads((folder / "summary.json").read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{folder / 'summary.json'}: not JSON ({error})") from error


def matched(found, true, count):
    """For each cluster found the true one that it is, in the way that fits most points."""
    counts = np.zeros((count, count), int)
    np.add.at(counts, (found.astype(int), true.astype(int)), 1)
    return np.array(max(itertools.permutations(range(count)), key=lambda p: counts[range(count), p].sum()))


def limits_of(points):
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    half = 0.56 * np.ptp(points, axis=0).max()
    return np.stack([middle - half, middle + half], axis=1)


def draw(folder, picture, count, outlines):
    """The first test sets with their clusters, and the log joint density over sweeps.

    `outlines` takes the axes, the time ("before" or "after"), what was inferred then, a set's number, and the colour of
    each of its clusters.
    """
    points, true, losses = load(folder, "points.npy"), load(folder, "clusters.npy"), load(folder, "losses.npy")
    inferred = {time: load(folder, f"inferred_{time}.npz") for time in ("before", "after")}
    summary = summary_of(folder)
    if points.ndim != 3 or points.shape[2] != 2:
        raise ValueError(f"{folder / 'points.npy'}: expected an array [sets, points, 2], found {list(points.shape)}")

    plt.rcParams.update({
        "font.size": 9, "axes.titlesize": 10, "axes.spines.top": False, "axes.spines.right": False,
        "axes.edgecolor": "#999999", "xtick.color": "#666666", "ytick.color": "#666666",
    })
    numbers = range(min(SETS, len(points)))
    rows = {"true": "true clusters", "before": "before training", "after": "after training"}
    curves = {"true": "loss", "before": "density", "after": "density"}
    figure, panels = plt.subplot_mosaic(
        [[f"{row}{n}" for n in numbers] + [curves[row]] for row in rows], figsize=(10.5, 7.2), layout="constrained",
        width_ratios=[1] * len(numbers) + [1.25])
    for row, title in rows.items():
        for n in numbers:
            axes = panels[f"{row}{n}"]
            if row == "true":
                labels = true[n].astype(int)
                axes.set_title(f"Test set {n + 1}")
            else:
                found = inferred[row]["c"][n]
                to_true = matched(found, true[n], count)
                labels = to_true[found.astype(int)]
                outlines(axes, row, inferred[row], n, COLOURS[to_true])
            axes.scatter(*points[n].T, s=5, color=COLOURS[labels], edgecolors="none", rasterized=True)
            low, high = limits_of(points[n]).T
            axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", xticks=[], yticks=[])
        panels[f"{row}0"].set_ylabel(title)

    axes = panels["loss"]
    window = max(1, len(losses) // 100)
    smooth = np.convolve(losses, np.ones(window) / window, "valid")
    axes.plot(np.arange(len(smooth)) + window, smooth, color="#444444", linewidth=1.2)
    if 0 < 20 * smooth.min() < smooth.max():
        axes.set_yscale("log")
    axes.set(title="Loss of a set" + (f", mean of {window} steps" if window > 1 else ""), xlabel="training step")

    axes = panels["density"]
    densities = {time: np.array(summary["logDensity"][time], float) for time in ("before", "after")}
    for time, colour in (("before", BEFORE), ("after", AFTER)):
        share = 100 * summary["accuracy"][time]
        label = f"{time} training ({share:.0f} % of points right)"
        axes.plot(densities[time], "o-", color=colour, markersize=4, label=label)
    axes.set(title="Log joint density of a test set", xlabel="sweep", xticks=range(summary["sweeps"] + 1))
    low, high = (function(np.concatenate(list(densities.values()))) for function in (np.min, np.max))
    if high < 0 and low < 20 * high:
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(2 * low, high / 2)
    axes.legend(frameon=False)
    for name in ("loss", "density"):
        panels[name].grid(axis="y", color="#e5e5e5")
    figure.savefig(picture, dpi=90)


def main(example, description, count, outlines_of):
    """The command: `outlines_of` takes the folder and gives what `draw` draws clusters with."""
    parser = argparse.ArgumentParser(prog=f"plot {example}", description=description)
    parser.add_argument("folder", type=Path, metavar="DIR", help=f"what `examples {example} --out DIR` wrote")
    parser.add_argument("picture", type=Path, nargs="?", help=f"default: DIR/{example}.png")
    options = parser.parse_args()
    picture = options.picture or options.folder / f"{example}.png"
    try:
        draw(options.folder, picture, count, outlines_of(options.folder))
    except FileNotFoundError as error:
        sys.exit(f"error: {error.filename} is missing; write it with: examples {example} --out {options.folder}")
    except (ValueError, KeyError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"picture: {picture}")
