"""How a report writes numbers, times and names: short for the eye, never more digits than mean something."""

from __future__ import annotations

import math
import re
import unicodedata

ABSENT = "–"  # stands wherever a figure was not given or is not finite

#: A knowledge condition → its colour in every plot and table, and what it means. Okabe and Ito's colours, told apart
#: by colour-blind readers and readable on both a light and a dark page.
CONDITIONS: dict[str, tuple[str, str]] = {
    "full": ("#0072B2", "the facts that retrieval brought"),
    "none": ("#868E96", "no facts at all"),
    "shuffled": ("#E69F00", "the facts of another question"),
    "random": ("#CC79A7", "facts drawn at random"),
    "oracle": ("#009E73", "exactly the facts needed"),
}
CITED = "#D55E00"  # the colour of a cited fact, used for nothing else


def condition_colour(name: str) -> str:
    return CONDITIONS.get(name, ("#56B4E9", ""))[0]


def is_figure(value: object) -> bool:
    """True for a finite number; booleans aren't figures."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(value: object) -> str:
    """``117659 → 117,659``, ``0.03456 → 0.0346``, ``1234.5 → 1,234.5``; whole floats lose their point."""
    if not isinstance(value, int | float) or not is_figure(value):
        return ABSENT if value is None or isinstance(value, float) else str(value)
    if value == int(value):
        return f"{int(value):,}"
    if abs(value) >= 100:
        return f"{value:,.1f}"
    return f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.1e}"


def percent(value: object) -> str:
    """A share in [0, 1]: ``0.8734 → 87.3 %``, ``1 → 100 %``, ``0.0004 → 0.04 %``, ``0.99999 → > 99.99 %``."""
    if not isinstance(value, int | float) or not is_figure(value):
        return ABSENT
    if value in (0, 1):
        return f"{value * 100:.0f} %"
    if abs(value) < 0.001:
        return f"{value * 100:.1g} %"
    if 0.9999 < value < 1:  # rounded, it would claim all
        return "> 99.99 %"
    return f"{value * 100:.2f} %" if 0.9995 <= value < 1 else f"{value * 100:.1f} %"


def interval(bounds: object) -> str:
    """``[0.84, 0.9021] → 84.0–90.2 %``; nothing when there are no bounds."""
    if not isinstance(bounds, list | tuple) or len(bounds) != 2 or not all(map(is_figure, bounds)):
        return ""
    return f"{bounds[0] * 100:.1f}–{bounds[1] * 100:.1f} %"


def seconds(value: object) -> str:
    """``3.214 → 3.21 s``, ``45.3 → 45.3 s``, ``125 → 2 min 5 s``, ``5000 → 1 h 23 min``."""
    if not isinstance(value, int | float) or not is_figure(value):
        return ABSENT
    if value < 99.95:
        return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(value / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def megabytes(value: object) -> str:
    """``812.4 → 812 MB``, ``1942 → 1.94 GB`` (1 GB = 1,000 MB)."""
    if not isinstance(value, int | float) or not is_figure(value):
        return ABSENT
    return f"{value:.0f} MB" if value < 999.5 else f"{value / 1000:.2f} GB"


def one_line(text: object) -> str:
    """``text`` without line breaks and control characters, which no SVG or table cell can hold."""
    kept = "".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in str(text))
    return " ".join(kept.split())


def short_name(text: object) -> str:
    """An IRI's last part as words, anything else unchanged: ``…schema.org/countryOfOrigin → country of origin``."""
    name = one_line(text)
    if not re.match(r"[a-z][a-z0-9+.-]*://\S+$", name):
        return name
    tail = re.split(r"[/#]", name.rstrip("/#"))[-1]
    return (
        re.sub(r"(?<=[a-z])(?=[A-Z])", " ", tail).replace("_", " ").lower()
        if tail[:1].islower()
        else tail.replace("_", " ")
    )


def text_width(text: str, size: float) -> float:
    """An upper estimate of a text's width in pixels at a font size in pixels, for any font a browser may take."""
    return sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.82 if c in "MWmw@%" else 0.58 for c in text) * size


def shorten(text: str, length: int) -> str:
    """``text`` cut to ``length`` characters, at a word where one is near, with an ellipsis."""
    if len(text) <= length:
        return text
    cut = text[: length - 1]
    space = cut.rfind(" ")
    return (cut[:space] if space > length * 0.6 else cut).rstrip(" ,;:-–") + "…"


def wrap(text: str, length: int, lines: int) -> list[str]:
    """``text`` in at most ``lines`` lines of at most ``length`` characters; the last one says when more was cut."""
    rows: list[str] = []
    rest = text
    while len(rows) < lines - 1 and len(rest) > length:
        space = rest.rfind(" ", 0, length + 1)
        cut = space if space > 0 else length
        rows.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*rows, shorten(rest, length)]
