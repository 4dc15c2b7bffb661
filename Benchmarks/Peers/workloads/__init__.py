"""The workloads of Coix's `bench` in Python: each module has a function for each mode, which takes a number of particles,
prepares everything, and returns a closure that does the work once.

What is shared has an underscore before its name. This table can be read without loading JAX.
"""

PARTICLES = {
    "vae": {"train": 300, "forward": 1_000_000, "gradient": 1_000_000},
    "filter": {"forward": 1_000},
    "importance": {"forward": 10_000},
    "random": {"forward": 10_000_000},
    "resample": {"forward": 1_000_000},
    "mixture": {"train": 20},
    "gmm": {"train": 10},
    "dmm": {"train": 10},
    "bmnist": {"train": 4},
    "dense": {"forward": 16_384, "gradient": 16_384},
    "anneal": {"train": 36, "gradient": 100_000, "forward": 1_000_000},
    "wide": {"forward": 131_072, "gradient": 131_072},
    "smc": {"forward": 1_000_000, "gradient": 100_000},
}

# What the other side of a comparison is written in.
ON_REFERENCE = ("vae", "wide", "smc", "anneal", "gmm", "dmm", "bmnist")
IN_NUMPY = ("filter",)


def language(workload):
    """The library that a workload is written with here."""
    return "coix" if workload in ON_REFERENCE else "NumPy" if workload in IN_NUMPY else "JAX"
