"""Runs Coix's `bench` and the same work in Python in turn, on the same cores, and prints the ratios.

One round runs every case once on either side, one straight after the other; a ratio is taken within such a pair. What was measured
goes into a file in Benchmarks/Results.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import duration, middle, ratio_with_spread, table
from workloads import PARTICLES, language

PEER = Path(__file__).with_name("peer.py")
BENCHMARKS = PEER.parent.parent
PACKAGES = ("jax", "jaxlib", "numpyro", "flax", "optax", "numpy")
MODES = ("forward", "gradient", "train")


def counts(text):
    return [int(part) for part in text.split(",")]


def names(known):
    def parse(text):
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"there is no '{name}'; there are: {', '.join(known)}")
        return chosen
    return parse


def run(command, cores):
    """The standard output of a command that is pinned to `cores`."""
    command = [str(part) for part in command]
    process = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             preexec_fn=lambda: os.sched_setaffinity(0, cores))
    if process.returncode:
        sys.exit(f"error: {' '.join(command)}\n{process.stdout}{process.stderr}")
    return process.stdout


def measure(program, case, repeats, cores):
    """One JSON object of `bench` or of its peer."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        run([*program, *(part for name, value in case.items() for part in (f"--{name}", value)),
             "--repeats", repeats, "--json", file], cores[:case["threads"]])
        records = json.loads(file.read_text())
    if not records:  # the peer leaves out what the cores don't suffice for
        sys.exit(f"error: {program[0]} gave no result for {case['threads']} threads")
    return records[0]


def first_result(program, cores):
    """Seconds to a first result, by the program's own clock and from outside."""
    began = time.perf_counter()
    output = run([*program, "--first-result"], cores)
    wall = time.perf_counter() - began
    printed = json.loads(output.split("\n")[-2])
    return {"seconds": next(iter(printed.values())) if isinstance(printed, dict) else printed, "wallSeconds": wall}


