"""Every plot of a report, as SVG to be put straight into a page; the only file that imports matplotlib.

Text stays text in the page's own font and colours follow the page (``currentColor``, ``--muted``, ``--line``,
``--card``), so one drawing serves a light and a dark page and can be searched and read aloud. One unit is one pixel.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from kemm.report.formats import (
    CITED,
    condition_colour,
    is_figure,
    megabytes,
    number,
    one_line,
    percent,
    seconds,
    shorten,
    text_width,
)
from kemm.report.subgraph import ARROW, BEND, LABEL_SIZE, SIZE, TEXT_LINE, Drawing, Edge, Node

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# stand-ins that ``_svg`` replaces by the page's own colours
INK, MUTED, LINE, CARD, ACCENT = "#010203", "#010204", "#010205", "#010206", "#010207"
PAGE_COLOURS = {
    INK: "currentColor",
    MUTED: "var(--muted, #667)",
    LINE: "var(--line, #ddd)",
    CARD: "var(--card, #fff)",
    ACCENT: "var(--accent, #0072b2)",
}
ASKED = "#0072B2"  # the box of what was asked about, under white text
FONT = "DejaVu Sans"  # only measured with; wider than the fonts pages use, so nothing is clipped
WIDTH = 460.0  # of a plot beside its table, pixels

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": FONT,
    "font.size": 12,
    "text.parse_math": False,  # an answer may hold a dollar sign
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.use_mathtext": False,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 11,
    "grid.color": LINE,
    "grid.linewidth": 1,
    "lines.solid_capstyle": "round",
}

Margins = tuple[float, float, float, float]  # left, right, top, bottom, pixels


def _svg(name: str, title: str, width: float, height: float, margins: Margins, draw: Callable[[Axes], None]) -> str:
    """Draw on one pair of axes and return ``<svg>…</svg>``; ``name`` keeps its ids apart from other plots'."""
    left, right, top, bottom = margins
    box = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    out = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the page's fonts have what ours lacks
        figure = Figure(figsize=(width / 72, height / 72))
        figure.patch.set_visible(False)
        axes = figure.add_axes(box)
        axes.patch.set_visible(False)
        draw(axes)
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.S)  # inside a page it would hold for the whole page
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = svg.replace(f"'{FONT}'", "var(--font, sans-serif)")
    for stand_in, colour in PAGE_COLOURS.items():
        svg = svg.replace(stand_in, colour)
    least = round(min(width, max(320.0, 0.72 * width)))  # below that, a phone scrolls
    opening = (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}" '
        f'style="width:100%;max-width:{width:g}px;min-width:{least}px;height:auto;'
        'stroke-linejoin:round;stroke-linecap:butt">'
    )
    return opening + svg[svg.index(">") + 1 :].strip()


def _rows(axes: Axes, names: Sequence[str]) -> None:
    """One row a name, the first on top, names at the left, no vertical axis line."""
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0, pad=8)
    axes.spines["left"].set_visible(False)


def _share_axis(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
    axes.grid(axis="x")
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="x", length=0)


def _left(names: Sequence[str]) -> float:
    return min(max(text_width(name, 12) for name in names) + 14, 200.0)


def _interval(axes: Axes, row: float, figure: dict[str, Any], colour: str) -> None:
    bounds = figure.get("ci95")
    if isinstance(bounds, list | tuple) and len(bounds) == 2 and all(map(is_figure, bounds)):
        axes.plot(bounds, [row, row], color=colour, linewidth=1.6)
        for bound in bounds:
            axes.plot([bound, bound], [row - 0.11, row + 0.11], color=colour, linewidth=1.6)


def accuracy_bars(figures: dict[str, dict[str, Any]], title: str) -> str:
    """Accuracy a condition as bars with 95 % intervals. ``figures``: condition → {accuracy, ci95, n}."""
    names = [name for name, f in figures.items() if is_figure(f.get("accuracy"))]
    if not names:
        return ""

    def draw(axes: Axes) -> None:
        _rows(axes, names)
        _share_axis(axes)
        for row, name in enumerate(names):
            value = figures[name]["accuracy"]
            axes.barh(row, value, height=0.62, color=condition_colour(name))
            _interval(axes, row, figures[name], INK)
            end = max([value, *(b for b in figures[name].get("ci95") or () if is_figure(b))])
            axes.text(end + 0.02, row, percent(value), va="center", fontweight="bold")

    return _svg("accuracy " + title, title, WIDTH, 40 * len(names) + 34, (_left(names), 62, 6, 28), draw)


