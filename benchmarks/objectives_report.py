"""What ``benchmarks.objectives`` found, as a table and as a page of curves.

    python -m benchmarks.objectives_report runs/objectives --table docs/results.md [--page FILE]

Puts the table between its marks. Of several folders, whose rows were run side by side, a later one's rows count.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

Points = Sequence[Sequence[float]]  # of (step, value)

WIDTH, HEIGHT = 205, 70
BASELINE = {"loss": "loss_of_the_mean", "accuracy": "chance", "film_accuracy": "film_chance"}
STYLE = """
:root { color-scheme: light dark; --line: #1f6feb; --base: #8b949e; --grid: #8b949e55; --bad: #bc4c00 }
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 1180px; padding: 0 1em }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(460px, 1fr)); gap: 1em }
section { border: 1px solid var(--grid); border-radius: 6px; padding: .6em .9em }
h1 { font-size: 1.5em } h2 { font-size: 1em; margin: 0 0 .4em } h2 small { color: var(--base); font-weight: normal }
div { display: flex; flex-wrap: wrap; gap: .5em 1.4em } figure { margin: 0 }
figcaption, section p { font-size: 12px; margin: 0 }
polyline { fill: none; stroke: var(--line); stroke-width: 1.8 } .base { stroke: var(--base); stroke-dasharray: 4 3 }
line { stroke: var(--grid) } .bad { color: var(--bad) } i { color: var(--base); font-style: normal }
"""


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: held-out loss before and after, accuracy beside chance."""
    lines = [
        "| objective | steps | held-out loss before | after | accuracy | chance | CPU s |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in found.items():
        loss, curves = one["curves"]["loss"], one["curves"]
        after = [f"{curves[key][-1][1]:.3f}" if key in curves else "–" for key in ("accuracy", "chance")]
        if "loss_of_the_mean" in curves:
            after[1] = f"loss of the mean {curves['loss_of_the_mean'][-1][1]:.3f}"
        cells = [name, str(one["steps"]), f"{loss[0][1]:.3f}", f"{loss[-1][1]:.3f}", *after, f"{one['seconds']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def page(found: Mapping[str, Mapping[str, Any]]) -> str:
    """A card an objective: its curves, each over what chance or the mean gives; nothing is loaded from outside."""
    cards = []
    for name, one in found.items():
        curves = one["curves"]
        beside = {BASELINE[metric] for metric in curves if metric in BASELINE}
        drawn, said = "", []
        for metric, points in curves.items():
            base = curves.get(BASELINE.get(metric, ""))
            if metric == "loss" or base:
                drawn += _figure(metric, points, base)
            elif metric not in beside:
                said.append(f"{metric.replace('_', ' ')} {points[0][1]:.3f} → {points[-1][1]:.3f}")
        head = f"<h2>{escape(name)} <small>{one['steps']} steps, {one['seconds']:.0f} s of processor time</small></h2>"
        cards.append(f"<section>{head}<div>{drawn}</div><p>{', '.join(said)}</p></section>")
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Objectives</title><style>{STYLE}</style>"
        "<h1>Each objective alone, on held-out data</h1><p>Dashed: chance, or the loss of always saying the mean. "
        f"<span class=bad>Marked</span>: what ends no better than that.</p><main>{''.join(cards)}</main></html>\n"
    )


def _figure(metric: str, points: Points, base: Points | None) -> str:
    """A curve as SVG, over the one it is to beat, from their least to their greatest value."""
    lines = [points, *([base] if base else [])]
    values = [value for line in lines for _, value in line]
    low, high, last = min(values), max(values), max(points[-1][0], 1)
    span = high - low or 1.0

    def place(line: Points) -> str:
        return " ".join(f"{WIDTH * s / last:.1f},{2 + HEIGHT - HEIGHT * (v - low) / span:.1f}" for s, v in line)

    is_bad = base is not None and (points[-1][1] >= base[-1][1] if metric == "loss" else points[-1][1] <= base[-1][1])
    kind = " class=bad" if is_bad else ""
    beside = f" <i>beside {base[-1][1]:.3f}</i>" if base else ""
    under = f"<polyline class=base points='{place(base)}'/>" if base else ""
    return (
        f"<figure><figcaption{kind}>{metric.replace('_', ' ')} {points[0][1]:.3f} → <b>{points[-1][1]:.3f}</b>{beside}"
        f"</figcaption><svg width={WIDTH} height={HEIGHT + 6} role=img aria-label='{metric}'>"
        f"<line x1=0 x2={WIDTH} y1={HEIGHT + 4} y2={HEIGHT + 4} />{under}<polyline points='{place(points)}'/></svg>"
        "</figure>"
    )


def part(found: Mapping[str, Mapping[str, Any]]) -> str:
    """What stands in the page of results."""
    return f"""## Each objective alone

`python -m benchmarks.objectives --data FOLDER`, put here by `benchmarks.objectives_report`: a model of width 96
with two layers learns one objective on Grocery with at most eight shop photos a product, one seed, and is measured on
what is held out of it. Chance is the commonest answer, or one of the candidates; where nothing is chosen, the loss of
always saying the mean stands in its place. These are checks that each objective learns, not what it brings: that is
the ablation.

{table(found)}"""


def main() -> None:
    from benchmarks.objectives import ROWS
    from kemm.evaluate.results_page import put

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="that benchmarks.objectives wrote")
    parser.add_argument("--table", type=Path, required=True, help="Markdown, in which the table is put")
    parser.add_argument("--page", type=Path, help="HTML, of the curves")
    given = parser.parse_args()
    found: dict[str, Any] = {}
    for folder in given.folders:
        found |= json.loads((folder / "objectives.json").read_text())
    ordered = {name: found[name] for name in ROWS if name in found}
    given.table.write_text(put(given.table.read_text(), "benchmarks.objectives", part(ordered)))
    if given.page is not None:
        given.page.write_text(page(ordered))


if __name__ == "__main__":
    main()
