"""Sweeps threads and particles with `bench`; writes scaling.csv and scaling.png. With --ranks sweeps threads and ranks of MPI instead,
prints the bytes that are sent and what more ranks would take, and writes ranks.csv and ranks.png."""

import argparse
import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent.parent / "Benchmarks" / "Peers"))

from rank_prediction import predict, report  # noqa: E402
from workloads import PARTICLES  # noqa: E402

COLUMNS = ["sweep", "workload", "mode", "particles", "threads", "medianSeconds", "minSeconds",
           "particlesPerSecond", "peakMemoryMB", "serialShare", "digest"]
RANK_COLUMNS = ["workload", "mode", "particles", "ranks", "threads", "medianSeconds", "minSeconds", "particlesPerSecond",
                "peakMemoryMB", "serialShare", "sentBytes", "share", "digest"]
PREDICTED_RANKS = [16, 64, 1024]
COLORS = ["#3b6fb6", "#b0763a", "#2b8a6e"]


def count(text):
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return int(text)


def counts(text):
    return [count(part) for part in text.split(",")]


def words(text):
    try:
        command = shlex.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no command: {error}") from None
    if not command:
        raise argparse.ArgumentTypeError("the command is empty")
    return command


def default_threads(cores):
    """All counts on a small machine; powers of two and the cores on a big one."""
    if cores <= 8:
        return list(range(1, cores + 1))
    return sorted({1 << power for power in range(cores.bit_length()) if 1 << power <= cores} | {cores})


def default_modes(workload):
    """A batch of training is too small to show much, but may be all that a workload has."""
    return [mode for mode in PARTICLES[workload] if mode != "train"] or ["train"]


