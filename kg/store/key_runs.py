"""Merge runs of keys piece by piece: however long older runs are, little of them is in memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kg.store.numbering import Keys, merge
from kg.store.segments import Directory, Segment

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Blocks of the longest run that are merged at once.
PIECE = 16

Run = tuple[Segment, Directory]
_LOW, _HIGH = -(1 << 63), 1 << 63


def merged(connection: Connection, new: Keys, older: Sequence[Run], size: int) -> Iterator[Keys]:
    """Yield the keys of a new run, which is sorted, and of older ones in their order, ``size`` at a time."""
    longest = max((directory for _, directory in older), key=lambda one: len(one.ids), default=None)
    cuts = [first for first, _ in longest.begins[PIECE::PIECE]] if longest else []
    rest = Keys(*np.empty((3, 0), np.int64))
    for low, high in zip([_LOW, *cuts], [*cuts, _HIGH], strict=True):
        parts = [rest, _between(new, low, high)]
        for one, directory in older:
            firsts = [first for first, _ in directory.begins]
            for place in range(max(bisect_right(firsts, low) - 1, 0), bisect_left(firsts, high)):
                columns = one.columns(connection, directory.ids[place], directory.counts[place], keep=False)
                parts.append(_between(Keys(*columns), low, high))
        rest = merge(parts)
        whole = len(rest) // size * size if high < _HIGH else len(rest)
        for start in range(0, whole, size):
            yield _slice(rest, start, min(start + size, whole))
        rest = _slice(rest, whole, len(rest))


def _between(keys: Keys, low: int, high: int) -> Keys:
    start = int(np.searchsorted(keys.keys, low))
    return _slice(keys, start, int(np.searchsorted(keys.keys, high)) if high < _HIGH else len(keys))


def _slice(keys: Keys, start: int, stop: int) -> Keys:
    return Keys(keys.keys[start:stop], keys.checks[start:stop], keys.ids[start:stop])
