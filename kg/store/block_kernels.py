"""The inner loops of ``kg.store.blocks`` and ``kg.store.statements``: narrow columns, statements as single numbers."""

from __future__ import annotations

import numpy as np
from numba import njit

from kg.store.byte_kernels import U


@njit  # type: ignore[untyped-decorator]
def _put(target, at, value, width):  # type: ignore[no-untyped-def]  # pragma: no cover
    for i in range(width):
        target[at + i] = np.uint8(value >> U(8 * i))


def narrow(columns, num_columns, count, target):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Write columns, one after the other, as ``kg.store.blocks`` describes them; return how many bytes."""
    at = np.int64(0)
    for number in range(num_columns):
        first = number * count
        is_ascending, low = count > 0, columns[first] if count > 0 else np.int64(0)
        most, step = np.int64(low), U(0)
        for i in range(1, count):
            value, before = columns[first + i], columns[first + i - 1]
            low, most = min(low, value), max(most, value)
            if value < before:
                is_ascending = False
            else:
                step = max(step, U(value) - U(before))
        if is_ascending:
            low = columns[first]
        else:
            step = U(most) - U(low)
        code = int(step >= U(1 << 8)) + int(step >= U(1 << 16)) + int(step >= U(1 << 32))
        target[at] = np.uint8(code | (4 if is_ascending else 0))
        _put(target, at + 1, U(low), 8)
        at += 9
        width = 1 << code
        before = U(low)
        for i in range(count):
            value = U(columns[first + i])
            shown = value - before
            if is_ascending:
                before = value
            if code == 0:
                target[at] = np.uint8(shown)
            elif code == 1:
                target[at], target[at + 1] = np.uint8(shown), np.uint8(shown >> U(8))
            else:
                _put(target, at, shown, width)
            at += width
    return at


def pack(head, relation, tail, count, lows, bits, ranks, packed):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Make one number of each statement: its head, the rank of its relation, its tail.

    Args:
        lows: of head, relation and tail, (3,). bits: of each, above these, (3,).
        ranks: of relations, by their id less the lowest.
    """
    for i in range(count):
        first = ((head[i] - lows[0]) << bits[1]) | np.int64(ranks[relation[i] - lows[1]])
        packed[i] = (first << bits[2]) | (tail[i] - lows[2])
    return 0


def reorder(packed, count, bits, places, target):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Put the three parts of each number into another order: ``places`` of head, rank and tail, (3,)."""
    a, b, c = places[0], places[1], places[2]
    shifts_a = bits[2] * (a < 2) + bits[1] * (a < 1)
    shifts_b = bits[2] * (b < 2) + bits[1] * (b < 1)
    shifts_c = bits[2] * (c < 2) + bits[1] * (c < 1)
    mask_a, mask_b, mask_c = (1 << bits[a]) - 1, (1 << bits[b]) - 1, (1 << bits[c]) - 1
    for i in range(count):
        value = packed[i]
        first = (((value >> shifts_a) & mask_a) << bits[b]) | ((value >> shifts_b) & mask_b)
        target[i] = (first << bits[c]) | ((value >> shifts_c) & mask_c)
    return 0


def unpack(packed, start, count, lows, bits, places, relations, target):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Make columns, one after the other, of numbers whose parts are in the order ``places``."""
    a, b, c = places[0], places[1], places[2]
    mask_b, mask_c = (1 << bits[b]) - 1, (1 << bits[c]) - 1
    for i in range(count):
        value = packed[start + i]
        target[2 * count + i] = value & mask_c
        value >>= bits[c]
        target[count + i] = value & mask_b
        target[i] = value >> bits[b]
    for column in range(3):
        part = a if column == 0 else (b if column == 1 else c)
        for i in range(column * count, (column + 1) * count):
            target[i] = relations[target[i]] if part == 1 else target[i] + lows[part]
    return 0
