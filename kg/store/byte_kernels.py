"""What kernels over bytes share: eight bytes at once, finding one of two, comparing, mixing.

To be used inside kernels only (`kg.store.compiled`): a function over pointers, without bounds. Numbers are typed all
over, since numba makes a float of a sum of signed and unsigned.
"""

from __future__ import annotations

import numpy as np
from numba import njit

U = np.uint64
ONES, HIGHS = U(0x0101010101010101), U(0x8080808080808080)
_MIX = U(0x9E3779B97F4A7C15)
_32, _56 = U(32), U(56)


@njit  # type: ignore[untyped-decorator]
def word(data, at):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return eight bytes as a number; compilers make one instruction of it."""
    return (
        U(data[at])
        | U(data[at + 1]) << U(8)
        | U(data[at + 2]) << U(16)
        | U(data[at + 3]) << U(24)
        | U(data[at + 4]) << U(32)
        | U(data[at + 5]) << U(40)
        | U(data[at + 6]) << U(48)
        | U(data[at + 7]) << U(56)
    )


@njit  # type: ignore[untyped-decorator]
def find(data, at, end, one, other):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return where the first byte that is ``one`` or ``other`` is, from ``at`` on; ``end`` if none is."""
    ones, others = ONES * U(one), ONES * U(other)
    while at + 8 <= end:
        here = word(data, at)
        x, y = here ^ ones, here ^ others
        marks = (((x - ONES) & ~x) | ((y - ONES) & ~y)) & HIGHS  # the lowest one is at the first such byte
        if marks != U(0):
            lowest = marks & (~marks + U(1))
            return at + np.int64((((lowest - U(1)) & ONES) * ONES) >> _56) - 1
        at += 8
    while at < end and data[at] != one and data[at] != other:
        at += 1
    return at


@njit  # type: ignore[untyped-decorator]
def are_equal(data, a, b, length):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Tell whether ``length`` bytes from ``a`` and from ``b`` are the same."""
    i = 0
    while i + 8 <= length:
        if word(data, a + i) != word(data, b + i):
            return False
        i += 8
    if i < length:
        if length >= 8:
            return word(data, a + length - 8) == word(data, b + length - 8)
        while i < length:
            if data[a + i] != data[b + i]:
                return False
            i += 1
    return True


@njit  # type: ignore[untyped-decorator]
def mixed(data, start, length):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return a hash of bytes, good enough for a table that compares what it finds."""
    value, i = U(length) * _MIX, 0
    while i + 8 <= length:
        value = (value ^ word(data, start + i)) * _MIX
        value ^= value >> _32
        i += 8
    if i < length:
        rest = U(0)
        if length >= 8:
            rest = word(data, start + length - 8)
        else:
            while i < length:
                rest = rest << U(8) | U(data[start + i])
                i += 1
        value = (value ^ rest) * _MIX
        value ^= value >> _32
    return value


@njit  # type: ignore[untyped-decorator]
def copy(source, start, length, target, at):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Copy bytes."""
    for i in range(length):
        target[at + i] = source[start + i]
