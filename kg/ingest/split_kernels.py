# ruff: noqa: SIM109, since numba compiles comparisons to better loops than look-ups in tuples
"""The inner loops of ``kg.ingest.split``, in which lines become numbers of terms and terms become contents."""

from __future__ import annotations

import numpy as np
from numba import njit

from kg.ingest.split import BAD, BLANK, ESCAPED, IRI, NAME, ODD, PLAIN, SUFFIX
from kg.store.byte_kernels import HIGHS, ONES, U, are_equal, copy, find, mixed, word

# What a character may be in, as bits of ``classes``: see ``kg.ingest.split``.
_SCHEME_START, _SCHEME, _UNRESERVED, _PATH = 1, 2, 4, 8
_LF, _CR, _QUOTE, _BACKSLASH, _LESS, _MORE, _UNDERSCORE = 10, 13, 34, 92, 60, 62, 95
#: The end of what annotations are told by, as eight bytes.
REIFIES = U(int.from_bytes(b"#reifies", "little"))
RETURNS = U(0x0D0D0D0D0D0D0D0D)
_SLASH, _COLON, _QUESTION, _HASH, _AT, _CARET = 47, 58, 63, 35, 64, 94


@njit  # type: ignore[untyped-decorator]
def _is_plain_iri(data, at, end, classes):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Tell whether ``<…>`` from ``at`` to ``end`` is an IRI that RFC 3987 allows in any case; many others are too.

    scheme ":" ("//" host ["/" path] | ["/"] path) ["?" path] ["#" path], in ASCII; the host without a port, a path
    without a host begun by no "/" or ":".
    """
    at += 1
    if not classes[data[at]] & _SCHEME_START:
        return False
    while classes[data[at]] & _SCHEME:
        at += 1
    if data[at] != _COLON:
        return False
    at += 1
    if data[at] == _SLASH and data[at + 1] == _SLASH:
        at += 2
        if not classes[data[at]] & _UNRESERVED:
            return False
        while classes[data[at]] & _UNRESERVED:
            at += 1
        if data[at] == _SLASH:
            while classes[data[at]] & _PATH:
                at += 1
    else:
        if data[at] == _SLASH:
            at += 1
        if not classes[data[at]] & _UNRESERVED:
            return False
        while classes[data[at]] & _PATH:
            at += 1
    for mark in (_QUESTION, _HASH):
        if data[at] == mark:
            at += 1
            while classes[data[at]] & _PATH:
                at += 1
    return at == end - 1  # the ">", which is in no class, so that no loop passes it


@njit  # type: ignore[untyped-decorator]
def _intern(data, start, length, table, mask, hashes, starts, lengths, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return the number of a text, and put a new one at the end: then the number is what ``out[1]`` was."""
    value = mixed(data, start, length)
    slot = np.int64(value) & mask
    short = np.uint32(value >> np.uint64(32))
    while True:
        place = np.int64(table[slot])
        if place < 0:
            count = out[1]
            table[slot] = np.int32(count)
            hashes[count] = short
            starts[count] = np.int32(start)
            lengths[count] = np.int32(length)
            out[1] = count + 1
            return count
        if hashes[place] == short and lengths[place] == length and are_equal(data, starts[place], start, length):
            return place
        slot = (slot + 1) & mask


@njit  # type: ignore[untyped-decorator]
def _is_trimmed(data, start, length):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Tell whether a text has no control characters, and no white space of Unicode at its ends."""
    if length == 0 or data[start] == 32 or data[start + length - 1] == 32:
        return False
    for i in range(length):
        if data[start + i] < 32:
            return False
    for place in range(2):
        a, b, c, n = np.uint8(0), np.uint8(0), np.uint8(0), length
        if place == 0:
            a = data[start]
            b = data[start + 1] if n > 1 else np.uint8(0)
            c = data[start + 2] if n > 2 else np.uint8(0)
        else:
            if n > 1 and data[start + n - 2] == 0xC2:
                a, b = data[start + n - 2], data[start + n - 1]
            elif n > 2:
                a, b, c = data[start + n - 3], data[start + n - 2], data[start + n - 1]
        if a == 0xC2 and (b == 0x85 or b == 0xA0):
            return False
        if a == 0xE1 and b == 0x9A and c == 0x80:
            return False
        if a == 0xE2 and b == 0x80 and (c <= 0x8A or c == 0xA8 or c == 0xA9 or c == 0xAF):
            return False
        if a == 0xE2 and b == 0x81 and c == 0x9F:
            return False
        if a == 0xE3 and b == 0x80 and c == 0x80:
            return False
    return True


@njit  # type: ignore[untyped-decorator]
def _is_escape(c):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Tell whether a character after a backslash stands for one other: t b n r f " ' or a backslash."""
    return c == 116 or c == 98 or c == 110 or c == 114 or c == 102 or c == 34 or c == 39 or c == 92


