"""Split lines into three columns, and number the different values of each: the inner loops of the fast readers.

Compiled by numba, once for an installation. A value is known by a hash of its bytes and compared byte by byte, so
nothing is ever mistaken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit

Array = np.ndarray[Any, Any]

_FACTORS = np.random.default_rng(1).integers(1, 1 << 32, 256, dtype=np.uint32) | np.uint32(1)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def split_lines(data: Array, separator: int, ending: Array, places: Array) -> int:  # pragma: no cover
    """Find three columns in each line; return the number of lines.

    The third column goes on to the end of the line, less ``ending``. A line of fewer columns, or without that ending,
    gets -1 as its first place.

    Args:
        data: whole lines as bytes, (N,) uint8.
        places: filled with where the columns begin and end, (lines, 6) int64, and where the line does, (…, 2).
    """
    line, start = 0, 0
    total, extra = len(data), len(ending)
    while start < total:
        first = second = -1
        at = start
        while at < total and data[at] != separator and data[at] != 10:  # three short loops: each runs fast
            at += 1
        if at < total and data[at] == separator:
            first = at
            at += 1
            while at < total and data[at] != separator and data[at] != 10:
                at += 1
            if at < total and data[at] == separator:
                second = at
                at += 1
                while at < total and data[at] != 10:
                    at += 1
        end = at - extra
        is_whole = second >= 0 and end > second
        if is_whole:
            for i in range(extra):
                if data[end + i] != ending[i]:
                    is_whole = False
        places[line, 0] = start if is_whole else -1
        places[line, 1] = first
        places[line, 2] = first + 1
        places[line, 3] = second
        places[line, 4] = second + 1
        places[line, 5] = end
        places[line, 6] = start
        places[line, 7] = min(at + 1, total)
        line += 1
        start = at + 1
    return line


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _number(
    data: Array, places: Array, column: int, codes: Array, firsts: Array, table: Array, hashes: Array, factors: Array
) -> int:  # pragma: no cover
    """Number the different values of a column in the order of their first; return how many there are.

    The hash is a sum of bytes times random factors, and values are compared without stopping at a difference: loops
    that compilers turn into vector instructions.
    """
    mask = np.uint32(len(table) - 1)
    count, last, last_length = 0, -1, -1
    for line in range(len(codes)):
        if places[line, 0] < 0:
            codes[line] = -1
            continue
        start = places[line, column]
        length = places[line, column + 1] - start
        if length == last_length:  # very often, the head is that of the line before
            difference = np.uint8(0)
            for i in range(length):
                difference |= data[last + i] ^ data[start + i]
            if difference == 0:
                codes[line] = codes[line - 1] if codes[line - 1] >= 0 else -1
                if codes[line] >= 0:
                    continue
        last, last_length = start, length
        value = np.uint32(length)
        at = 0
        while at < length:
            part = min(length - at, len(factors))
            added = np.uint32(0)
            for i in range(part):
                added += np.uint32(data[start + at + i]) * factors[i]
            value = np.uint32(value * np.uint32(0x9E3779B1)) + added
            at += part
        value ^= value >> np.uint32(15)
        value = np.uint32(value * np.uint32(0x85EBCA77))
        value ^= value >> np.uint32(13)
        slot = value & mask
        while True:
            code = table[slot]
            if code < 0:
                table[slot] = count
                hashes[count] = value
                firsts[count] = line
                codes[line] = count
                count += 1
                break
            if hashes[code] == value:
                other = places[firsts[code], column]
                if places[firsts[code], column + 1] - other == length:
                    difference = np.uint8(0)
                    for i in range(length):
                        difference |= data[other + i] ^ data[start + i]
                    if difference == 0:
                        codes[line] = code
                        break
            slot = (slot + np.uint32(1)) & mask
    return count


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _gather(data: Array, starts: Array, offsets: Array, out: Array) -> None:  # pragma: no cover
    for i in range(len(starts)):
        start = starts[i]
        for j in range(offsets[i + 1] - offsets[i]):
            out[offsets[i] + j] = data[start + j]


class Splitter:
    """The columns of one chunk of lines.

    Args:
        data: whole lines; the last may lack its line break.
        separator: between the columns, one byte.
        ending: what follows the third column, without the line break.
    """

    def __init__(self, data: bytes, separator: bytes, ending: bytes) -> None:
        self._data = np.frombuffer(data, np.uint8)
        lines = data.count(b"\n") + 1
        places = np.empty((lines, 8), dtype=np.int64)
        count = split_lines(self._data, separator[0], np.frombuffer(ending, np.uint8), places)
        self.places = places[:count]
        self.is_split = self.places[:, 0] >= 0
        size = 1 << max((2 * count).bit_length(), 4)
        self._table, self._hashes = np.empty(size, dtype=np.int32), np.empty(count, dtype=np.uint32)

    def column(self, number: int) -> tuple[Array, pa.LargeStringArray]:
        """Return the code of each line's value, (lines,) int64, -1 for lines not split; and the values by code."""
        codes = np.empty(len(self.places), dtype=np.int64)
        firsts = np.empty(len(self.places), dtype=np.int64)
        self._table.fill(-1)
        count = _number(self._data, self.places, 2 * number, codes, firsts, self._table, self._hashes, _FACTORS)
        return codes, self.values(self.places[firsts[:count], 2 * number : 2 * number + 2])

    def values(self, places: Array) -> pa.LargeStringArray:
        """Return the texts from ``places[:, 0]`` to ``places[:, 1]``."""
        offsets = np.zeros(len(places) + 1, dtype=np.int64)
        np.cumsum(places[:, 1] - places[:, 0], out=offsets[1:])
        out = np.empty(int(offsets[-1]), dtype=np.uint8)
        _gather(self._data, places[:, 0].copy(), offsets, out)
        return pa.LargeStringArray.from_buffers(len(places), pa.py_buffer(offsets), pa.py_buffer(out))