def default_sizes(particles):
    """From a thousandth of so many particles to three times as many."""
    steps = [factor * 10 ** power for power in range(4) for factor in (1, 3)]
    return sorted({max(1, particles * step // 1000) for step in steps})


def launch(launcher, ranks):
    """The command in front of another one that starts so many ranks of it; none for one rank."""
    if ranks == 1:
        return []
    command = list(launcher)
    if len(command) == 1 and "Open MPI" in subprocess.run([*command, "--version"], capture_output=True, text=True).stdout:
        # Else it binds a rank to one core, and starts no more ranks than there are cores.
        command += ["--bind-to", "none", "--oversubscribe"] + (["--allow-run-as-root"] if os.geteuid() == 0 else [])
    return [*command, "-n", str(ranks)]


def bench(options, mode, particles, threads, ranks=1):
    """The JSON objects of one call of `bench`, for exactly these thread counts."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bench.json"
        command = [*launch(options.launcher, ranks), options.bench, "--workload", options.workload, "--mode", mode, "--particles", str(particles),
                   "--threads", ",".join(map(str, threads)), "--exact",
                   "--repeats", str(options.repeats), "--json", file]
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if run.returncode:
            sys.exit(f"error: {' '.join(map(str, command))}\n{run.stdout}")
        records = json.loads(file.read_text())
    for record in records:
        print("{mode:>9} {particles:>11,} particles {ranks:>4} ranks {threads:>3} threads {particlesPerSecond:>15,.0f} particles/s"
              .format(**record), flush=True)
    return records


def speed_ups(records):
    """Pairs (threads, speed-up over the smallest thread count's work per thread)."""
    records = sorted(records, key=lambda record: record["threads"])
    base = records[0]["medianSeconds"] * records[0]["threads"]
    return [(record["threads"], base / record["medianSeconds"]) for record in records]


def serial_share(pairs, cores):
    """Least squares of Amdahl's law 1/S(T) = s + (1 - s)/T over the thread counts that have a core each."""
    pairs = [(threads, speed_up) for threads, speed_up in pairs if 1 < threads <= cores]
    if not pairs:
        return None
    numerator = sum((1 / speed_up - 1 / threads) * (1 - 1 / threads) for threads, speed_up in pairs)
    share = numerator / sum((1 - 1 / threads) ** 2 for threads, _ in pairs)
    return min(max(share, 0.0), 1.0)


def pyplot():
    """Matplotlib, which nobody needs before there is something to draw."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot
    return matplotlib.pyplot


def draw(by_threads, by_particles, cores, title, picture):
    plt = pyplot()
    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")

    most = max(record["threads"] for record in by_threads)
    left.plot([1, most], [1, most], color="#bbbbbb", linestyle=":", label="ideal")
    for color, mode in zip(COLORS, dict.fromkeys(record["mode"] for record in by_threads)):
        records = [record for record in by_threads if record["mode"] == mode]
        pairs = speed_ups(records)
        share = serial_share(pairs, cores)
        label = f"{mode}, {records[0]['particles']:,} particles"
        if share is not None:
            label += f"\nfitted serial share {share:.1%}"
        left.plot(*zip(*pairs), "o", color=color, label=label)
        if share is not None:
            threads = [1 + (min(most, cores) - 1) * i / 100 for i in range(101)]
            left.plot(threads, [1 / (share + (1 - share) / t) for t in threads], color=color)
    left.set_title(f"{title}: speed-up")
    left.set_xlabel("threads")
    left.xaxis.get_major_locator().set_params(integer=True)
    left.legend(frameon=False)

    for color, mode in zip(COLORS, dict.fromkeys(record["mode"] for record in by_particles)):
        for threads, style in zip(sorted({record["threads"] for record in by_particles}), ["o--", "o-"]):
            line = sorted((record["particles"], record["particlesPerSecond"]) for record in by_particles
                          if (record["mode"], record["threads"]) == (mode, threads))
            right.plot(*zip(*line), style, color=color, markersize=4,
                       label=f"{mode}, {threads} thread{'s'[:threads > 1]}")
    right.set(title=f"{title}: throughput", xlabel="particles", ylabel="particles/s", xscale="log", yscale="log")
    right.grid(color="#e5e5e5")
    right.legend(frameon=False)
    figure.savefig(picture, dpi=160)


def draw_ranks(records, cores, title, picture):
    plt = pyplot()
    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    modes = list(dict.fromkeys(record["mode"] for record in records))
    figure, panels = plt.subplots(1, 2 * len(modes), figsize=(8.5 * len(modes), 3.8), layout="constrained", squeeze=False)
    for mode, left, right in zip(modes, panels[0][::2], panels[0][1::2]):
        own = [record for record in records if record["mode"] == mode]
        all_threads = sorted({record["threads"] for record in own})
        alone = {record["threads"]: record for record in own if record["ranks"] == 1}
        most = max(record["ranks"] * record["threads"] for record in own)
        left.plot([1, most], [1, most], color="#bbbbbb", linestyle=":", label="ideal")
        base = alone[all_threads[0]]["medianSeconds"] * all_threads[0]
        for color, ranks in zip(COLORS * len(own), sorted({record["ranks"] for record in own})):
            line = [(ranks * record["threads"], base / record["medianSeconds"]) for record in own if record["ranks"] == ranks]
            left.plot(*zip(*sorted(line)), "o-", color=color, label=f"{ranks} rank{'s'[:ranks > 1]}")
        left.axvline(cores, color="#bbbbbb", linewidth=1)
        left.set(title=f"{title}, {mode}: speed-up", xlabel=f"ranks × threads ({cores} cores here)")
        left.legend(frameon=False, fontsize=8)
        for color, threads in zip(COLORS * len(own), all_threads):
            line = sorted((record["ranks"], record["medianSeconds"]) for record in own if record["threads"] == threads)
            right.plot(*zip(*line), "o", color=color, label=f"measured, {threads} thread{'s'[:threads > 1]} a rank")
            shared = [record for record in own if record["threads"] == threads and record["ranks"] > 1]
            if shared:
                numbers = [1 << power for power in range(PREDICTED_RANKS[-1].bit_length())]
                times = [predict(alone[threads], shared[0], ranks).total for ranks in numbers]
                right.plot(numbers, times, "--", color=color, label="predicted")
        right.set(title="Time of a step", xlabel="ranks", ylabel="s", xscale="log", yscale="log")
        right.grid(color="#e5e5e5")
        right.legend(frameon=False, fontsize=8)
    figure.savefig(picture, dpi=160)


def sweep_ranks(options, modes, particles, cores):
    ranks = sorted({1, *options.ranks})
    if not shutil.which(options.launcher[0]):
        print(f"skipped: more ranks than one, since there is no {options.launcher[0]} here")
        ranks = [1]
    records = [record for mode in modes for count in ranks
               for record in bench(options, mode, options.particles or particles[mode], options.threads, count)]
    digests = {mode: {record["digest"] for record in records if record["mode"] == mode} for mode in modes}
    for mode in modes:
        if len(digests[mode]) > 1:
            print(f"Warning: {mode}: results depend on the number of threads or ranks")
    with open(options.out / "ranks.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, RANK_COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows({**record, **(record.get("traffic") or {})} for record in records)
    draw_ranks(records, cores, options.workload, options.out / "ranks.png")
    for mode in modes:
        for threads in options.threads:
            own = [record for record in records if (record["mode"], record["threads"]) == (mode, threads)]
            print("\n".join(report(own, PREDICTED_RANKS)))


def check(options):
    """Ends the process where a sweep could not be started, or could not write what it finds."""
    if options.launcher is None:
        options.launcher = ["mpirun"]
    elif not shutil.which(options.launcher[0]):
        sys.exit(f"error: --launcher: there is no {options.launcher[0]} here")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.out):
            pass
    except OSError as error:
        sys.exit(f"error: --out: {options.out}: {error.strerror}")


def main():
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(prog="scaling", description=__doc__)
    # Without it arguments are checked, and no more.
    parser.add_argument("--bench", help=argparse.SUPPRESS)
    parser.add_argument("--workload", default="vae", choices=PARTICLES, metavar="NAME",
                        help=f"of {', '.join(PARTICLES)} (default: vae)")
    parser.add_argument("--modes", metavar="M1,M2,…",
                        help="default: all that the workload has, but train only if it has no other")
    parser.add_argument("--threads", type=counts, default=default_threads(cores), metavar="T1,T2,…",
                        help="default: up to the cores of this machine")
    parser.add_argument("--particles", type=count, metavar="N",
                        help="of the sweep over threads (default: those that `bench` has for the mode)")
    parser.add_argument("--sizes", type=counts, metavar="N1,N2,…",
                        help="of the sweep over particles (default: from a thousandth of the default to three times as many)")
    parser.add_argument("--ranks", type=counts, metavar="R1,R2,…",
                        help="sweep these numbers of ranks, beside one, and threads; not particles")
    parser.add_argument("--launcher", type=words, metavar="COMMAND",
                        help="what starts ranks, with its options but -n (default: mpirun)")
    parser.add_argument("--repeats", type=count, default=7)
    parser.add_argument("--out", type=Path, default=Path("out/scaling"), metavar="DIR")
    options = parser.parse_args()
    particles = PARTICLES[options.workload]
    modes = options.modes.split(",") if options.modes else default_modes(options.workload)
    for mode in modes:
        if mode not in particles:
            parser.error(f"{options.workload} has no mode '{mode}'; it has: {', '.join(particles)}")
    check(options)
    if not options.bench:
        return

    if options.ranks:
        sweep_ranks(options, modes, particles, cores)
        print(f"results are in {options.out}")
        return

    by_threads = [record for mode in modes
                  for record in bench(options, mode, options.particles or particles[mode], options.threads)]
    ends = sorted({min(options.threads), max(options.threads)})
    by_particles = [record for mode in modes for size in options.sizes or default_sizes(particles[mode])
                    for record in bench(options, mode, size, ends)]

    with open(options.out / "scaling.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows({"sweep": "threads", **record} for record in by_threads)
        writer.writerows({"sweep": "particles", **record} for record in by_particles)
    draw(by_threads, by_particles, cores, options.workload, options.out / "scaling.png")

    for mode in modes:
        share = serial_share(speed_ups([record for record in by_threads if record["mode"] == mode]), cores)
        if share is not None:
            print(f"{mode}: fitted serial share {share:.2%}")
    print(f"results are in {options.out}")


if __name__ == "__main__":
    main()