def paired_accuracy(groups: dict[str, dict[str, dict[str, Any]]], title: str) -> str:
    """Accuracy by kind of question, full above none, with 95 % intervals. ``groups``: kind → condition → figures."""
    names = [shorten(one_line(name), 28) for name in groups]
    shown = ("none", "full")

    def draw(axes: Axes) -> None:
        _rows(axes, names)
        _share_axis(axes)
        for row, conditions in enumerate(groups.values()):
            found = {c: conditions[c] for c in shown if is_figure(conditions.get(c, {}).get("accuracy"))}
            for condition, figure in found.items():
                y = row + (0.0 if len(found) == 1 else 0.17 if condition == "none" else -0.17)
                colour = condition_colour(condition)
                _interval(axes, y, figure, colour)
                axes.plot(figure["accuracy"], y, "o", markersize=9, color=colour, clip_on=False)

    return _svg("paired " + title, title, WIDTH, 34 * len(names) + 36, (_left(names), 26, 8, 28), draw)


def retrieval_bars(figures: dict[str, dict[str, Any]], title: str) -> str:
    """Shares as bars, with a tick where guessing would stand. ``figures``: name → {value, chance}."""

    def draw(axes: Axes) -> None:
        _rows(axes, [""] * len(figures))
        _share_axis(axes)
        for row, (name, figure) in enumerate(figures.items()):
            value: Any = figure.get("value")
            chance: Any = figure.get("chance")
            axes.text(0, row - 0.2, shorten(one_line(name), 60), va="bottom", fontsize=12)
            if is_figure(value):
                axes.barh(row + 0.12, value, height=0.36, color=ACCENT)
                axes.text(value + 0.015, row + 0.12, percent(value), va="center", fontweight="bold")
            if is_figure(chance):
                axes.plot([chance, chance], [row - 0.12, row + 0.36], color=INK, linewidth=2)

    return _svg("retrieval", title, WIDTH, 56 * len(figures) + 34, (4, 66, 6, 28), draw)


def stage_bars(stages: Sequence[dict[str, Any]]) -> str:
    """Seconds a stage as bars, its peak memory beside."""
    names = [shorten(one_line(stage.get("name", "")), 26) for stage in stages]
    times = [stage["seconds"] if is_figure(stage.get("seconds")) else 0.0 for stage in stages]
    longest = max([*times, 1e-9])

    def draw(axes: Axes) -> None:
        _rows(axes, names)
        axes.set_xlim(0, longest)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        for row, (stage, time) in enumerate(zip(stages, times, strict=True)):
            axes.barh(row, time, height=0.6, color=ACCENT)
            beside = seconds(stage.get("seconds"))
            if is_figure(stage.get("peak_mb")):
                beside += f"  ·  {megabytes(stage['peak_mb'])}"
            axes.text(time + longest * 0.025, row, beside, va="center", fontsize=11)

    return _svg(
        "stages", "Time and peak memory of each stage", WIDTH, 30 * len(names) + 12, (_left(names), 150, 6, 6), draw
    )


def smooth(values: Sequence[float], reach: int) -> list[float]:
    """Centred running mean, so that the curve doesn't lag: m_t = mean of v_i over |i − t| ≤ r, r less at the ends."""
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    means = []
    for t in range(len(values)):
        r = min(reach, t, len(values) - 1 - t)
        means.append((sums[t + r + 1] - sums[t - r]) / (2 * r + 1))
    return means