class Limits:
    """The hand-fused loops, which are built when they are first asked for."""

    def __init__(self):
        self.programs = BENCHMARKS.parent / ".build-limits"
        made = subprocess.run(["make", "-s", "-C", BENCHMARKS / "Limits", f"BUILD={self.programs}"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if made.returncode:
            sys.exit(f"error: Benchmarks/Limits\n{made.stdout}")

    def seconds(self, case, cores):
        """The loop's time for a case; None where there is no loop for it."""
        program = self.programs / case["workload"]
        if not program.is_file():
            return None
        output = run([program, *(case[name] for name in ("mode", "particles", "threads"))], cores[:case["threads"]])
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        return next((line["seconds"] for line in lines if line["mode"] == case["mode"]), None)


def spread(ratios):
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def machine(cores):
    with open("/proc/cpuinfo") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown")
    return {"processor": model, "cores": len(cores), "system": platform.platform()}


def first_line(*command):
    """What a command says of itself; None where it can't be run."""
    try:
        output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=BENCHMARKS)
    except OSError:
        return None
    return next(iter(output.stdout.splitlines()), None) if output.returncode == 0 else None


def versions():
    return {"coix": first_line("git", "describe", "--always", "--dirty"), "swift": first_line("swift", "--version"),
            "python": platform.python_version(),
            "packages": {name: importlib.metadata.version(name) for name in PACKAGES}}


def results_table(results, first):
    shows_limits = any(result["limitSeconds"] for result in results)
    head = ["workload", "mode", "particles", "threads", "Coix", "peer", "", "ratio (least – most)"]
    rows = [head + ["by hand"] * shows_limits]
    for result in results:
        limit = result["limitSeconds"] and duration(statistics.median(result["limitSeconds"]))
        rows.append([result["workload"], result["mode"], f"{result['particles']:,}", str(result["threads"]),
                     duration(middle(result["coix"])), duration(middle(result["peer"])), result["peerLanguage"],
                     ratio_with_spread(result["ratio"])] + ([limit or ""] if shows_limits else []))
    if first:
        rows.append(["vae", "process start to first result", "3,000", "", duration(middle(first["coix"], "wallSeconds")),
                     duration(middle(first["peer"], "wallSeconds")), "coix", ratio_with_spread(first["ratio"])]
                    + [""] * shows_limits)
    return table(rows)


def cases(options):
    """What is measured, as the arguments of either side."""
    for workload in options.workloads:
        for mode, default in PARTICLES[workload].items():
            is_training = mode == "train"
            if mode not in options.modes:
                continue
            for particles in (options.batch if is_training else options.particles) or [default]:
                for threads in options.train_threads if is_training else options.threads:
                    yield {"workload": workload, "mode": mode, "particles": particles, "threads": threads}


def main():
    cores = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(prog="compare", description=__doc__.splitlines()[0])
    parser.add_argument("--bench", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--workloads", type=names(PARTICLES), default=list(PARTICLES), metavar="W1,W2,…",
                        help=f"of {', '.join(PARTICLES)} (default: all)")
    parser.add_argument("--modes", type=names(MODES), default=MODES, metavar="M1,M2,…",
                        help=f"of {', '.join(MODES)} (default: all)")
    parser.add_argument("--particles", type=counts, metavar="N1,N2,…",
                        help="of forward and gradient (default: those that `bench` has for the workload)")
    parser.add_argument("--threads", type=counts, default=sorted({1, len(cores)}), metavar="T1,T2,…",
                        help="of forward and gradient (default: 1 and all cores)")
    parser.add_argument("--batch", type=counts, metavar="N1,N2,…",
                        help="particles of train (default: those that `bench` has for the workload)")
    parser.add_argument("--train-threads", type=counts, default=[1], metavar="T1,T2,…",
                        help="of train (default: 1, where the reference is fastest)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5, help="timings in each process (default: 5)")
    parser.add_argument("--limits", action="store_true",
                        help="build the hand-fused loops of Benchmarks/Limits, and time them, too")
    parser.add_argument("--skip-first-result", action="store_true")
    parser.add_argument("--out", type=Path, default=BENCHMARKS / "Results", metavar="DIR")
    options = parser.parse_args()
    if max(options.threads + options.train_threads) > len(cores):
        parser.error(f"more threads than cores: this process may run on {len(cores)}")
    options.out.mkdir(parents=True, exist_ok=True)

    bench, peer = [options.bench], [sys.executable, PEER]
    limits = Limits() if options.limits else None
    results = [case | {"peerLanguage": language(case["workload"]), "coix": [], "peer": [], "limitSeconds": []}
               for case in cases(options)]
    first = {"coix": [], "peer": []} if "vae" in options.workloads and not options.skip_first_result else None

    for number in range(1, options.rounds + 1):
        for case, result in zip(cases(options), results):
            ours = measure([*bench, "--exact"], case, options.repeats, cores)
            theirs = measure(peer, case, options.repeats, cores)
            result["coix"].append(ours)
            result["peer"].append(theirs)
            by_hand = limits.seconds(case, cores) if limits else None
            if by_hand:
                result["limitSeconds"].append(by_hand)
            print(f"round {number}: {case['workload']} {case['mode']}, {case['particles']:,} particles, "
                  f"{case['threads']} threads: Coix {duration(ours['medianSeconds'])}, {result['peerLanguage']} "
                  f"{duration(theirs['medianSeconds'])}" + (f", by hand {duration(by_hand)}" if by_hand else ""),
                  file=sys.stderr, flush=True)
        if first:
            first["coix"].append(first_result(bench, cores))
            first["peer"].append(first_result(peer, cores))

    for result in results:
        result["ratio"] = spread([theirs["medianSeconds"] / ours["medianSeconds"]
                                  for ours, theirs in zip(result["coix"], result["peer"])])
    if first:
        first["ratio"] = spread([theirs["wallSeconds"] / ours["wallSeconds"]
                                 for ours, theirs in zip(first["coix"], first["peer"])])

    arguments = sys.argv[1:]
    at = arguments.index("--bench")  # as scripts/compare puts it
    report = {"machine": machine(cores), "versions": versions(),
              "command": " ".join(["scripts/compare", *arguments[:at], *arguments[at + 2:]]),
              "rounds": options.rounds, "repeats": options.repeats, "results": results, "firstResult": first}
    processor = re.sub("[^a-z0-9]+", "-", report["machine"]["processor"].lower()).strip("-")
    file = options.out / f"{datetime.date.today()}-{processor}.json"
    file.write_text(json.dumps(report, indent=2) + "\n")
    print(f"{report['machine']['processor']}, {len(cores)} cores; medians of {options.rounds} rounds\n")
    print(results_table(results, first))
    print(f"\nresults are in {os.path.relpath(file)}; scripts/table puts the newest file's into the README")


if __name__ == "__main__":
    main()
