"""Draws the documentation's pictures from the files that its programs leave behind: plot_tutorials.py DIR PICTURES."""

import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

DATA, BEFORE, AFTER, CURVE = "#3b6fb6", "#b0763a", "#2b8a6e", "#444444"


def scatter(axes, points, title, color):
    axes.scatter(*points.T, s=5, alpha=0.4, color=color, edgecolors="none", rasterized=True)
    axes.set_title(title)
    axes.set_aspect("equal")


def running_mean(numbers, width):
    """Means over `width` numbers, and the steps in the middle of each."""
    means = np.convolve(numbers, np.ones(width) / width, mode="valid")
    return np.arange(len(means)) + width / 2, means


def tutorial1(results):
    """The autoencoder: data, reconstructions before and after, losses."""
    figure, (data, before, after, losses) = plt.subplots(1, 4, figsize=(11, 2.7), layout="constrained")
    test = np.load(results / "test.npy")
    scatter(data, test, "test data", DATA)
    scatter(before, np.load(results / "before.npy"), "before training", BEFORE)
    scatter(after, np.load(results / "after.npy"), "after training", AFTER)
    for axes in (before, after):
        axes.set_xlim(data.get_xlim())
        axes.set_ylim(data.get_ylim())
    names, colors = ("width 0.01", "learned width", "noise 0.2"), (CURVE, DATA, AFTER)
    for curve, name, color in zip(np.load(results / "losses.npy"), names, colors):
        losses.plot(*running_mean(curve, 20), label=name, color=color, linewidth=1.2)
    losses.set_title("loss, mean of 20 steps")
    losses.set_xlabel("step")
    losses.legend(frameon=False)
    return figure


def tutorial2(results):
    """The two proposals: plain and weighted histograms beside the target."""
    samples = np.load(results / "tutorial-2.npz")
    figure, panels = plt.subplots(1, 2, figsize=(9, 2.9), layout="constrained", sharey=True)
    x = np.linspace(0.4, 1.6, 400)
    target = np.exp(-0.5 * (x - 100 / 101) ** 2 * 101) * np.sqrt(101 / (2 * np.pi))
    bins = np.linspace(0.4, 1.6, 81)
    for axes, name, color in zip(panels, ("prior", "proposal"), (BEFORE, DATA)):
        values, log_weights = samples[name], samples[f"{name}_log_weight"]
        weights = np.exp(log_weights - log_weights.max())
        share = np.full(len(values), 1 / len(values)) / np.diff(bins)[0]
        axes.hist(values, bins=bins, weights=share, histtype="step", color=color, label="draws")
        axes.hist(values, bins=bins, weights=weights / weights.sum() / np.diff(bins)[0], color=color, alpha=0.4,
                  label="weighted draws")
        axes.plot(x, target, color=CURVE, linewidth=1.2, label="target")
        axes.set_title(f"from the {name}")
        axes.set_xlabel("x")
        axes.legend(frameon=False)
    return figure


def tutorial3(results):
    """The annealed sampler: samples before and after training, the target, and the loss."""
    figure, (before, after, target, loss) = plt.subplots(1, 4, figsize=(11, 2.7), layout="constrained")
    edges = np.linspace(-14, 14, 113)
    for axes, name, title in ((before, "annealed-before", "untrained"), (after, "annealed-after", "trained")):
        axes.hist2d(*np.load(results / f"{name}.npy").T, bins=edges, cmap="viridis", rasterized=True)
        axes.set_title(title)
    angles = np.arange(1, 9) * np.pi / 4
    middle = (edges[1:] + edges[:-1]) / 2
    x, y = np.meshgrid(middle, middle)
    density = sum(np.exp(-((x - 10 * np.sin(a)) ** 2 + (y - 10 * np.cos(a)) ** 2)) for a in angles)
    target.pcolormesh(edges, edges, density, cmap="viridis", rasterized=True)
    target.set_title("target")
    for axes in (before, after, target):
        axes.set_aspect("equal")
        axes.set_axis_off()
    loss.plot(*running_mean(np.load(results / "annealed-losses.npy"), 200), color=CURVE, linewidth=1)
    loss.set_title("loss, mean of 200 steps")
    loss.set_xlabel("step")
    return figure


def saving(results):
    """The picture of the page on saving, by the page's own lines."""
    samples = np.load(results / "posterior.npz")
    figure, axes = plt.subplots(figsize=(5, 2.9), layout="constrained")
    weights = np.exp(samples["log_weight"] - samples["log_weight"].max())
    axes.hist(samples["z"], bins=60, weights=weights, density=True, histtype="step", color=CURVE, label="weighted")
    axes.hist(samples["z_resampled"], bins=60, density=True, alpha=0.4, color=AFTER, label="resampled")
    axes.set_xlabel("z")
    axes.legend(frameon=False)
    return figure


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: plot-tutorials DIR, where DIR is what test-downstream DIR has filled")
    results, pictures = map(Path, sys.argv[1:])
    plt.rcParams.update({"font.size": 9, "axes.titlesize": 10, "axes.spines.top": False, "axes.spines.right": False})
    for name, draw in (("tutorial-1", tutorial1), ("tutorial-2", tutorial2), ("tutorial-3", tutorial3),
                       ("saving", saving)):
        try:
            figure = draw(results)
        except FileNotFoundError as error:
            sys.exit(f"error: {error.filename} is missing; it is written by: test-downstream {results}")
        figure.savefig(pictures / f"{name}.png", dpi=110)
        print(f"picture: {pictures / name}.png")


if __name__ == "__main__":
    main()