def loss_curve(name: str, points: Sequence[Sequence[float]]) -> str:
    """One objective's loss over the steps: raw faint, smoothed on top."""
    finite = [(step, value) for step, value in points if is_figure(step) and is_figure(value)]
    stride = max(1, len(finite) // 300)  # a page needs no more points than pixels
    steps, raw = [p[0] for p in finite], [p[1] for p in finite]
    means = smooth(raw, len(raw) // 20)

    def draw(axes: Axes) -> None:
        axes.plot(steps[::stride], raw[::stride], color=ACCENT, alpha=0.28, linewidth=1)
        axes.plot(steps[::stride], means[::stride], color=ACCENT, linewidth=2, marker="o" if len(finite) == 1 else None)
        axes.set_xlim(min(0, *steps) if len(steps) > 1 else 0, max([*steps, 1]))
        low, high = min(raw), max(raw)
        spread = (high - low) or abs(high) or 1.0
        bottom = 0.0 if 0 <= low < spread * 0.6 else low - 0.08 * spread
        axes.set_ylim(bottom, high + 0.06 * spread)
        ticks = [bottom + (high - bottom) * share for share in (0, 0.5, 1)]
        words = [f"{tick:.2g}" if abs(tick) < 100 else number(round(tick)) for tick in ticks]
        axes.set_yticks(ticks, [word.replace("-", "−") for word in words])
        axes.set_xticks([axes.get_xlim()[1]], [f"step {number(axes.get_xlim()[1])}"], ha="right")
        axes.tick_params(axis="both", length=0, labelcolor=MUTED, labelsize=11)
        axes.grid(axis="y")
        axes.spines[["left", "bottom"]].set_visible(False)

    return _svg("loss " + name, f"Loss of {name} over the training steps", 320, 138, (42, 8, 8, 22), draw)


def calibration(bins: Sequence[Sequence[float]], threshold: float | None) -> str:
    """Accuracy against confidence, a dot a bin with its area as the number of answers; the diagonal is perfect."""
    shown = [b for b in bins if len(b) == 3 and all(map(is_figure, b)) and b[2] > 0]
    most = max((b[2] for b in shown), default=1)

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1.2, linestyle=(0, (4, 4)))
        axes.plot([b[0] for b in shown], [b[1] for b in shown], color=ACCENT, alpha=0.5, linewidth=1.5)
        areas = [24 + 260 * b[2] / most for b in shown]
        axes.scatter([b[0] for b in shown], [b[1] for b in shown], s=areas, color=ACCENT, linewidths=0, clip_on=False)
        if is_figure(threshold):
            assert threshold is not None
            axes.axvline(threshold, color=CITED, linewidth=1.5)
            side = "left" if threshold < 0.5 else "right"
            shift = 0.015 if threshold < 0.5 else -0.015
            axes.text(
                threshold + shift, 0.03, f"“not known” below {percent(threshold)}", ha=side, fontsize=11, color=CITED
            )
        ticks = [0, 0.25, 0.5, 0.75, 1]
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xticks(ticks, ["0", "25", "50", "75", "100 %"])
        axes.set_yticks(ticks, ["0", "25", "50", "75", "100 %"])
        axes.tick_params(length=0, labelcolor=MUTED, labelsize=11)
        axes.grid()
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.set_xlabel("confidence")
        axes.set_ylabel("accuracy")

    return _svg("calibration", "Accuracy against confidence", 420, 340, (66, 20, 14, 44), draw)


def subgraph(drawing: Drawing, title: str) -> str:
    """The drawing that ``subgraph.arrange`` laid out."""
    from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
    from matplotlib.path import Path

    def box(axes: Axes, node: Node) -> None:
        fill, edge, line = {
            "anchor": (ASKED, ASKED, 1.0),
            "answer": (CARD, CITED, 2.2),
            "entity": (CARD, MUTED, 1.0),
        }[node.role]
        corner = (node.x + 6, node.y - node.height / 2 + 6)
        style = "round,pad=6,rounding_size=7"
        dashes = (0, (3, 2)) if node.is_repeat else "solid"
        look: dict[str, Any] = {"fc": fill, "ec": edge, "linewidth": line, "linestyle": dashes, "zorder": 3}
        axes.add_patch(FancyBboxPatch(corner, node.width - 12, node.height - 12, style, **look))
        weight = "bold" if node.role != "entity" else "normal"
        colour = "white" if node.role == "anchor" else INK
        for row, text in enumerate(node.lines):
            y = node.y + (row - (len(node.lines) - 1) / 2) * TEXT_LINE
            place: dict[str, Any] = {"ha": "center", "va": "center_baseline", "zorder": 4}
            axes.text(node.x + node.width / 2, y, text, fontsize=SIZE, color=colour, fontweight=weight, **place)

    def line(axes: Axes, edge: Edge) -> None:
        (x0, y0), (x1, y1) = edge.start, edge.end
        colour, weight, width = (CITED, "bold", 2.4) if edge.is_cited else (MUTED, "normal", 1.1)
        middle = max((x0 + edge.shelf) / 2, edge.shelf - BEND / 2)
        points = [(x0, y0), (edge.shelf - BEND, y0), (middle, y0), (middle, y1), (edge.shelf, y1), (x1 - 4, y1)]
        curve = Path(points, [1, 2, 4, 4, 4, 2])
        axes.add_patch(PathPatch(curve, fill=False, ec=colour, linewidth=width, zorder=2.5 if edge.is_cited else 2))
        halo: dict[str, Any] = {"facecolor": CARD, "edgecolor": "none", "pad": 1.5}
        words: dict[str, Any] = {
            "fontsize": LABEL_SIZE,
            "color": colour,
            "fontweight": weight,
            "ha": "right",
            "va": "center_baseline",
        }
        axes.text(x1 - ARROW * 0.62, y1, edge.label, bbox=halo, zorder=6, **words)
        tip, back = (x1 - 1, x1 - 10) if edge.points_far else (x1 - 11, x1 - 2)
        axes.add_patch(Polygon([(tip, y1), (back, y1 - 4.5), (back, y1 + 4.5)], fc=colour, ec="none", zorder=5))

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        axes.set_xlim(0, drawing.width)
        axes.set_ylim(drawing.height, 0)
        for edge in drawing.edges:
            line(axes, edge)
        for node in drawing.nodes.values():
            box(axes, node)

    return _svg("subgraph " + title, title, drawing.width, drawing.height, (0, 0, 0, 0), draw)


def count_bars(counts: Sequence[tuple[str, int]], title: str) -> str:
    """Counts as bars, the number beside each. ``counts``: (name, count), drawn from the top."""
    if not counts:
        return ""
    names = [shorten(one_line(name), 30) for name, _ in counts]
    most = max([count for _, count in counts] + [1])

    def draw(axes: Axes) -> None:
        _rows(axes, names)
        axes.set_xlim(0, most)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        for row, (_, count) in enumerate(counts):
            axes.barh(row, count, height=0.62, color=ACCENT)
            axes.text(count + most * 0.02, row, number(count), va="center", fontsize=11)

    return _svg("counts " + title, title, WIDTH, 26 * len(names) + 12, (_left(names), 84, 6, 6), draw)


def size_bars(bins: dict[str, Sequence[dict[str, int]]], title: str) -> str:
    """How many things have how many: bars for 0, 1, 2–3, 4–7, … on a logarithmic axis, one colour a series.

    Args:
        bins: series → [{"from", "to", "count"}], each series beginning at the same bin.
    """
    longest = max(bins.values(), key=len, default=[])
    most = max((row["count"] for rows in bins.values() for row in rows), default=0)
    if not most:
        return ""
    first = min(at for rows in bins.values() for at, row in enumerate(rows) if row["count"])
    shown = longest[first:]
    colours = (ACCENT, MUTED)

    def draw(axes: Axes) -> None:
        width = 0.8 / len(bins)
        for series, (name, rows) in enumerate(bins.items()):
            places = [at + (series - (len(bins) - 1) / 2) * width for at in range(len(rows[first:]))]
            heights = [row["count"] for row in rows[first:]]
            axes.bar(places, heights, width * 0.94, color=colours[series % 2], label=name)
            if len(bins) == 1:
                for place, height in zip(places, heights, strict=True):
                    if height:
                        axes.text(place, height * 1.12, number(height), ha="center", fontsize=10)
        axes.set_yscale("log")
        axes.set_ylim(0.7, most * (2.2 if len(bins) == 1 else 1.5))
        top = int(math.log10(most))
        axes.set_yticks([10**power for power in range(top + 1)], [number(10**power) for power in range(top + 1)])
        axes.minorticks_off()
        words = [number(row["from"]) + ("" if row["from"] == row["to"] else "+") for row in shown]
        axes.set_xticks(range(len(shown)), words)
        if len(words) > 9:
            axes.tick_params(axis="x", labelrotation=45)
        axes.tick_params(length=0, labelcolor=MUTED, labelsize=11)
        axes.grid(axis="y")
        axes.spines[["left"]].set_visible(False)
        if len(bins) > 1:
            axes.legend(frameon=False, fontsize=11, loc="upper right", handlelength=1)

    return _svg("sizes " + title, title, WIDTH, 240, (64, 8, 10, 48), draw)
