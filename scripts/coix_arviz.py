"""Weighted samples for ArviZ: reads what `evaluation.posteriorSamples().write(npz: path)` has written."""

import arviz
import numpy
import xarray


def load(path):
    groups = {}
    for name, array in numpy.load(path).items():
        group, _, variable = name.partition("/")
        groups.setdefault(group, {})[variable] = array
    plates, evidence = groups.pop("plates", {}), groups.pop("log_evidence")[""]
    dims = {variable: sorted(plates, key=plates.get) for group in groups.values() for variable in group}
    # The groups are one dictionary since ArviZ 1.
    data = arviz.from_dict(**groups, dims=dims) if arviz.__version__ < "1" else arviz.from_dict(groups, dims=dims)
    data["sample_stats"]["log_evidence"] = xarray.DataArray(evidence, dims=["step"])
    return data
