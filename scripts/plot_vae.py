"""Draws the results of `examples vae --out DIR`: data, ELBO, and reconstructions before and after training."""

import argparse
import json
import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

DATA, BEFORE, AFTER, CURVE = "#3b6fb6", "#b0763a", "#2b8a6e", "#444444"


def points(folder, name):
    """The named array of `folder`, checked to be [n, 2]."""
    array = values(folder, name)
    if array.ndim != 2 or array.shape[1] != 2 or not len(array):
        raise ValueError(f"{folder / name}: expected an array [n, 2], found {list(array.shape)}")
    return array


def values(folder, name):
    try:
        return np.load(folder / name, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{folder / name}: not a readable npy file ({error})") from error


def summary_line(folder, test_count):
    try:
        summary = json.loads((folder / "summary.json").read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{folder / 'summary.json'}: not JSON ({error})") from error
    if not isinstance(summary, dict):
        raise ValueError(f"{folder / 'summary.json'}: expected an object")
    parts = []
    if isinstance(summary.get("essAfter"), (int, float)):
        parts.append(f"ESS {summary['essAfter']:,.0f} of {test_count:,}")
    if isinstance(summary.get("logZAfter"), (int, float)):
        parts.append(f"log Z {summary['logZAfter']:.2f}")
    return "  ·  ".join(parts)


def scatter(axes, array, title, color, limits):
    # The more points, the fainter each of them.
    alpha = float(np.clip(1_000 / len(array), 0.06, 0.6))
    axes.scatter(*array.T, s=9, alpha=alpha, color=color, edgecolors="none", rasterized=True)
    axes.set_title(title)
    axes.set_aspect("equal")
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])


def limits_of(*arrays):
    """Limits common to all panels, so that shapes can be compared by eye."""
    everything = np.concatenate(arrays)
    everything = everything[np.isfinite(everything).all(axis=1)]
    low, high = everything.min(axis=0), everything.max(axis=0)
    margin = 0.05 * (high - low)
    return list(zip(low - margin, high + margin))


def draw(folder, picture):
    train, test = points(folder, "train.npy"), points(folder, "test.npy")
    before, after = points(folder, "reconstructions_before.npy"), points(folder, "reconstructions_after.npy")
    losses = values(folder, "losses.npy").ravel()
    summary = summary_line(folder, len(test))
    limits = limits_of(train, test, before, after)

    plt.rcParams.update({
        "font.size": 10, "axes.titlesize": 11, "axes.spines.top": False, "axes.spines.right": False,
        "axes.edgecolor": "#999999", "xtick.color": "#666666", "ytick.color": "#666666",
    })
    figure, panels = plt.subplot_mosaic(
        [["train", "elbo", "elbo"], ["test", "before", "after"]], figsize=(9.5, 4.9), layout="constrained")
    scatter(panels["train"], train, f"Training data ({len(train):,} points)", DATA, limits)
    scatter(panels["test"], test, f"Test data ({len(test):,} points)", DATA, limits)
    scatter(panels["before"], before, "Reconstructions before training", BEFORE, limits)
    scatter(panels["after"], after, "Reconstructions after training", AFTER, limits)

    elbo = panels["elbo"]
    elbo.plot(np.arange(len(losses)), -losses, color=CURVE, linewidth=1.4)
    elbo.set_title("ELBO of each batch")
    elbo.set_xlabel("training step")
    elbo.grid(axis="y", color="#e5e5e5")
    elbo.margins(x=0.01)
    if summary:
        elbo.text(0.985, 0.06, f"after training, on the test data:  {summary}",
                  transform=elbo.transAxes, ha="right", color=AFTER)
    figure.savefig(picture, dpi=160)


def main():
    parser = argparse.ArgumentParser(prog="plot vae", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="what `examples vae --out DIR` wrote")
    parser.add_argument("picture", type=Path, nargs="?", help="default: DIR/vae.png")
    options = parser.parse_args()
    picture = options.picture or options.folder / "vae.png"
    try:
        draw(options.folder, picture)
    except FileNotFoundError as error:
        sys.exit(f"error: {error.filename} is missing; write it with: examples vae --out {options.folder}")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"picture: {picture}")


if __name__ == "__main__":
    main()
