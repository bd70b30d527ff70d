"""Literals as vectors: numbers with units, dates, strings.

    encoder = LiteralEncoder(width=128)
    encoder([Literal("1", unit="km"), Literal("2001-05-31", XSD + "date"), Literal("oat milk")])      # (3, 128)

What a value is said by is fixed (``number_features``, ``date_features``, ``gram_numbers``), what it means is learned:
one linear map for each kind and a table of units. Before any training, near numbers have nearer vectors than far ones.

**Units.** A number is brought to its quantity's own unit first (``UNITS``): 1 km and 1000 m are both 1000 of length and
get the same vector. With ``normalise=False`` they don't: the number is taken as written and each unit has a vector of
its own. A unit that the table doesn't know is a quantity of its own, one of 64 by its hash; so is having no unit.
"""

from __future__ import annotations

import datetime
import math
import re
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from kg.embeddings.triples import Array
from kg.records import XSD, Literal

#: unit → (quantity, factor to that quantity's own unit).
UNITS: dict[str, tuple[str, float]] = {
    **{
        unit: ("length", factor) for unit, factor in {"m": 1, "mm": 1e-3, "cm": 1e-2, "km": 1e3, "mi": 1609.344}.items()
    },
    **{unit: ("length", factor) for unit, factor in {"metre": 1, "kilometre": 1e3, "in": 0.0254, "ft": 0.3048}.items()},
    **{unit: ("mass", factor) for unit, factor in {"kg": 1, "g": 1e-3, "gram": 1e-3, "mg": 1e-6, "t": 1e3}.items()},
    **{unit: ("mass", factor) for unit, factor in {"kilogram": 1, "lb": 0.45359237, "oz": 0.028349523125}.items()},
    **{unit: ("time", factor) for unit, factor in {"s": 1, "min": 60, "h": 3600, "d": 86400, "ms": 1e-3}.items()},
    **{unit: ("area", factor) for unit, factor in {"m²": 1, "km²": 1e6, "ha": 1e4, "m2": 1, "km2": 1e6}.items()},
    **{unit: ("volume", factor) for unit, factor in {"m³": 1, "l": 1e-3, "L": 1e-3, "ml": 1e-6, "mL": 1e-6}.items()},
    **{
        unit: ("energy", factor)
        for unit, factor in {"J": 1, "kJ": 1e3, "kcal": 4184, "cal": 4.184, "kWh": 3.6e6}.items()
    },
    **{unit: ("power", factor) for unit, factor in {"W": 1, "kW": 1e3, "MW": 1e6}.items()},
    **{unit: ("share", factor) for unit, factor in {"%": 0.01, "‰": 1e-3}.items()},
}
_QUANTITIES = {name: row for row, name in enumerate(sorted({quantity for quantity, _ in UNITS.values()}), 1)}
_UNITS = {name: row for row, name in enumerate(sorted(UNITS), 1)}
NUM_UNITS = 64  # rows for units that aren't known, by hash
OCTAVES = tuple(2.0**k for k in range(-5, 7))  # waves a decade of magnitude
NUM_NUMBER_FEATURES = 4 + 2 * len(OCTAVES)
NUM_DATE_FEATURES = 12
NUM_GRAMS = 1 << 14

_DATE = re.compile(r"(-?\d{4,})(?:-(\d\d)(?:-(\d\d))?)?(?:T.*|Z|[+-]\d\d:\d\d)?$")
_DATE_TYPES = frozenset(XSD + name for name in ("date", "dateTime", "dateTimeStamp", "gYear", "gYearMonth"))
_NUMBER_TYPES = frozenset(
    XSD + name
    for names in (
        "integer decimal float double int long short byte unsignedInt unsignedLong unsignedShort unsignedByte",
        "nonNegativeInteger positiveInteger negativeInteger nonPositiveInteger",
    )
    for name in names.split()
)


# -- what a value is said by -------------------------------------------------------------------------------------------


def number_features(values: Sequence[float]) -> Array:
    """Return the fixed features of finite numbers, (N, 28) float32.

        sign x, [x = 0], ℓ / 10, √|ℓ| sign(ℓ) / 10,  2^(−k/2) sin 2π 2ᵏ ℓ,  2^(−k/2) cos 2π 2ᵏ ℓ   for k = −5 … 6

    with ℓ = log₁₀|x| (0 for 0). Waves of ever shorter length tell ever nearer numbers apart, as positions of words do
    (Vaswani et al., 2017, arXiv:1706.03762, section 3.5); short waves are low, so that nearness is not lost in them.
    """
    x = np.asarray(values, dtype=np.float64)
    magnitude = np.log10(np.where(x == 0, 1.0, np.abs(x)))
    octaves = np.array(OCTAVES)
    angles = 2 * np.pi * magnitude[:, None] * octaves
    heights = np.where(x == 0, 0.0, 1.0)[:, None] * octaves**-0.5 * octaves[0] ** 0.5
    plain = np.stack([np.sign(x), x == 0, magnitude / 10, np.sign(magnitude) * np.sqrt(np.abs(magnitude)) / 10], axis=1)
    return np.concatenate([plain, heights * np.sin(angles), heights * np.cos(angles)], axis=1).astype(np.float32)


def date_features(dates: Sequence[tuple[int, int, int]]) -> Array:
    """Return the fixed features of dates, (N, 12) float32; a month or day of 0 is not said.

    (year − 2000) / 1000, (year − 2000) / 50 within ± 4, year of the century on a circle (2),
    month on a circle (2), day of the month on a circle (2), day of the week on a circle (2), [month], [day]
    """
    rows = np.zeros((len(dates), NUM_DATE_FEATURES), dtype=np.float32)
    for row, (year, month, day) in zip(rows, dates):
        row[:2] = (year - 2000) / 1000, max(-4.0, min(4.0, (year - 2000) / 50))
        row[2:4] = _circle(year % 100, 100)
        if month:
            row[4:6], row[10] = _circle(month - 1, 12), 1
        if day:
            row[6:8], row[11] = _circle(day - 1, 31), 1
            if 1 <= year <= 9999:
                row[8:10] = _circle(datetime.date(year, month, day).weekday(), 7)
    return rows


