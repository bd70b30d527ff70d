"""What a graph of many triples would cost, from the figures that ``benchmarks/kg.py --json`` measured.

    python -m benchmarks.kg --json > figures.json
    python -m benchmarks.kg_scale figures.json --triples 1600000000

Prints the table of ``docs/scale.md``, each line with the formula that it comes from. Everything is taken to grow in
proportion, which is what the document's second half doubts. A figure that was not measured is left out, by name.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

GB, HOUR = 1e9, 3600.0

Figures = Callable[..., float]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("figures", type=Path, help="what `benchmarks/kg.py --json` printed")
    parser.add_argument("--triples", type=int, default=1_600_000_000, help="N (default: Wikidata's truthy dump)")
    options = parser.parse_args()
    measured = json.loads(options.figures.read_text(encoding="utf-8"))
    rows = {(row["measure"], row["contender"]): row for row in measured["rows"]}

    def figure(measure: str, contender: str, part: str = "") -> float:
        row = rows.get((measure, contender), {})
        value = row.get("parts", {}).get(part) if part else row.get("median")
        if value is None:
            raise KeyError(f"{measure}, {contender}{', ' + part if part else ''}")
        return float(value)

    print(f"Measured: {', '.join(f'{name} {value}' for name, value in measured['about'].items())}\n")
    print("| what | formula | measured | at N |\n|---|---|---|---|")
    for what, formula, cost in COSTS:
        try:
            constants, result = cost(float(options.triples), figure)
        except KeyError as missing:
            constants, result = f"not measured: {missing.args[0]}", ""
        print(f"| {what} | {formula} | {constants} | {result} |")


def _time(measure: str, contender: str) -> Callable[[float, Figures], tuple[str, str]]:
    def cost(n: float, figure: Figures) -> tuple[str, str]:
        rate = figure(measure, contender)
        return f"v = {rate:,.0f} triples/s", f"{n / rate / HOUR:,.1f} h"

    return cost


def _disk(*parts: str) -> Callable[[float, Figures], tuple[str, str]]:
    def cost(n: float, figure: Figures) -> tuple[str, str]:
        each = sum(figure("disk", "kg, strings apart", part) for part in parts)
        return f"b = {each:.1f}", f"{n * each / GB:,.0f} GB"

    return cost


def _disk_postgresql(n: float, figure: Figures) -> tuple[str, str]:
    each = figure("load N-Triples", "kg, into PostgreSQL", "bytes")
    return f"b = {each:.1f}", f"{n * each / GB:,.0f} GB"


def _disk_pyoxigraph(n: float, figure: Figures) -> tuple[str, str]:
    each = figure("disk", "pyoxigraph")
    return f"b = {each:.1f}", f"{n * each / GB:,.0f} GB"


def _memory_of_snapshot(n: float, figure: Figures) -> tuple[str, str]:
    of = ("disk", "kg, strings apart")
    share, each = figure(*of, "edges") / figure(*of, "triples"), figure(*of, "memory per edge")
    return f"e = {share:.2f} edges a triple, m = {each:.0f} bytes", f"{n * share * each / GB:,.0f} GB"


COSTS: tuple[tuple[str, str, Callable[[float, Figures], tuple[str, str]]], ...] = (
    ("load into SQLite", "N / v", _time("load N-Triples", "kg")),
    ("load into PostgreSQL", "N / v", _time("load N-Triples", "kg, into PostgreSQL")),
    ("load into pyoxigraph, for comparison", "N / v", _time("load N-Triples", "pyoxigraph, bulk load to disk")),
    ("disk: statements and indexes", "N · b", _disk("statements")),
    ("disk: terms", "N · b", _disk("terms")),
    ("disk: snapshot", "N · b", _disk("snapshot")),
    ("disk while loading in one transaction", "2 · N · b of statements and terms", _disk(*("statements", "terms") * 2)),
    ("disk in PostgreSQL", "N · b", _disk_postgresql),
    ("disk in pyoxigraph, for comparison", "N · b", _disk_pyoxigraph),
    ("memory to take a snapshot", "N · e · m", _memory_of_snapshot),
)


if __name__ == "__main__":
    main()
