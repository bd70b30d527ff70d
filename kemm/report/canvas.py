"""A pair of axes that becomes an SVG in the page's own font and colours; plots are drawn on it.

Text stays text and colours follow the page (``currentColor``, ``--muted``, ``--line``, ``--card``), so one drawing
serves a light and a dark page and can be searched and read aloud. One unit is one pixel.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from kemm.report.formats import text_width

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


def svg(name: str, title: str, width: float, height: float, margins: Margins, draw: Callable[[Axes], None]) -> str:
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
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.S)  # inside a page it would hold for the whole page
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = text.replace(f"'{FONT}'", "var(--font, sans-serif)")
    for stand_in, colour in PAGE_COLOURS.items():
        text = text.replace(stand_in, colour)
    least = round(min(width, max(320.0, 0.72 * width)))  # below that, a phone scrolls
    opening = (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}" '
        f'style="width:100%;max-width:{width:g}px;min-width:{least}px;height:auto;'
        'stroke-linejoin:round;stroke-linecap:butt">'
    )
    return opening + text[text.index(">") + 1 :].strip()


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """One row a name, the first on top, names at the left, no vertical axis line."""
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0, pad=8)
    axes.spines["left"].set_visible(False)


def share_axis(axes: Axes) -> None:
    """A horizontal axis from 0 to 100 %."""
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
    axes.grid(axis="x")
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="x", length=0)


def left_of(names: Sequence[str]) -> float:
    """Pixels that the names of rows need at the left."""
    return min(max(text_width(name, 12) for name in names) + 14, 200.0)