def gram_numbers(text: str, sizes: tuple[int, ...] = (2, 3, 4), rows: int = NUM_GRAMS) -> list[int]:
    """Return the rows of a text's character n-grams, from 1; 0 is the empty text's. The same on every machine."""
    padded = f"␂{' '.join(text.casefold().split())}␃"
    grams = [padded[start : start + size] for size in sizes for start in range(len(padded) - size + 1)]
    return [1 + zlib.crc32(gram.encode()) % (rows - 1) for gram in grams] or [0]


def _circle(place: float, around: float) -> tuple[float, float]:
    angle = 2 * math.pi * place / around
    return math.sin(angle), math.cos(angle)


# -- which kind a literal is -------------------------------------------------------------------------------------------


def as_number(literal: Literal) -> float | None:
    """Return a literal's finite number: of a number's datatype, with a unit, or bare digits; None where it is none."""
    if literal.datatype in _DATE_TYPES or literal.language:
        return None
    if not (literal.datatype in _NUMBER_TYPES or literal.unit or literal.datatype is None):
        return None
    try:
        found = float(literal.value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def as_date(literal: Literal) -> tuple[int, int, int] | None:
    """Return a literal's (year, month, day), 0 for what isn't said; None where it is no date."""
    is_said = literal.datatype in _DATE_TYPES
    match = _DATE.fullmatch(literal.value.strip())
    if match is None or not (is_said or (literal.datatype is None and match[3])):
        return None
    year, month, day = (int(part or 0) for part in match.groups())
    if month > 12 or (match[2] and not month) or (match[3] and not 1 <= day <= _days(year, month)):
        return None
    return year, month, day


def _days(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def unit_row(unit: str | None, normalise: bool = True) -> tuple[int, float]:
    """Return the row of a unit's (or its quantity's) vector and the factor that the number is multiplied with."""
    if unit is None:
        return 0, 1.0
    quantity, factor = UNITS.get(unit, (unit, 1.0))
    name, factor = (quantity, factor) if normalise else (unit, 1.0)
    known = _QUANTITIES if normalise else _UNITS
    if name in known:
        return known[name], factor
    return 1 + len(known) + zlib.crc32(name.encode()) % NUM_UNITS, factor


# -- the encoder -------------------------------------------------------------------------------------------------------


class LiteralEncoder(nn.Module):
    """Literals → vectors, e = Linear_kind(features) + kind [+ unit]; strings are the mean of their n-grams' vectors.

    Args:
        width: D of the vectors.
        normalise: bring numbers to their quantity's own unit; see above.
        text_width: of texts' vectors from elsewhere; they are then given in place of n-grams.
        seed: of the numbers at the start.
    """

    def __init__(self, width: int, *, normalise: bool = True, text_width: int | None = None, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int, std: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) * std)

        self.width, self.normalise = width, normalise
        self.kinds = normal(3, width, std=0.1)  # number, date, string
        self.number = normal(NUM_NUMBER_FEATURES, width, std=width**-0.5)
        self.date = normal(NUM_DATE_FEATURES, width, std=width**-0.5)
        self.units = normal(1 + NUM_UNITS + len(UNITS), width, std=0.1)
        self.grams = normal(NUM_GRAMS, width, std=width**-0.5)
        self.text = None if text_width is None else normal(text_width, width, std=text_width**-0.5)

    def forward(self, literals: Sequence[Literal], texts: Tensor | None = None) -> Tensor:
        """Return the vectors of literals, (N, D).

        Args:
            texts: (N, text_width) vectors of the literals as texts; read where a literal is a string.
        """
        result = self.kinds.new_zeros(len(literals), self.width)
        numbers, dates = [as_number(literal) for literal in literals], [as_date(literal) for literal in literals]
        of_number = [n for n, found in enumerate(numbers) if found is not None]
        of_date = [n for n, found in enumerate(dates) if found is not None and numbers[n] is None]
        of_text = sorted(set(range(len(literals))) - {*of_number, *of_date})
        if of_number:
            units = [unit_row(literals[n].unit, self.normalise) for n in of_number]
            values = [(numbers[n] or 0.0) * factor for n, (_, factor) in zip(of_number, units)]
            features = torch.from_numpy(number_features(values)).to(result)
            found = features @ self.number + self.units[[row for row, _ in units]] + self.kinds[0]
            result = result.index_copy(0, torch.tensor(of_number), found)
        if of_date:
            features = torch.from_numpy(date_features([dates[n] or (0, 0, 0) for n in of_date])).to(result)
            result = result.index_copy(0, torch.tensor(of_date), features @ self.date + self.kinds[1])
        if of_text:
            found = (
                self._strings([literals[n].value for n in of_text]) if texts is None else self._given(texts[of_text])
            )
            result = result.index_copy(0, torch.tensor(of_text), found + self.kinds[2])
        return result

    def _strings(self, texts: list[str]) -> Tensor:
        grams = [gram_numbers(text) for text in texts]
        offsets = torch.tensor(np.cumsum([0, *map(len, grams[:-1])]))
        return nn.functional.embedding_bag(torch.tensor([n for part in grams for n in part]), self.grams, offsets)

    def _given(self, texts: Tensor) -> Tensor:
        assert self.text is not None, "say text_width to give texts' vectors"
        return texts @ self.text
