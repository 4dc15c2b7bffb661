"""How long a step would take on more ranks, from the parts of a step that `bench` has measured.

What is predicted is the time of one more rank after another on processors and links like those that were measured:

- computing: what threads share, as much of it as the rank with the most tasks has. A stage with fewer tasks than ranks is not shared.
  What is done to all particles at once counts as shared, although each rank may do it: where that is much, the prediction is too low.
- serial: what one thread alone does on one rank. Each rank does it.
- meeting: meetings and what else all ranks exchange, each as long as a meeting of the measured ranks for each time that their number
  has to be doubled.
- gathering: what has a number for each row, to all ranks.
- handing on: blocks of running sums go from rank to rank, one block behind the other.
"""

import math
from dataclasses import dataclass

# `Limits.chunkRows` and `Limits.tasks` of the library.
CHUNK_ROWS = 2048
MOST_TASKS = 128


def tasks_of(rows):
    """How many tasks a stage over so many rows has. A program with wide tensors has more chunks, and up to all of the tasks."""
    chunks = max(1, math.ceil(rows / CHUNK_ROWS))
    return math.ceil(chunks / math.ceil(chunks / MOST_TASKS))


@dataclass
class Prediction:
    """Seconds."""

    ranks: int
    computing: float
    serial: float
    meeting: float = 0.0
    gathering: float = 0.0
    handing_on: float = 0.0

    @property
    def total(self):
        return self.computing + self.serial + self.meeting + self.gathering + self.handing_on


def predict(alone, shared, ranks):
    """The time of a step on `ranks` ranks.

    `alone` is a record of `bench` on one rank, `shared` one on several ranks of as many threads.
    """
    tasks = tasks_of(alone["particles"])
    serial = alone["medianSeconds"] * alone["serialShare"]
    computing = alone["medianSeconds"] - serial
    if ranks == 1 or tasks < ranks:
        return Prediction(ranks, computing, serial)
    traffic, measured = shared["traffic"], shared["ranks"]
    doublings = math.ceil(math.log2(ranks))
    latency = traffic["meetingSeconds"] / math.ceil(math.log2(measured))
    # A rank sends its part to all others: of all bytes it has one part in as many as there are ranks.
    gathered = traffic["gatheredBytes"] * measured / (measured - 1)
    hops = traffic["messages"] + ranks - 2 if traffic["messages"] else 0
    block = traffic["messageBytes"] / traffic["messages"] if traffic["messages"] else 0
    return Prediction(
        ranks, computing * math.ceil(tasks / ranks) / tasks, serial,
        meeting=traffic["gatherings"] * latency * doublings,
        gathering=gathered * (ranks - 1) / ranks / traffic["bytesPerSecond"],
        handing_on=hops * (latency + block / traffic["bytesPerSecond"]))


def milliseconds(seconds):
    return f"{seconds * 1e3:,.3f}"


def report(records, more_ranks):
    """Lines on the records of one mode at one number of threads, one record for each number of ranks."""
    by_ranks = {record["ranks"]: record for record in records}
    alone, others = by_ranks[1], [record for record in records if record["ranks"] > 1]
    lines = [f"{alone['mode']}, {alone['particles']:,} particles, {alone['threads']} thread"
             f"{'s'[:alone['threads'] > 1]} a rank",
             f"  measured: on 1 rank {milliseconds(alone['medianSeconds'])} ms, {alone['serialShare']:.1%} of it serial"]
    for record in others:
        traffic = record["traffic"]
        lines.append(
            f"  measured: on {record['ranks']} ranks {milliseconds(record['medianSeconds'])} ms, "
            f"{traffic['sentBytes']:,.0f} B sent a step by the rank that sends most, {traffic['gatherings']:.0f} exchanges and "
            f"{traffic['messages']:.0f} messages of {traffic['messageBytes']:,.0f} B, {traffic['share']:.1%} of the time in "
            f"them; a meeting by itself {traffic['meetingSeconds'] * 1e6:,.1f} µs, {traffic['bytesPerSecond'] / 1e9:.2f} GB/s")
    if not others:
        return lines + ["  nothing is predicted, since nothing was exchanged"]
    lines.append(f"  predicted from 1 rank and {others[0]['ranks']}, for processors and links like these, of "
                 f"{tasks_of(alone['particles'])} tasks, in ms:")
    lines.append("      ranks       time  computing     serial    meeting  gathering handing on   measured")
    for ranks in sorted({*by_ranks, *more_ranks} - {1}):
        parts = predict(alone, others[0], ranks)
        cells = [parts.total, parts.computing, parts.serial, parts.meeting, parts.gathering, parts.handing_on]
        measured = milliseconds(by_ranks[ranks]["medianSeconds"]) if ranks in by_ranks else "-"
        note = "  (fewer tasks than ranks: each runs all)" if tasks_of(alone["particles"]) < ranks else ""
        lines.append(f"  {ranks:>9,}" + "".join(f" {milliseconds(cell):>10}" for cell in cells) + f" {measured:>10}{note}")
    return lines
