"""Runs Coix's `bench` and the same work on the reference in turn, on the same cores, and prints the ratios.

One round runs every case once on either side, one straight after the other; a ratio is taken within such a pair.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEER = Path(__file__).with_name("vae.py")
PACKAGES = ("jax", "jaxlib", "numpyro", "flax", "optax", "numpy")


def counts(text):
    return [int(part) for part in text.split(",")]


def run(command, cores):
    """The standard output of a command that is pinned to `cores`."""
    command = [str(part) for part in command]
    process = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             preexec_fn=lambda: os.sched_setaffinity(0, cores))
    if process.returncode:
        sys.exit(f"error: {' '.join(command)}\n{process.stdout}{process.stderr}")
    return process.stdout


def measure(program, mode, particles, threads, repeats, cores):
    """One JSON object of `bench` or of its peer."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        run([*program, "--mode", mode, "--particles", particles, "--threads", threads,
             "--repeats", repeats, "--json", file], cores[:threads])
        records = json.loads(file.read_text())
    if not records:  # the peer leaves out what the cores don't suffice for
        sys.exit(f"error: {program[0]} gave no result for {threads} threads")
    return records[0]


def first_result(program, cores):
    """Seconds to a first result, by the program's own clock and from outside."""
    began = time.perf_counter()
    output = run([*program, "--first-result"], cores)
    wall = time.perf_counter() - began
    printed = json.loads(output.split("\n")[-2])
    return {"seconds": next(iter(printed.values())) if isinstance(printed, dict) else printed, "wallSeconds": wall}


def spread(ratios):
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def machine(cores):
    with open("/proc/cpuinfo") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown")
    return {"processor": model, "cores": len(cores), "system": platform.platform()}


def rate(record):
    if record["mode"] == "train":
        return f"{record['medianSeconds'] * 1e6:,.0f} µs/step"
    return f"{record['particlesPerSecond'] / 1e6:.2f} M/s"


def middle(records):
    """The record with the median rate (the lower one of two)."""
    return sorted(records, key=lambda record: record["particlesPerSecond"])[(len(records) - 1) // 2]


def ratio_cell(ratio):
    return f"{ratio['median']:.1f}× ({ratio['min']:.1f} – {ratio['max']:.1f})"


def table(results, first):
    rows = [["work", "particles", "threads", "Coix", "reference", "ratio (least – most)"], ["---"] * 6]
    for result in results:
        rows.append([result["mode"], f"{result['particles']:,}", str(result["threads"]),
                     rate(middle(result["coix"])), rate(middle(result["reference"])), ratio_cell(result["ratio"])])
    if first:
        seconds = {side: statistics.median(sample["wallSeconds"] for sample in first[side])
                   for side in ("coix", "reference")}
        rows.append(["process start to first result", "3,000", "", f"{seconds['coix'] * 1e3:,.0f} ms",
                     f"{seconds['reference'] * 1e3:,.0f} ms", ratio_cell(first["ratio"])])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main():
    cores = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(prog="compare", description=__doc__.splitlines()[0])
    parser.add_argument("--bench", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--modes", default="forward,gradient,train", metavar="M1,M2,…")
    parser.add_argument("--particles", type=counts, default=[1_000_000], metavar="N1,N2,…",
                        help="of forward and gradient (default 1,000,000)")
    parser.add_argument("--threads", type=counts, default=sorted({1, len(cores)}), metavar="T1,T2,…",
                        help="of forward and gradient (default 1 and all cores)")
    parser.add_argument("--batch", type=counts, default=[300], metavar="N1,N2,…", help="of train (default 300)")
    parser.add_argument("--train-threads", type=counts, default=[1], metavar="T1,T2,…",
                        help="of train (default 1, where the reference is fastest)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5, help="timings in each process (default 5)")
    parser.add_argument("--skip-first-result", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("out/compare"), metavar="DIR")
    options = parser.parse_args()
    if max(options.threads + options.train_threads) > len(cores):
        parser.error(f"more threads than cores: this process may run on {len(cores)}")
    options.out.mkdir(parents=True, exist_ok=True)

    cases = [(mode, particles, threads) for mode in options.modes.split(",")
             for particles in (options.batch if mode == "train" else options.particles)
             for threads in (options.train_threads if mode == "train" else options.threads)]
    results = [{"mode": mode, "particles": particles, "threads": threads, "coix": [], "reference": []}
               for mode, particles, threads in cases]
    first = None if options.skip_first_result else {"coix": [], "reference": []}
    bench, peer = [options.bench], [sys.executable, PEER]

    for number in range(1, options.rounds + 1):
        for case, result in zip(cases, results):
            ours = measure([*bench, "--workload", "vae", "--exact"], *case, options.repeats, cores)
            theirs = measure(peer, *case, options.repeats, cores)
            result["coix"].append(ours)
            result["reference"].append(theirs)
            print(f"round {number}: {case[0]}, {case[1]:,} particles, {case[2]} threads: "
                  f"Coix {rate(ours)}, reference {rate(theirs)}", file=sys.stderr, flush=True)
        if first:
            first["coix"].append(first_result(bench, cores))
            first["reference"].append(first_result(peer, cores))

    for result in results:
        result["ratio"] = spread([ours["particlesPerSecond"] / theirs["particlesPerSecond"]
                                  for ours, theirs in zip(result["coix"], result["reference"])])
    if first:
        first["ratio"] = spread([theirs["wallSeconds"] / ours["wallSeconds"]
                                 for ours, theirs in zip(first["coix"], first["reference"])])

    report = {"machine": machine(cores), "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
              "rounds": options.rounds, "repeats": options.repeats, "results": results, "firstResult": first}
    (options.out / "compare.json").write_text(json.dumps(report, indent=2) + "\n")
    (options.out / "compare.md").write_text(table(results, first) + "\n")
    print(f"{report['machine']['processor']}, {len(cores)} cores; medians of {options.rounds} rounds\n")
    print(table(results, first))
    print(f"\nresults are in {options.out}")


if __name__ == "__main__":
    main()
