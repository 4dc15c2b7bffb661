"""Draws the results of `examples ssm --out DIR`: the bound while proposals are trained, and its distance from log Z."""

import argparse
import json
import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

STYLES = {
    "bootstrap": ("bootstrap", "#b0763a", "o"), "vsmc": ("trained by VSMC", "#2b8a6e", "s"),
    "nasmc": ("trained by NASMC", "#3b6fb6", "^"), "locallyOptimal": ("locally optimal", "#888888", "D"),
}


def read_summary(folder):
    try:
        summary = json.loads((folder / "summary.json").read_text())
        return summary["logEvidence"], summary["particles"], summary["runs"], summary["estimates"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / 'summary.json'}: not a summary of `examples ssm` ({error!r})") from error


def read_curve(folder, name):
    path = folder / f"curve_{name}.npy"
    try:
        curve = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not a readable npy file ({error})") from error
    if curve.ndim != 2 or curve.shape[1] != 2:
        raise ValueError(f"{path}: expected an array [n, 2], found {list(curve.shape)}")
    return curve


def draw(folder, picture):
    log_evidence, particles, runs, estimates = read_summary(folder)
    curves = {name: read_curve(folder, name) for name in ["vsmc", "nasmc"]}

    plt.rcParams.update({
        "font.size": 10, "axes.titlesize": 11, "axes.spines.top": False, "axes.spines.right": False,
        "axes.edgecolor": "#999999", "xtick.color": "#666666", "ytick.color": "#666666",
    })
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.9), layout="constrained")
    for name, curve in curves.items():
        label, color, _ = STYLES[name]
        left.plot(*curve.T, color=color, linewidth=1.4, label=label)
    left.axhline(log_evidence, color="#444444", linewidth=1, linestyle="--")
    left.annotate("log Z", (1, log_evidence), xycoords=("axes fraction", "data"), xytext=(-4, 4),
                  textcoords="offset points", ha="right", color="#444444")
    left.set_title(f"Mean log Ẑ with {particles} particles, over {runs} runs")
    left.set_xlabel("training step")
    shown = np.concatenate([curve[len(curve) // 10:, 1] for curve in curves.values()])
    shown = shown[np.isfinite(shown)]
    if len(shown):
        margin = 0.1 * (log_evidence - shown.min())
        left.set_ylim(shown.min() - margin, log_evidence + 2 * margin)

    for name, (label, color, marker) in STYLES.items():
        own = [estimate for estimate in estimates if estimate["proposals"] == name]
        if own:
            right.errorbar(
                [estimate["particles"] for estimate in own],
                [log_evidence - estimate["logZ"] for estimate in own],
                yerr=[estimate["standardError"] for estimate in own],
                color=color, marker=marker, markersize=5, linewidth=1.2, capsize=2, label=label)
    right.set_xscale("log", base=2)
    right.set_yscale("log", nonpositive="mask")
    counts = sorted({estimate["particles"] for estimate in estimates})
    right.set_xticks(counts, [str(count) for count in counts])
    right.set_title("log Z − mean log Ẑ, ± standard error")
    right.set_xlabel("particles")
    right.legend(frameon=False, fontsize=9)
    for axes in (left, right):
        axes.grid(axis="y", color="#e5e5e5")
    figure.savefig(picture, dpi=130)


def main():
    parser = argparse.ArgumentParser(prog="plot ssm", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="what `examples ssm --out DIR` wrote")
    parser.add_argument("picture", type=Path, nargs="?", help="default: DIR/ssm.png")
    options = parser.parse_args()
    picture = options.picture or options.folder / "ssm.png"
    try:
        draw(options.folder, picture)
    except FileNotFoundError as error:
        sys.exit(f"error: {error.filename} is missing; write it with: examples ssm --out {options.folder}")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"picture: {picture}")


if __name__ == "__main__":
    main()
