"""Split lines into three columns, and number the different texts in them: what the fast readers rest on.

A text is known by a hash of its bytes and compared byte by byte, so nothing is ever mistaken. The loops are machine
code (`kg.store.compiled`, `kg.ingest.split_kernels`).
"""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kg.ingest.rdf_names import NAME as NAMES
from kg.store.compiled import Library
from kg.store.texts import Texts, join

Array = np.ndarray[Any, Any]

#: What a text is: an IRI, a literal without and with escapes, what follows a literal's closing quote, a name of a
#: table; a blank node, and all that is out of the ordinary, are for others to read.
IRI, PLAIN, ESCAPED, SUFFIX, NAME, BLANK, ODD = range(7)
#: Where a text is that has not been read.
BAD = 1 << 62

#: Lines and terms that are split at once, at most.
LINES, TERMS = 1 << 17, 1 << 18

_kernels = Library(
    "kg.ingest.split_kernels",
    look="u1* i8",
    split="u1* i8 i8 i8 u1* i8 i8 u1* i8 u1* i8 i8 i4* i4* i4* i8 u4* i4* i4* u1* i4* i8*",
    contents="u1* i8 i4* i4* u1* i4* i4* u1* i8* u1* i8* u1* i8* i8* i8*",
    facts="i8 i8 i4* i8* i8* i8* i8* i8* i8*",
)


def _classes() -> Array:
    """Return what each character may be in, as bits: 1 begin a scheme, 2 be in one, 4 in a host, 8 in a path."""
    found = np.zeros(256, dtype=np.uint8)
    groups = (
        string.ascii_letters,
        string.ascii_letters + string.digits + "+.-",
        string.ascii_letters + string.digits + ".-_~",
        string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@/",
    )
    for bit, characters in enumerate(groups):
        found[list(characters.encode())] |= 1 << bit
    return found


@dataclass(slots=True)
class Columns:
    """Where the facts of good lines are in the terms that were read, and which lines are not good."""

    head: Array
    relation: Array
    tail: Array
    odd: Array


class Splitter:
    """Splits chunks of lines, with the memory that it needs once for all of them.

    Args:
        separator: between the columns, one byte.
        ending: what follows the third column, without the line break.
        is_table: texts are names, as they are; or else as N-Triples writes IRIs and literals.
    """

    def __init__(self, separator: bytes, ending: bytes, is_table: bool) -> None:
        self._rules = (separator[0], np.frombuffer(ending or b" ", np.uint8), len(ending), int(is_table))
        name = np.frombuffer(b"<" + NAMES.encode(), np.uint8)
        self._reserved = (name, len(name), _classes())
        self._lines, self._codes = np.empty(LINES + 1, np.int32), np.empty(3 * LINES, np.int32)
        self._table, self._hashes = np.empty(2 * TERMS, np.int32), np.empty(TERMS, np.uint32)
        self._starts, self._lengths = np.empty(TERMS, np.int32), np.empty(TERMS, np.int32)
        self._kinds, self._suffixes = np.empty(TERMS, np.uint8), np.empty(TERMS, np.int32)
        self._out = np.zeros(3, np.int64)
        self._count = self._num_lines = 0
        self._data = np.empty(0, np.uint8)

    def split(self, data: Array, start: int) -> int:
        """Split whole lines, the last of which may lack its line break, from ``start`` on; return where it stopped."""
        self._data = data
        self._table.fill(-1)
        self._num_lines = _kernels.split(
            *(data, start, len(data), *self._rules, *self._reserved, LINES, TERMS, self._lines, self._codes),
            *(self._table, len(self._table) - 1, self._hashes, self._starts, self._lengths, self._kinds),
            *(self._suffixes, self._out),
        )
        self._count = int(self._out[1])
        return int(self._out[0])

    @property
    def has_annotations(self) -> bool:
        """Does a relation in plain view say that something annotates a fact?"""
        return bool(self._out[2])

    @property
    def num_lines(self) -> int:
        return self._num_lines

    @property
    def lines(self) -> Array:
        """Where each line begins, and the last one ends."""
        return self._lines[: self._num_lines + 1]

    def terms(self, beginning: Callable[[str], str]) -> tuple[Texts, Texts, Array, Array]:
        """Read the terms; return IRIs, literals, where each text is in them, and which texts are for others to read.

        Args:
            beginning: how the content of a literal with a suffix begins; nothing when there is no such literal.
        """
        n = self._count
        kinds = self._kinds[:n]
        prefix_of, prefixes, known = np.full(n, -1, np.int32), [b"\x1f\x1f\x1f"], {"": 0}
        for place in np.flatnonzero(kinds == SUFFIX).tolist():
            if prefix := beginning(self.text(place)):
                prefix_of[place] = known.setdefault(prefix, len(prefixes))
                if known[prefix] == len(prefixes):
                    prefixes.append(prefix.encode())
        ends = np.cumsum([len(prefix) for prefix in prefixes])
        is_literal = (kinds == PLAIN) | (kinds == ESCAPED)
        num_literals = int(np.count_nonzero(is_literal))
        room = int(self._lengths[:n][~is_literal].sum()), int(self._lengths[:n][is_literal].sum())
        longest = max(map(len, prefixes))
        iris, iri_offsets = np.empty(room[0], np.uint8), np.empty(n - num_literals + 1, np.int64)
        literals = np.empty(room[1] + num_literals * longest, np.uint8)
        literal_offsets, places = np.empty(num_literals + 1, np.int64), np.empty(n, np.int64)
        _kernels.contents(
            *(self._data, n, self._starts, self._lengths, self._kinds, self._suffixes, prefix_of),
            *(np.frombuffer(b"".join(prefixes), np.uint8), ends, iris, iri_offsets, literals, literal_offsets),
            *(places, self._out),
        )
        num_iris, num_literals = self._out[:2].tolist()
        odd = np.flatnonzero((places == BAD) & (kinds != SUFFIX))
        return (
            Texts(iris, iri_offsets[: num_iris + 1]),
            Texts(literals, literal_offsets[: num_literals + 1]),
            places,
            odd,
        )

    def text(self, place: int) -> str:
        """Return a text as it is in the file."""
        start = int(self._starts[place])
        return self._data[start : start + int(self._lengths[place])].tobytes().decode()

    def facts(self, places: Array) -> Columns:
        """Return the facts of lines whose three terms have been read."""
        n = self._num_lines
        head, relation, tail, odd = np.empty((4, n), np.int64)
        kept = _kernels.facts(n, LINES, self._codes, places, head, relation, tail, odd, self._out)
        return Columns(head[:kept], relation[:kept], tail[:kept], odd[: int(self._out[0])])


def look(data: Array) -> tuple[bool, bool, bool]:
    """Tell whether bytes are UTF-8, hold U+0000, and hold a carriage return."""
    found = _kernels.look(data, len(data))
    return not found & 1, bool(found & 2), bool(found & 4)


def with_more(texts: Texts, more: list[str]) -> Texts:
    """Return texts with others after them."""
    return join([texts, Texts.of(more)]) if more else texts
