"""The inner loops of ``kg.store.numbering``: the digests of terms, the table of those that a load knows, gathering."""

from __future__ import annotations

import numpy as np
from numba import njit

from kg.store.byte_kernels import U, copy, word

_IV = tuple(
    U(value)
    for value in (
        *(0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1),
        *(0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179),
    )
)
_PARAMETERS = U(0x01010000 | 12)  # no key, one leaf, 12 bytes of digest


@njit  # type: ignore[untyped-decorator]
def _turned(x, n):  # type: ignore[no-untyped-def]  # pragma: no cover
    return (x >> U(n)) | (x << U(64 - n))


@njit  # type: ignore[untyped-decorator]
def _g(a, b, c, d, x, y):  # type: ignore[no-untyped-def]  # pragma: no cover
    a = a + b + x
    d = _turned(d ^ a, 32)
    c = c + d
    b = _turned(b ^ c, 24)
    a = a + b + y
    d = _turned(d ^ a, 16)
    c = c + d
    b = _turned(b ^ c, 63)
    return a, b, c, d


@njit  # type: ignore[untyped-decorator]
def _compress(h, m, sigma, count, last):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Mix a block of sixteen words into the state, as RFC 7693 says (section 3.2)."""
    v0, v1, v2, v3, v4, v5, v6, v7 = h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7]
    v8, v9, v10, v11 = _IV[0], _IV[1], _IV[2], _IV[3]
    v12, v13, v14, v15 = _IV[4] ^ U(count), _IV[5], _IV[6] ^ last, _IV[7]
    for i in range(12):
        s = 16 * i
        v0, v4, v8, v12 = _g(v0, v4, v8, v12, m[sigma[s]], m[sigma[s + 1]])
        v1, v5, v9, v13 = _g(v1, v5, v9, v13, m[sigma[s + 2]], m[sigma[s + 3]])
        v2, v6, v10, v14 = _g(v2, v6, v10, v14, m[sigma[s + 4]], m[sigma[s + 5]])
        v3, v7, v11, v15 = _g(v3, v7, v11, v15, m[sigma[s + 6]], m[sigma[s + 7]])
        v0, v5, v10, v15 = _g(v0, v5, v10, v15, m[sigma[s + 8]], m[sigma[s + 9]])
        v1, v6, v11, v12 = _g(v1, v6, v11, v12, m[sigma[s + 10]], m[sigma[s + 11]])
        v2, v7, v8, v13 = _g(v2, v7, v8, v13, m[sigma[s + 12]], m[sigma[s + 13]])
        v3, v4, v9, v14 = _g(v3, v4, v9, v14, m[sigma[s + 14]], m[sigma[s + 15]])
    h[0] ^= v0 ^ v8
    h[1] ^= v1 ^ v9
    h[2] ^= v2 ^ v10
    h[3] ^= v3 ^ v11
    h[4] ^= v4 ^ v12
    h[5] ^= v5 ^ v13
    h[6] ^= v6 ^ v14
    h[7] ^= v7 ^ v15


def digest(run, offsets, count, is_literal, sigma, h, m, keys, checks):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Fill in the keys and checks of texts, as ``kg.store.terms.digest`` makes them; a literal's key is turned over.

    Args:
        h, m: room for eight and for sixteen words.
    """
    for i in range(count):
        at, end = offsets[i], offsets[i + 1]
        length = end - at
        for k in range(8):
            h[k] = _IV[k]
        h[0] ^= _PARAMETERS
        done = np.int64(0)
        while length - done > 128:
            for k in range(16):
                m[k] = word(run, at + done + 8 * k)
            done += 128
            _compress(h, m, sigma, done, U(0))
        for k in range(16):
            here = done + 8 * k
            if here + 8 <= length:
                m[k] = word(run, at + here)
            else:
                last = U(0)
                for j in range(length - here):
                    last |= U(run[at + here + j]) << U(8 * j)
                m[k] = last
        _compress(h, m, sigma, length, ~U(0))
        keys[i] = ~np.int64(h[0]) if is_literal else np.int64(h[0])
        checks[i] = np.int64(h[1] & U(0xFFFFFFFF))
    return 0


