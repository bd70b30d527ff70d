"""Statements by ids, distinct and sorted: each one number of 63 bits where that suffices, which sorts far faster.

head - lowest head | rank of the relation | tail - lowest tail
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kg.store.blocks import Array, kernels

#: Columns of statements: head, relation, tail.
Columns = Sequence[Array]

_BY_HEAD = (0, 1, 2)


class Statements:
    """M distinct statements, sorted by head, relation and tail.

    Args:
        parts: statements as columns (m,) int64 each, in any order, maybe more than once.
    """

    def __init__(self, parts: Sequence[Columns]) -> None:
        ends = [(part[0].min(), part[0].max(), part[2].min(), part[2].max()) for part in parts if len(part[0])]
        self._relations = _distinct([part[1] for part in parts])
        self._packed: Array | None = None
        self._columns: list[Array] = []
        heads, tails = [0, 0], [0, 0]
        if ends:
            heads = [int(min(end[0] for end in ends)), int(max(end[1] for end in ends))]
            tails = [int(min(end[2] for end in ends)), int(max(end[3] for end in ends))]
        lowest = int(self._relations[0]) if len(self._relations) else 0
        bits = [(heads[1] - heads[0]).bit_length(), max(len(self._relations) - 1, 0).bit_length()]
        bits.append((tails[1] - tails[0]).bit_length())
        self._lows, self._bits = np.array([heads[0], lowest, tails[0]]), np.array(bits)
        if sum(bits) > 63 or (len(self._relations) and int(self._relations[-1]) - lowest > 1 << 26):
            self._columns = _sorted_columns(parts)
        else:
            self._packed = self._pack(parts, lowest)

    def _pack(self, parts: Sequence[Columns], lowest: int) -> Array:
        ranks = np.zeros(int(self._relations[-1]) - lowest + 1 if len(self._relations) else 1, np.int32)
        ranks[self._relations - lowest] = np.arange(len(self._relations))
        packed, at = np.empty(sum(len(part[0]) for part in parts), np.int64), 0
        for part in parts:
            columns = [np.ascontiguousarray(column) for column in part]
            kernels.pack(*columns, len(part[0]), self._lows, self._bits, ranks, packed[at:])
            at += len(part[0])
        packed.sort()
        is_new = np.ones(len(packed), dtype=bool)
        np.not_equal(packed[1:], packed[:-1], out=is_new[1:])
        return packed if is_new.all() else packed[is_new]

    def __len__(self) -> int:
        return len(self._columns[0]) if self._packed is None else len(self._packed)

    def keep(self, kept: Array) -> None:
        """Leave those that a mask tells."""
        if self._packed is None:
            self._columns = [column[kept] for column in self._columns]
        else:
            self._packed = self._packed[kept]

    def columns(self) -> tuple[Array, Array, Array]:
        """Return (head, relation, tail) of all."""
        return next(self.blocks(_BY_HEAD, max(len(self), 1)), tuple(np.empty((3, 0), np.int64)))  # type: ignore[return-value]

    def blocks(self, places: tuple[int, int, int], size: int) -> Iterator[tuple[Array, Array, Array]]:
        """Yield columns of up to ``size`` statements, sorted by and in the order ``places`` of head, relation, tail."""
        if self._packed is None:
            columns = [self._columns[place] for place in places]
            if places != _BY_HEAD:
                order = np.lexsort(tuple(reversed(columns)))
                columns = [column[order] for column in columns]
            for start in range(0, len(self), size):
                yield tuple(column[start : start + size] for column in columns)  # type: ignore[misc]
            return
        packed, order = self._packed, np.array(places)
        if places != _BY_HEAD:
            packed = np.empty(len(self), np.int64)
            kernels.reorder(self._packed, len(self), self._bits, order, packed)
            packed.sort()
        for start in range(0, len(packed), size):
            found = np.empty((3, min(size, len(packed) - start)), np.int64)
            kernels.unpack(packed, start, found.shape[1], self._lows, self._bits, order, self._relations, found)
            yield found[0], found[1], found[2]


def _distinct(parts: Sequence[Array]) -> Array:
    """Return what is in arrays, ascending."""
    return np.unique(np.concatenate([np.unique(part) for part in parts])) if parts else np.empty(0, np.int64)


def _sorted_columns(parts: Sequence[Columns]) -> list[Array]:
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.lexsort(tuple(reversed(columns)))
    columns = [column[order] for column in columns]
    is_new = np.ones(len(order), dtype=bool)
    is_new[1:] = False
    for column in columns:
        is_new[1:] |= column[1:] != column[:-1]
    return [column[is_new] for column in columns]
