"""Figures of ``benchmarks.entity_embeddings``: accuracies and paired differences with intervals, from finished runs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kemm.evaluate.paired import paired_difference

BASELINE = "no vectors"
KNOWLEDGE = ("full", "none")


def summarise(out: Path, conditions: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each world, condition (in this order) and kind of knowledge.

    ``accuracy`` is the mean over the seeds; ``difference`` to the baseline and its ``ci95`` are over the seeds that
    both have, with the same questions and steps.

    Raises:
        SystemExit: a condition was run with other questions or steps than the baseline.
    """
    found: dict[str, dict[str, dict[int, Any]]] = defaultdict(lambda: defaultdict(dict))
    for file in sorted(out.glob("*/results/*.json")):
        result = json.loads(file.read_text(encoding="utf-8"))
        found[result["world"]][result["condition"]][result["seed"]] = result
    rows = []
    for world, by_condition in found.items():
        base = by_condition.get(BASELINE, {})
        for name in (name for name in conditions if name in by_condition):
            results = by_condition[name]
            seeds = sorted(results)
            for knowledge in KNOWLEDGE:
                mine = {seed: np.array(results[seed]["right"][knowledge]) for seed in seeds}
                theirs = {seed: np.array(base[seed]["right"][knowledge]) for seed in seeds if seed in base}
                for seed, what in ((seed, what) for seed in theirs for what in ("questions", "steps")):
                    if base[seed][what] != results[seed][what]:
                        raise SystemExit(f"{world}, seed {seed}: '{name}' has other {what} than '{BASELINE}'")
                row = {"world": world, "condition": name, "knowledge": knowledge, "seeds": seeds}
                row["steps"] = results[seeds[0]]["steps"]
                row["n"] = sum(map(len, mine.values()))
                row["accuracy"] = round(float(np.mean([values.mean() for values in mine.values()])), 4)
                if name != BASELINE and theirs:
                    row |= paired_difference([mine[seed] for seed in theirs], list(theirs.values()))
                rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    lines = ["| world | vectors | knowledge | accuracy | n, seeds, steps | difference | 95 % |", "|" + "---|" * 7]
    for row in rows:
        difference, interval = "", ""
        if "difference" in row:
            low, high = row["ci95"]
            difference, interval = f"{row['difference']:+.3f}", f"{low:+.3f} … {high:+.3f}"
        seeds = ", ".join(map(str, row["seeds"]))
        size = f"{row['n']}; {seeds}; {row['steps']}"
        cells = (row["world"], row["condition"], row["knowledge"], f"{row['accuracy']:.3f}", size, difference, interval)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
