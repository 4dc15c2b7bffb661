"""Prints what ArviZ makes of weighted samples, as JSON: arviz_summaries.py FILE.npz"""

import json
import pathlib
import sys

import arviz
import numpy

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import coix_arviz


def dataset(group):
    """A group's dataset, which the group is itself before ArviZ 1."""
    return getattr(group, "dataset", group)


def numbers(dataset):
    return {name: numpy.ravel(array).tolist() for name, array in dataset.items()}


def main():
    data = coix_arviz.load(sys.argv[1])
    posterior, statistics = dataset(data["posterior"]), dataset(data["sample_stats"])
    log_weight = statistics["log_weight"]
    weighted = posterior.weighted(numpy.exp(log_weight - log_weight.max(("chain", "draw"))))
    summary = arviz.summary(data, kind="stats", round_to="none")
    json.dump({
        "dims": {name: list(array.dims) for name, array in posterior.items()},
        "weightedMean": numbers(weighted.mean(("chain", "draw"))),
        "weightedDeviation": numbers(weighted.std(("chain", "draw"))),
        # One row for each number of a site.
        "labels": summary.index.tolist(), "mean": summary["mean"].tolist(), "deviation": summary["sd"].tolist(),
        "logEvidence": statistics["log_evidence"].values.tolist(),
    }, sys.stdout)


if __name__ == "__main__":
    main()
