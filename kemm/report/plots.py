"""The plots of reports and profiles: bars, curves and dots, as SVG to be put straight into a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kemm.report.canvas import ACCENT, INK, MUTED, WIDTH, left_of, name_rows, share_axis, svg
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
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
        name_rows(axes, names)
        share_axis(axes)
        for row, name in enumerate(names):
            value = figures[name]["accuracy"]
            axes.barh(row, value, height=0.62, color=condition_colour(name))
            _interval(axes, row, figures[name], INK)
            end = max([value, *(b for b in figures[name].get("ci95") or () if is_figure(b))])
            axes.text(end + 0.02, row, percent(value), va="center", fontweight="bold")

    return svg("accuracy " + title, title, WIDTH, 40 * len(names) + 34, (left_of(names), 62, 6, 28), draw)


def paired_accuracy(groups: dict[str, dict[str, dict[str, Any]]], title: str) -> str:
    """Accuracy by kind of question, full above none, with 95 % intervals. ``groups``: kind → condition → figures."""
    names = [shorten(one_line(name), 28) for name in groups]
    shown = ("none", "full")

    def draw(axes: Axes) -> None:
        name_rows(axes, names)
        share_axis(axes)
        for row, conditions in enumerate(groups.values()):
            found = {c: conditions[c] for c in shown if is_figure(conditions.get(c, {}).get("accuracy"))}
            for condition, figure in found.items():
                y = row + (0.0 if len(found) == 1 else 0.17 if condition == "none" else -0.17)
                colour = condition_colour(condition)
                _interval(axes, y, figure, colour)
                axes.plot(figure["accuracy"], y, "o", markersize=9, color=colour, clip_on=False)

    return svg("paired " + title, title, WIDTH, 34 * len(names) + 36, (left_of(names), 26, 8, 28), draw)


def retrieval_bars(figures: dict[str, dict[str, Any]], title: str) -> str:
    """Shares as bars, with a tick where guessing would stand. ``figures``: name → {value, chance}."""

    def draw(axes: Axes) -> None:
        name_rows(axes, [""] * len(figures))
        share_axis(axes)
        for row, (name, figure) in enumerate(figures.items()):
            value: Any = figure.get("value")
            chance: Any = figure.get("chance")
            axes.text(0, row - 0.2, shorten(one_line(name), 60), va="bottom", fontsize=12)
            if is_figure(value):
                axes.barh(row + 0.12, value, height=0.36, color=ACCENT)
                axes.text(value + 0.015, row + 0.12, percent(value), va="center", fontweight="bold")
            if is_figure(chance):
                axes.plot([chance, chance], [row - 0.12, row + 0.36], color=INK, linewidth=2)

    return svg("retrieval", title, WIDTH, 56 * len(figures) + 34, (4, 66, 6, 28), draw)


def stage_bars(stages: Sequence[dict[str, Any]]) -> str:
    """Seconds a stage as bars, its peak memory beside."""
    names = [shorten(one_line(stage.get("name", "")), 26) for stage in stages]
    times = [stage["seconds"] if is_figure(stage.get("seconds")) else 0.0 for stage in stages]
    longest = max([*times, 1e-9])

    def draw(axes: Axes) -> None:
        name_rows(axes, names)
        axes.set_xlim(0, longest)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        for row, (stage, time) in enumerate(zip(stages, times, strict=True)):
            axes.barh(row, time, height=0.6, color=ACCENT)
            beside = seconds(stage.get("seconds"))
            if is_figure(stage.get("peak_mb")):
                beside += f"  ·  {megabytes(stage['peak_mb'])}"
            axes.text(time + longest * 0.025, row, beside, va="center", fontsize=11)

    return svg(
        "stages", "Time and peak memory of each stage", WIDTH, 30 * len(names) + 12, (left_of(names), 150, 6, 6), draw
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

    return svg("loss " + name, f"Loss of {name} over the training steps", 320, 138, (42, 8, 8, 22), draw)


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

    return svg("calibration", "Accuracy against confidence", 420, 340, (66, 20, 14, 44), draw)


def count_bars(counts: Sequence[tuple[str, int]], title: str) -> str:
    """Counts as bars, the number beside each. ``counts``: (name, count), drawn from the top."""
    if not counts:
        return ""
    names = [shorten(one_line(name), 30) for name, _ in counts]
    most = max([count for _, count in counts] + [1])

    def draw(axes: Axes) -> None:
        name_rows(axes, names)
        axes.set_xlim(0, most)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        for row, (_, count) in enumerate(counts):
            axes.barh(row, count, height=0.62, color=ACCENT)
            axes.text(count + most * 0.02, row, number(count), va="center", fontsize=11)

    return svg("counts " + title, title, WIDTH, 26 * len(names) + 12, (left_of(names), 84, 6, 6), draw)


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

    return svg("sizes " + title, title, WIDTH, 240, (64, 8, 10, 48), draw)