@njit  # type: ignore[untyped-decorator]
def _text_end(data, start, end):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return where a literal's closing quote is, as a negative number if there are escapes; 0 for what is odd."""
    at, is_escaped = start + 1, False
    while True:
        at = find(data, at, end, _QUOTE, _BACKSLASH)
        if at >= end:
            return 0
        if data[at] == _QUOTE:
            break
        if at + 1 >= end or not _is_escape(data[at + 1]):
            return 0
        is_escaped = True
        at += 2
    if at + 1 < end and data[at + 1] != _AT and data[at + 1] != _CARET:
        return 0
    if find(data, at + 1, end, _QUOTE, _BACKSLASH) < end or find(data, start, end, _CR, _CR) < end:
        return 0
    return -at if is_escaped else at


def look(data, total):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return what is in bytes, as bits: 1 what is not UTF-8, 2 U+0000, 4 a carriage return."""
    found, at = 0, np.int64(0)
    while at < total:
        if at + 8 <= total:
            here = word(data, at)
            returns = here ^ RETURNS
            marks = ((here - ONES) & ~here) | ((returns - ONES) & ~returns) | here
            if marks & HIGHS == U(0):
                at += 8
                continue
        for _ in range(8):
            if at >= total:
                break
            c = data[at]
            at += 1
            if c < 0x80:
                if c == 0:
                    found |= 2
                elif c == _CR:
                    found |= 4
                continue
            more, low, high = 0, 0x80, 0xBF  # the bytes that follow, and the bounds of the first of these
            if 0xC2 <= c <= 0xDF:
                more = 1
            elif 0xE0 <= c <= 0xEF:
                more = 2
                low, high = (0xA0 if c == 0xE0 else 0x80), (0x9F if c == 0xED else 0xBF)
            elif 0xF0 <= c <= 0xF4:
                more = 3
                low, high = (0x90 if c == 0xF0 else 0x80), (0x8F if c == 0xF4 else 0xBF)
            else:
                found |= 1
            for _ in range(more):
                if at >= total or data[at] < low or data[at] > high:
                    found |= 1
                    break
                low, high = 0x80, 0xBF
                at += 1
    return found


def split(  # type: ignore[no-untyped-def]  # pragma: no cover
    data, at, total, separator, ending, extra, is_table, reserved, len_reserved, classes, most_lines, most_terms,
    lines, codes, table, mask, hashes, starts, lengths, kinds, suffixes, out,
):  # fmt: skip
    """Find three columns in each line and number the different texts in them; return the number of lines.

    The third column goes on to the end of the line, less ``ending``. A line of fewer columns, or without that ending,
    has -1 as its first code. It stops before lines or terms are too many; ``out[0]`` is where, ``out[1]`` is how many
    terms there are, and ``out[2]`` is 1 when the IRI of a relation ends in "#reifies".

    Args:
        is_table: texts are names, and of what kind they are is asked as for these.
        lines: filled with where each line begins, (most_lines + 1,).
        codes: filled with the numbers of its texts, (3, most_lines).
        table: -1 all over, (mask + 1,).
        starts, lengths, kinds, suffixes: filled for each text, (most_terms,); of a literal, the length is that
            of what is between its quotes, and the suffix the number of what follows them, -1 for nothing.
    """
    line = np.int64(0)
    head, len_head, head_code = np.int64(0), np.int64(-1), np.int64(-1)
    out[1], out[2] = 0, 0
    bounds_0, bounds_1, bounds_2, bounds_3 = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    while at < total and line < most_lines and out[1] + 6 <= most_terms:
        begin = at
        lines[line] = np.int32(begin)
        codes[line] = np.int32(-1)
        is_same = (
            len_head >= 0
            and begin + len_head < total
            and data[begin + len_head] == separator
            and are_equal(data, head, begin, len_head)
        )  # very often, the head is that of the line before
        bounds_0 = begin + len_head if is_same else find(data, begin, total, separator, _LF)
        line += 1
        if bounds_0 >= total or data[bounds_0] != separator:
            at = bounds_0 + 1
            continue
        bounds_1 = find(data, bounds_0 + 1, total, separator, _LF)
        if bounds_1 >= total or data[bounds_1] != separator:
            at = bounds_1 + 1
            continue
        bounds_3 = find(data, bounds_1 + 1, total, _LF, _LF)
        at = bounds_3 + 1
        bounds_2 = bounds_3 - extra
        if bounds_2 <= bounds_1 + (0 if is_table else 1):
            continue
        is_whole = True
        for i in range(extra):
            if data[bounds_2 + i] != ending[i]:
                is_whole = False
        if not is_table:
            a, b, c = data[begin], data[bounds_0 + 1], data[bounds_1 + 1]
            if not ((a == _LESS or a == _UNDERSCORE) and b == _LESS):
                is_whole = False
            if not (c == _LESS or c == _UNDERSCORE or c == _QUOTE):
                is_whole = False
        if not is_whole:
            continue
        for column in range(3):
            if column == 0 and is_same:
                codes[line - 1] = np.int32(head_code)
                continue
            start = begin if column == 0 else (bounds_0 + 1 if column == 1 else bounds_1 + 1)
            end = bounds_0 if column == 0 else (bounds_1 if column == 1 else bounds_2)
            before = out[1]
            code = _intern(data, start, end - start, table, mask, hashes, starts, lengths, out)
            codes[column * most_lines + line - 1] = np.int32(code)
            if column == 0:
                head, len_head, head_code = start, end - start, code
            if code < before:
                continue
            kind, suffix = ODD, np.int64(-1)
            if is_table:
                kind = NAME if _is_trimmed(data, start, end - start) else ODD
            elif data[start] == _LESS:
                if data[end - 1] == _MORE and _is_plain_iri(data, start, end, classes):
                    kind = IRI
                    if column == 1 and end - start > 9 and word(data, end - 9) == REIFIES:
                        out[2] = 1
                    if end - start > len_reserved:
                        is_reserved = True
                        for i in range(len_reserved):
                            if data[start + i] != reserved[i]:
                                is_reserved = False
                        if is_reserved:
                            kind = ODD
            elif data[start] == _UNDERSCORE:
                kind = BLANK
            else:
                close = _text_end(data, start, end)
                if close != 0:
                    kind = PLAIN if close > 0 else ESCAPED
                    close = abs(close)
                    if close + 1 < end:
                        count = out[1]
                        suffix = _intern(data, close + 1, end - close - 1, table, mask, hashes, starts, lengths, out)
                        if suffix == count:
                            kinds[suffix] = SUFFIX
                            suffixes[suffix] = -1
            kinds[code] = np.uint8(kind)
            suffixes[code] = np.int32(suffix)
    lines[line] = np.int32(min(at, total))
    out[0] = min(at, total)
    return line


@njit  # type: ignore[untyped-decorator]
def _unescape(data, at, end, target, place):  # type: ignore[no-untyped-def]  # pragma: no cover
    while at < end:
        c = data[at]
        if c == _BACKSLASH:
            at += 1
            c = data[at]
            if c == 116:
                c = np.uint8(9)
            elif c == 98:
                c = np.uint8(8)
            elif c == 110:
                c = np.uint8(10)
            elif c == 114:
                c = np.uint8(13)
            elif c == 102:
                c = np.uint8(12)
        target[place] = c
        place += 1
        at += 1
    return place


def contents(  # type: ignore[no-untyped-def]  # pragma: no cover
    data, count, starts, lengths, kinds, suffixes, prefix_of, prefixes, prefix_ends,
    iris, iri_offsets, literals, literal_offsets, places, out,
):  # fmt: skip
    """Put the contents of texts together; say where each is, as a batch's tails, ``BAD`` for what is odd.

    Args:
        prefix_of: of each suffix, by its number, how the content of a literal with it begins: a place in
            ``prefix_ends``, or -1 when no literal has it. The first prefix is that of literals without suffix.
        out: how many IRIs and literals there are.
    """
    num_iris, num_literals, iri_at, literal_at = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    iri_offsets[0], literal_offsets[0] = 0, 0
    for i in range(count):
        kind, start, length = kinds[i], np.int64(starts[i]), np.int64(lengths[i])
        places[i] = BAD
        if kind == IRI or kind == NAME:
            trim = 1 if kind == IRI else 0
            copy(data, start + trim, length - 2 * trim, iris, iri_at)
            iri_at += length - 2 * trim
            places[i] = num_iris
            num_iris += 1
            iri_offsets[num_iris] = iri_at
        elif kind == PLAIN or kind == ESCAPED:
            suffix = np.int64(suffixes[i])
            prefix = np.int64(prefix_of[suffix]) if suffix >= 0 else np.int64(0)
            if prefix < 0:
                continue
            begin = prefix_ends[prefix - 1] if prefix > 0 else np.int64(0)
            copy(prefixes, begin, prefix_ends[prefix] - begin, literals, literal_at)
            literal_at += prefix_ends[prefix] - begin
            inner = length - 2 - (np.int64(lengths[suffix]) if suffix >= 0 else np.int64(0))
            if kind == PLAIN:
                copy(data, start + 1, inner, literals, literal_at)
                literal_at += inner
            else:
                literal_at = _unescape(data, start + 1, start + 1 + inner, literals, literal_at)
            places[i] = -1 - num_literals
            num_literals += 1
            literal_offsets[num_literals] = literal_at
    out[0], out[1] = num_iris, num_literals
    return 0


def facts(num_lines, most_lines, codes, places, head, relation, tail, odd, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Put the facts of good lines together as places of terms; return how many, and ``out[0]`` other lines."""
    kept, others = np.int64(0), np.int64(0)
    for line in range(num_lines):
        if codes[line] >= 0:
            h, r = places[codes[line]], places[codes[most_lines + line]]
            t = places[codes[2 * most_lines + line]]
            if h != BAD and r != BAD and t != BAD:
                head[kept], relation[kept], tail[kept] = h, r, t
                kept += 1
                continue
        odd[others] = line
        others += 1
    out[0] = others
    return kept