@njit  # type: ignore[untyped-decorator]
def _slot(key, mask):  # type: ignore[no-untyped-def]  # pragma: no cover
    return np.int64(U(key) >> U(17)) & mask


def fill(slots, mask, known, count):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Put the places of keys into an empty table (-1 all over)."""
    for place in range(count):
        slot = _slot(known[place], mask)
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = np.int32(place)
    return 0


def find(slots, mask, known, known_checks, known_ids, keys, checks, count, found):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Fill in the ids of known keys, 0 of others; return 1 when a key has two checks."""
    for i in range(count):
        found[i] = 0
        slot = _slot(keys[i], mask)
        while slots[slot] >= 0:
            place = slots[slot]
            if known[place] == keys[i]:
                if known_checks[place] != np.uint32(checks[i]):
                    return 1
                found[i] = known_ids[place]
                break
            slot = (slot + 1) & mask
    return 0


def add(  # type: ignore[no-untyped-def]  # pragma: no cover
    slots, mask, known, known_checks, known_ids, size, keys, checks, count, found, next_id, step, fresh
):  # fmt: skip
    """Put in the keys whose id is not found yet or not in the table; new ones get ids from ``next_id`` on.

    Args:
        size: how many the table has.
        step: 1 or -1, to the next id.
        fresh: filled with the places of the new ones among ``keys``; the number of these comes last, at ``count``.

    Returns:
        How many the table has then; -1 when a key has two checks.
    """
    num_fresh = np.int64(0)
    for i in range(count):
        slot = _slot(keys[i], mask)
        is_there = False
        while slots[slot] >= 0:
            place = slots[slot]
            if known[place] == keys[i]:
                if known_checks[place] != np.uint32(checks[i]):
                    return -1
                found[i] = known_ids[place]
                is_there = True
                break
            slot = (slot + 1) & mask
        if is_there:
            continue
        if found[i] == 0:
            found[i] = next_id
            next_id += step
            fresh[num_fresh] = i
            num_fresh += 1
        slots[slot] = np.int32(size)
        known[size], known_checks[size], known_ids[size] = keys[i], np.uint32(checks[i]), np.int32(found[i])
        size += 1
    fresh[count] = num_fresh
    return size


def gather(run, offsets, places, count, target, target_offsets):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Put the texts at places together."""
    for i in range(count):
        start = offsets[places[i]]
        copy(run, start, offsets[places[i] + 1] - start, target, target_offsets[i])
    return 0


def names(run, offsets, count, longest, target, target_offsets, places, is_odd):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Put together the texts of contents that may be names, ASCII in lower case; return how many.

    Args:
        longest: the most characters of a name.
        places: filled with which contents they are. is_odd: filled with 1 for those that are to be folded with care:
            other characters than ASCII, white space other than single blanks within.
    """
    kept, at = np.int64(0), np.int64(0)
    target_offsets[0] = 0
    for i in range(count):
        start, end = offsets[i], offsets[i + 1]
        if run[start] != 31:  # it has a datatype
            continue
        start += 1
        while run[start] != 31:
            start += 1
        if run[start + 1] != 31:  # it has a unit
            continue
        start += 2
        odd, characters, before = False, np.int64(0), np.uint8(32)
        for place in range(start, end):
            c = run[place]
            if c < 0x80 or c >= 0xC0:
                characters += 1
            if c >= 0x80 or c < 32 or (c == 32 and before == 32):
                odd = True
            target[at + place - start] = c + 32 if 65 <= c <= 90 else c
            before = c
        if characters > longest:
            continue
        if end > start and before == 32:
            odd = True
        if odd:
            copy(run, start, end - start, target, at)
        at += end - start
        places[kept], is_odd[kept] = i, odd
        kept += 1
        target_offsets[kept] = at
    return kept


def words(run, offsets, places, count, skip, found):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Fill in the eight bytes of texts from ``skip`` on as numbers that sort as they do, zeros after the end."""
    for i in range(count):
        at, end = offsets[places[i]] + skip, offsets[places[i] + 1]
        value = U(0)
        for k in range(8):
            value <<= U(8)
            if at + k < end:
                value |= U(run[at + k])
        found[i] = value
    return 0
