"""What ``benchmarks.objectives`` found, as a table and as a page of curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

Points = Sequence[Sequence[float]]  # of (step, value)

WIDTH, HEIGHT = 165, 70
BASELINE = {"loss": "loss_of_the_mean", "accuracy": "chance", "film_accuracy": "film_chance"}
STYLE = """
:root { color-scheme: light dark; --line: #1f6feb; --base: #8b949e; --grid: #8b949e55; --bad: #bc4c00 }
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 1180px; padding: 0 1em }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(540px, 1fr)); gap: 1em }
section { border: 1px solid var(--grid); border-radius: 6px; padding: .6em .9em }
h1 { font-size: 1.5em } h2 { font-size: 1em; margin: 0 0 .4em } h2 small { color: var(--base); font-weight: normal }
div { display: flex; flex-wrap: wrap; gap: .5em 1.4em } figure { margin: 0 } figcaption { font-size: 12px }
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
        drawn = "".join(
            _figure(metric, points, curves.get(BASELINE.get(metric, "")))
            for metric, points in curves.items()
            if metric not in beside
        )
        head = f"<h2>{escape(name)} <small>{one['steps']} steps, {one['seconds']:.0f} s of processor time</small></h2>"
        cards.append(f"<section>{head}<div>{drawn}</div></section>")
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
