"""How measurements are written for people."""

import statistics


def duration(seconds):
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} µs"


def middle(records, key="medianSeconds"):
    return statistics.median(record[key] for record in records)


def ratio(value):
    return f"{value:.{2 if value < 1 else 1 if value < 100 else 0}f}"


def ratio_with_spread(spread):
    return f"{ratio(spread['median'])}× ({ratio(spread['min'])} – {ratio(spread['max'])})"


def table(rows):
    """Markdown; the first row is the head."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]])
