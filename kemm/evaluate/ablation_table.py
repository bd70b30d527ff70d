"""The tables of an ablation: accuracies over the seeds, and paired differences to the whole with their intervals."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kemm.evaluate.paired import paired_difference

HELD_OUT = ("wordings", "facts", "entities")
Row = dict[str, Any]


def summarise(results: Path, seeds: Sequence[int] | None = None) -> list[Row]:
    """A row for each variant and condition of knowledge, the whole's first.

    ``accuracy`` is the mean over the seeds, ``deviation`` that between them (n − 1). ``difference`` and ``ci95`` are to
    the whole with full knowledge for the whole's other conditions, to the whole under the same condition for the other
    variants, over the seeds that both have. ``by_held_out`` has the same of the questions that hold out wordings alone,
    facts or entities besides.

    Args:
        seeds: all that there are, unless given.
    """
    found: dict[str, dict[int, Row]] = defaultdict(dict)
    for file in sorted(results.glob("*.json")):
        result = json.loads(file.read_text(encoding="utf-8"))
        if seeds is None or result["seed"] in seeds:
            found[result["variant"]][result["seed"]] = result
    whole, rows = found.get("whole", {}), []
    for variant in sorted(found, key=lambda name: (name != "whole", name)):
        mine = dict(sorted(found[variant].items()))
        for condition in next(iter(mine.values()))["right"]:
            against = "full" if variant == "whole" else condition
            base = {} if (variant, condition) == ("whole", "full") else whole
            kinds = {kind: _figures(mine, base, condition, against, kind) for kind in HELD_OUT}
            row = {"variant": variant, "knowledge": condition, **_figures(mine, base, condition, against)}
            row |= {"seeds": list(mine), "steps": next(iter(mine.values()))["steps"]}
            row |= {"by_held_out": {kind: figures for kind, figures in kinds.items() if figures["n"]}}
            if variant == "whole" and condition == "full":
                row["validation"] = {seed: result.get("validation") for seed, result in mine.items()}
            rows.append(row)
    return rows


def _figures(
    mine: Mapping[int, Row], base: Mapping[int, Row], condition: str, against: str, kind: str | None = None
) -> Row:
    """Accuracy of the questions of one kind, and the difference to ``base`` on the same questions."""

    def right(result: Row, condition: str) -> np.ndarray:
        values = np.array(result["right"][condition])
        return values if kind is None else values[np.array(result["held_out"]) == kind]

    chosen = {seed: right(result, condition) for seed, result in mine.items()}
    chosen = {seed: values for seed, values in chosen.items() if len(values)}
    figures: Row = {"n": sum(map(len, chosen.values()))}
    if chosen:
        means = [values.mean() for values in chosen.values()]
        figures["accuracy"] = round(float(np.mean(means)), 4)
        figures["deviation"] = round(float(np.std(means, ddof=1)), 4) if len(means) > 1 else None
    if shared := [seed for seed in chosen if seed in base]:
        figures |= paired_difference([chosen[seed] for seed in shared], [right(base[seed], against) for seed in shared])
    return figures


def knowledge_table(rows: Sequence[Row]) -> str:
    """Accuracies of the whole under each condition of knowledge, in Markdown."""
    shown = [row for row in rows if row["variant"] == "whole"]
    kinds = _kinds(rows)
    lines = _head("knowledge", "seeds", "all", *kinds.values(), "difference to full")
    for row in shown:
        parts = [row["by_held_out"].get(kind) for kind in kinds]
        cells = [row["knowledge"], _seeds(row), _accuracy(row), *(_accuracy(part) for part in parts), _difference(row)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def parts_table(rows: Sequence[Row], left_out: Mapping[str, Sequence[str]] | None = None) -> str:
    """What each part brings, in Markdown: accuracies of the whole, and differences of what lacks the part to it.

    Args:
        left_out: variant → objectives that it lacks, of all variants; what has no result is said to be not run.
    """
    kinds = _kinds(rows)
    by_name = {(row["variant"], row["knowledge"]): row for row in rows}
    names = list(dict.fromkeys([*(left_out or {}), *(row["variant"] for row in rows)]))
    lines = _head("variant", "seeds", "all", "difference", *kinds.values(), "difference without facts")
    for name in names:
        called = f"{name} ({', '.join(left_out[name])})" if left_out and len(left_out.get(name, ())) > 1 else name
        row, blind = by_name.get((name, "full")), by_name.get((name, "none"))
        if row is None:
            lines.append(f"| {' | '.join([called, 'not run', *[''] * (len(kinds) + 3)])} |")
            continue
        show = _accuracy if name == "whole" else _difference
        cells = [called, _seeds(row), _accuracy(row), _difference(row)]
        cells += [show(row["by_held_out"].get(kind)) for kind in kinds]
        cells.append(show(blind))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _kinds(rows: Sequence[Row]) -> dict[str, str]:
    """Kind of what is held out → the head of its column, with how many questions the seeds have of it."""
    whole = next((row for row in rows if row["variant"] == "whole"), rows[0] if rows else {"by_held_out": {}})
    named = {"wordings": "wordings alone", "facts": "facts", "entities": "entities"}
    return {kind: f"{named[kind]} (n {part['n']})" for kind, part in whole["by_held_out"].items()}


def _head(*heads: str) -> list[str]:
    return [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]


def _seeds(row: Row) -> str:
    return ", ".join(map(str, row["seeds"]))


def _accuracy(figures: Row | None) -> str:
    if not figures or "accuracy" not in figures:
        return ""
    spread = figures.get("deviation")
    return f"{figures['accuracy']:.3f}" + (f" ± {spread:.3f}" if spread is not None else "")


def _difference(figures: Row | None) -> str:
    if not figures or "difference" not in figures:
        return ""
    low, high = figures["ci95"]
    text = f"{figures['difference']:+.3f} [{low:+.3f}, {high:+.3f}]".replace("-", "−")
    return f"**{text}**" if low > 0 or high < 0 else text
