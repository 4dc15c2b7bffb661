"""Times the workloads of Coix's `bench` in Python, with its JSON.

    peer.py --workload smc --mode gradient --particles 100000 --threads 1,2 --repeats 5 --json gradient.json
    peer.py --first-result

XLA sizes its thread pool once, by the cores that the process may run on. So each thread count is measured in a
process of its own, pinned to that many cores before JAX is loaded.
"""

import argparse
import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time

from workloads import PARTICLES

FIRST_RESULT_PARTICLES = 3_000
SECONDS_PER_REPEAT = 0.05


def counts(text):
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 1:
        raise ValueError(text)
    return numbers


def count(text):
    (number,) = counts(text)
    return number


def measure(workload, mode, particles, threads, repeats):
    """One JSON object of `bench`, measured in this process, which is pinned to `threads` cores."""
    import jax

    run = getattr(importlib.import_module(f"workloads.{workload}"), mode)(particles)
    for _ in range(2):  # compiles, then warms the allocator
        began = time.perf_counter()
        jax.block_until_ready(run())
        once = time.perf_counter() - began

    # Nobody looks at a training step's result before the next step starts.
    wait = (lambda result: result) if mode == "train" else jax.block_until_ready
    inner = max(1, round(SECONDS_PER_REPEAT / once))
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        for _ in range(inner):
            result = wait(run())
        jax.block_until_ready(result)
        seconds.append((time.perf_counter() - began) / inner)

    median = statistics.median(seconds)
    return {
        "workload": workload,
        "mode": mode,
        "particles": particles,
        "threads": threads,
        "medianSeconds": median,
        "minSeconds": min(seconds),
        "particlesPerSecond": particles / median,
        "peakMemoryMB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "serialShare": None,
        "digest": None,
    }


def first_result():
    """Seconds from the start of this process to the first evaluated result."""
    import jax
    from workloads import vae

    jax.block_until_ready(vae.forward(FIRST_RESULT_PARTICLES)())
    with open("/proc/self/stat") as stat, open("/proc/uptime") as uptime:
        started = int(stat.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return float(uptime.read().split()[0]) - started


def pinned_measurement(options, mode, threads, cores):
    command = [sys.executable, __file__, "--workload", options.workload, "--mode", mode]
    command += ["--particles", str(options.particles or PARTICLES[options.workload][mode])]
    command += ["--threads", str(threads), "--repeats", str(options.repeats), "--in-this-process"]
    worker = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, cores[:threads]))
    if worker.returncode:
        sys.exit(worker.returncode)
    return json.loads(worker.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", choices=PARTICLES, default="vae")
    parser.add_argument("--mode", help="forward, gradient or train (default: those that the workload has)")
    parser.add_argument("--particles", type=count, help="default: those that `bench` has for the workload and mode")
    parser.add_argument("--threads", type=counts, default=[1], metavar="T1,T2,…")
    parser.add_argument("--repeats", type=count, default=5)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--first-result", action="store_true", help="only print the seconds to a first result")
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    modes = [options.mode] if options.mode else PARTICLES[options.workload]
    if options.mode and options.mode not in PARTICLES[options.workload]:
        parser.error(f"{options.workload} has no mode {options.mode}; it has {', '.join(PARTICLES[options.workload])}")
    os.environ["JAX_PLATFORMS"] = "cpu"

    if options.first_result:
        print(f"{first_result():.3f}")
        return
    if options.in_this_process:
        print(json.dumps(measure(options.workload, options.mode, options.particles, options.threads[0],
                                 options.repeats)))
        return

    cores = sorted(os.sched_getaffinity(0))
    records = []
    for mode in modes:
        for threads in options.threads:
            if threads > len(cores):
                print(f"note: {threads} threads skipped, only {len(cores)} cores", file=sys.stderr)
                continue
            record = pinned_measurement(options, mode, threads, cores)
            records.append(record)
            print("{workload} {mode}, {particles:,} particles, {threads} threads: {medianSeconds:.6f} s, "
                  "{particlesPerSecond:,.0f} particles/s, {peakMemoryMB:,.0f} MB".format(**record))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(records, file, indent=2)


if __name__ == "__main__":
    main()
