"""Draws the results of `examples anneal --out DIR`: targets with samples, and how loss and effective sample size change in training."""

import argparse
import json
import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SAMPLES, DENSITY, CURVE, LAST, ALL = "#3b6fb6", "#b0763a", "#444444", "#2b8a6e", "#b0763a"
LIMIT = 16  # of the panels with samples, to either side


def values(folder, name, shape):
    """The named array of `folder`, checked to have a shape; None is any size."""
    try:
        array = np.load(folder / name, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{folder / name}: not a readable npy file ({error})") from error
    if array.ndim != len(shape) or any(wanted not in (None, size) for wanted, size in zip(shape, array.shape)):
        raise ValueError(f"{folder / name}: expected the shape {list(shape)}, found {list(array.shape)}")
    return array


def read_summary(folder):
    try:
        summary = json.loads((folder / "summary.json").read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{folder / 'summary.json'}: not JSON ({error})") from error
    if not isinstance(summary, dict):
        raise ValueError(f"{folder / 'summary.json'}: expected an object")
    return summary


def log_target(beta, x, y):
    """The log-density of the target at an inverse temperature."""
    def normal(x, y, variance):
        return -(x**2 + y**2) / (2 * variance) - np.log(2 * np.pi * variance)
    angles = np.arange(1, 9) * np.pi / 4
    modes = [normal(x - 10 * np.sin(angle), y - 10 * np.cos(angle), 0.5) for angle in angles]
    return beta * np.logaddexp.reduce(modes) + (1 - beta) * normal(x, y, 25)


def draw_target(axes, beta, samples):
    x, y = np.meshgrid(np.linspace(-LIMIT, LIMIT, 121), np.linspace(-LIMIT, LIMIT, 121))
    density = log_target(beta, x, y)
    axes.contour(x, y, density, levels=density.max() - np.array([8, 4, 2, 1]), colors=DENSITY, linewidths=0.6,
                 linestyles="solid", alpha=0.8)
    axes.scatter(*samples[:1_000].T, s=3, alpha=0.3, color=SAMPLES, edgecolors="none", rasterized=True)
    axes.set_title(f"β = {beta:.3f}", fontsize=9)
    axes.set_aspect("equal")
    axes.set_xlim(-LIMIT, LIMIT)
    axes.set_ylim(-LIMIT, LIMIT)
    axes.set_xticks([])
    axes.set_yticks([])


def smoothed(curve, width):
    """Means over windows of a width, and where their middles are."""
    sums = np.cumsum(np.insert(curve, 0, 0.0))
    return np.arange(len(curve) - width + 1) + width / 2, (sums[width:] - sums[:-width]) / width


def draw(folder, picture):
    betas = values(folder, "inverse_temperatures.npy", (None,))
    samples = values(folder, "samples.npy", (len(betas), None, 2))
    losses = values(folder, "losses.npy", (None,)).astype(float)
    progress = values(folder, "progress.npy", (None, 4))
    summary = read_summary(folder)

    plt.rcParams.update({
        "font.size": 10, "axes.titlesize": 11, "axes.spines.top": False, "axes.spines.right": False,
        "axes.edgecolor": "#999999", "xtick.color": "#666666", "ytick.color": "#666666",
    })
    columns = min(len(betas), 8)
    rows = -(-len(betas) // columns)
    figure = plt.figure(figsize=(9.5, 2.3 + 9.5 / columns * rows), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[9.5 / columns * rows, 2.6])
    panels = upper.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[len(betas):]:
        panel.set_axis_off()
    for panel, beta, some in zip(panels, betas, samples):
        draw_target(panel, beta, some)

    loss, size = lower.subplots(1, 2)
    finite = losses[np.isfinite(losses)]
    width = max(len(finite) // 200, 1)
    steps, means = smoothed(finite, width)
    loss.plot(steps, means, color=CURVE, linewidth=1.2)
    loss.set_title("Loss" + (f", means over {width} steps" if width > 1 else ""))
    size.plot(progress[:, 0], 100 * progress[:, 2], color=LAST, linewidth=1.4, label="of the last step's weights")
    size.plot(progress[:, 0], 100 * progress[:, 3], color=ALL, linewidth=1.4, label="of all steps' weights, not resampled")
    size.set_title("Effective sample size, % of the particles")
    size.set_ylim(0, 102)
    size.legend(frameon=False, fontsize=8, loc="center right", bbox_to_anchor=(1, 0.62))
    for axes in (loss, size):
        axes.set_xlabel("training step")
        axes.grid(axis="y", color="#e5e5e5")
        axes.margins(x=0.01)
    if isinstance(summary.get("logZ"), (int, float)):
        loss.text(0.98, 0.9, f"after training: log Z {summary['logZ']:.4f}, exactly {np.log(8):.4f}",
                  transform=loss.transAxes, ha="right", color=LAST, fontsize=9)
    figure.savefig(picture, dpi=100, pil_kwargs={"optimize": True})


def main():
    parser = argparse.ArgumentParser(prog="plot anneal", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="what `examples anneal --out DIR` wrote")
    parser.add_argument("picture", type=Path, nargs="?", help="default: DIR/anneal.png")
    options = parser.parse_args()
    picture = options.picture or options.folder / "anneal.png"
    try:
        draw(options.folder, picture)
    except FileNotFoundError as error:
        sys.exit(f"error: {error.filename} is missing; write it with: examples anneal --out {options.folder}")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"picture: {picture}")


if __name__ == "__main__":
    main()
