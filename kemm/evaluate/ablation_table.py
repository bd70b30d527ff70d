"""The table of an ablation: accuracies over the seeds, and paired differences to the whole with their intervals."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kemm.evaluate.paired import paired_difference

HELD_OUT = ("wordings", "facts", "entities")


def summarise(results: Path, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """A row for each variant and condition of knowledge, the whole's first.

    ``accuracy`` is the mean over the seeds, ``deviation`` that between them (n − 1), ``by_held_out`` of the questions
    that hold out wordings alone, facts or entities besides. ``difference`` and ``ci95`` are to the whole with full
    knowledge for the whole's other conditions, to the whole under the same condition for the other variants, over the
    seeds that both have.
    """
    found: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for file in sorted(results.glob("*.json")):
        result = json.loads(file.read_text(encoding="utf-8"))
        if result["seed"] in seeds:
            found[result["variant"]][result["seed"]] = result
    whole, rows = found.get("whole", {}), []
    for variant in sorted(found, key=lambda name: (name != "whole", name)):
        results_of = found[variant]
        for condition in next(iter(results_of.values()))["right"]:
            row = {"variant": variant, "knowledge": condition, **_figures(results_of, condition)}
            against = "full" if variant == "whole" else condition
            shared = [seed for seed in results_of if seed in whole]
            if shared and not (variant == "whole" and condition == "full"):
                mine = [results_of[seed]["right"][condition] for seed in shared]
                row |= paired_difference(mine, [whole[seed]["right"][against] for seed in shared])
            rows.append(row)
    return rows


def _figures(results: dict[int, dict[str, Any]], condition: str) -> dict[str, Any]:
    right = {seed: np.array(result["right"][condition]) for seed, result in results.items()}
    means = [values.mean() for values in right.values()]
    by_held_out = {}
    for kind in HELD_OUT:
        chosen = [values[np.array(results[seed]["held_out"]) == kind] for seed, values in right.items()]
        if any(map(len, chosen)):
            by_held_out[kind] = round(float(np.concatenate(chosen).mean()), 4)
    return {
        "accuracy": round(float(np.mean(means)), 4),
        "deviation": round(float(np.std(means, ddof=1)), 4) if len(means) > 1 else None,
        "n": sum(map(len, right.values())),
        "seeds": sorted(right),
        "steps": next(iter(results.values()))["steps"],
        "by_held_out": by_held_out,
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    kinds = [kind for kind in HELD_OUT if any(kind in row["by_held_out"] for row in rows)]
    heads = ["variant", "knowledge", "accuracy", *(f"held-out {kind}" for kind in kinds), "n; seeds; steps"]
    lines = [f"| {' | '.join([*heads, 'difference', '95 %'])} |", "|" + "---|" * (len(heads) + 2)]
    for row in rows:
        spread = f" ± {row['deviation']:.3f}" if row["deviation"] is not None else ""
        cells = [row["variant"], row["knowledge"], f"{row['accuracy']:.3f}{spread}"]
        cells += [f"{row['by_held_out'][kind]:.3f}" if kind in row["by_held_out"] else "" for kind in kinds]
        cells.append(f"{row['n']}; {', '.join(map(str, row['seeds']))}; {row['steps']}")
        if "difference" in row:
            low, high = row["ci95"]
            cells += [f"{row['difference']:+.3f}", f"{low:+.3f} … {high:+.3f}"]
        else:
            cells += ["", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
