"""From the terms of a batch to ids: those that the store or this load knows already, and new ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from kg.errors import StoreError
from kg.store import terms
from kg.store.blocks import Array
from kg.store.compiled import Library
from kg.store.schema import term
from kg.store.segments import view
from kg.store.texts import Texts

#: Terms that a load remembers; older ones are looked up in the store. 16 bytes each, and 16 MB to find them by.
REMEMBERED = 3_000_000
#: So many have room at first; for more, room for all is made at once.
FEW = 1 << 12
#: The most IRIs, and the most literals, of a store: their ids are remembered in 32 bits.
MOST = (1 << 31) - 1

kernels = Library(
    "kg.store.numbering_kernels",
    digest="u1* i8* i8 i8 u1* u8* u8* i8* i8*",
    fill="i4* i8 i8* i8",
    find="i4* i8 i8* u4* i4* i8* i8* i8 i8*",
    add="i4* i8 i8* u4* i4* i8 i8* i8* i8 i8* i8 i8 i8*",
    gather="u1* i8* i8* i8 u1* i8*",
    names="u1* i8* i8 i8 u1* i8* i8* u1*",
    words="u1* i8* i8* i8 i8 u8*",
)

#: In which order each round of BLAKE2b takes the words of a block (RFC 7693, section 2.7), a digit a word.
_SIGMA = (
    "0123456789abcdefea489fd61c02b753b8c052fdae3671947931dcbe265a40f8905724afe1bc683d2c6a0b834d75fe19"
    "c51fed4a0763928bdb7ec13950f4862a6fe9b308c2d714a5a2847615fb9e3cd00123456789abcdefea489fd61c02b753"
)
_ORDER = np.array([int(digit, 16) for digit in _SIGMA], dtype=np.uint8)


@dataclass(slots=True)
class Keys:
    """n terms: their keys, the checks on these, and their ids, (n,) int64 each; sorted by key where it is said."""

    keys: Array
    checks: Array
    ids: Array

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, keys: Array, checks: Array, found: Array) -> None:
        """Fill in the ids of those of ``keys`` that are here and not yet found; here they must be sorted."""
        place = np.searchsorted(self.keys, keys)
        place[place == len(self.keys)] = 0
        here = self.keys[place] == keys
        if (self.checks[place[here]] != checks[here]).any():
            raise _collision()
        found[here] = self.ids[place[here]]


def merge(parts: list[Keys]) -> Keys:
    """Return all keys as one sorted run."""
    keys = np.concatenate([part.keys for part in parts])
    order = np.argsort(keys)
    return Keys(
        keys[order],
        np.concatenate([part.checks for part in parts])[order],
        np.concatenate([part.ids for part in parts])[order],
    )


def _collision() -> StoreError:
    return StoreError("two different terms share a content key: the store can't tell them apart; spell one differently")


@dataclass(slots=True)
class New:
    """The terms that a batch brought: contents in id order, the first of their ids without its sign, and their keys."""

    iris: Texts
    literals: Texts
    first_iri: int
    first_literal: int
    keys: Keys


class Remembered:
    """The ids of the terms that a load has met: a table of slots, open to the next one, over columns that grow."""

    def __init__(self) -> None:
        self.size = 0
        self._known, self._checks = np.empty(FEW, np.int64), np.empty(FEW, np.uint32)
        self._ids, self._slots = np.empty(FEW, np.int32), np.full(2 * FEW, -1, np.int32)

    def find(self, keys: Array, checks: Array) -> Array:
        """Return the ids of keys, 0 of those not met."""
        found = np.empty(len(keys), np.int64)
        if kernels.find(*self._table(), *self._columns(), keys, checks, len(keys), found):
            raise _collision()
        return found

    def add(self, keys: Array, checks: Array, found: Array, next_id: int, step: int) -> Array:
        """Take keys; give ids to those that ``found`` has none of; return the places of these, in their order."""
        self._make_room(self.size + len(keys))
        fresh = np.empty(len(keys) + 1, np.int64)
        size = kernels.add(
            *(*self._table(), *self._columns(), self.size, keys, checks, len(keys), found, next_id, step, fresh)
        )
        if size < 0:
            raise _collision()
        self.size = size
        return fresh[: fresh[len(keys)]]

    def _table(self) -> tuple[Any, int]:
        return self._slots, len(self._slots) - 1

    def _columns(self) -> tuple[Any, Any, Any]:
        return self._known, self._checks, self._ids

    def _make_room(self, size: int) -> None:
        if size > len(self._known):
            # What isn't touched takes no memory: one large room, and never a second one beside it to grow into.
            room = size + REMEMBERED
            for name in ("_known", "_checks", "_ids"):
                old = getattr(self, name)
                grown = np.empty(room, old.dtype)
                grown[: self.size] = old[: self.size]
                setattr(self, name, grown)
        if 4 * size > 3 * len(self._slots):
            self._slots = np.empty(0, np.int32)
            self._slots = np.full(1 << (max(size, REMEMBERED) * 4 // 3).bit_length(), -1, np.int32)
            kernels.fill(*self._table(), self._known, self.size)


class Numbering:
    """Gives ids to terms."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.next_iri, self.next_literal = terms.next_id(connection), terms.next_literal(connection)
        self._is_empty = self.next_iri == 1 and self.next_literal == 1
        self._remembered = Remembered()

    def number(self, iris: Texts, literals: Texts) -> tuple[Array, Array, New]:
        """Return the ids of a batch's IRIs and literals, and which of them are new.

        Raises:
            StoreError: the store is full.
        """
        if max(self.next_iri + len(iris), len(literals) - self.next_literal) > MOST:
            raise StoreError(f"a store holds up to {MOST:,} IRIs and as many literals: load the rest into another")
        first_iri, first_literal = self.next_iri, self.next_literal
        iri_ids, new_iris, keys_of_iris = self._number(iris, False)
        literal_ids, new_literals, keys_of_literals = self._number(literals, True)
        parts = zip(keys_of_iris, keys_of_literals, strict=True)
        keys = Keys(*(np.concatenate(pair) for pair in parts))
        return iri_ids, literal_ids, New(new_iris, new_literals, first_iri, first_literal, keys)

    def _number(self, texts: Texts, is_literal: bool) -> tuple[Array, Texts, tuple[Array, Array, Array]]:
        """Return ids, the new ones among the texts, and keys, checks and ids of these."""
        keys, checks = digests(texts, is_literal)
        if self._is_empty:
            found = np.zeros(len(keys), np.int64)
        else:
            found = self._remembered.find(keys, checks)
            self._look_up(keys, checks, found)
        next_id, step = (-self.next_literal, -1) if is_literal else (self.next_iri, 1)
        fresh = self._remembered.add(keys, checks, found, next_id, step)
        if is_literal:
            self.next_literal += len(fresh)
        else:
            self.next_iri += len(fresh)
        return found, texts.take(fresh), (keys[fresh], checks[fresh], found[fresh])

    def forget(self) -> None:
        """Drop what is remembered when it is much; call when the store has all of it."""
        if self._remembered.size > REMEMBERED:
            self._remembered = Remembered()
            self._is_empty = False

    def _look_up(self, keys: Array, checks: Array, found: Array) -> None:
        """Fill in the ids of terms that the store knows, from segments and from rows."""
        wanted = np.flatnonzero(found == 0)
        wanted = wanted[np.argsort(keys[wanted], kind="stable")]
        sought, sought_checks, ids = keys[wanted], checks[wanted], np.zeros(len(wanted), np.int64)
        for one, directory in view(self.connection).runs(self.connection):
            open_ones = np.flatnonzero(ids == 0)
            begins = np.array([first for first, _ in directory.begins], dtype=np.int64)
            places = np.searchsorted(begins, sought[open_ones], "right") - 1
            for place in np.unique(places[places >= 0]).tolist():
                mine = open_ones[np.searchsorted(places, place) : np.searchsorted(places, place, "right")]
                stored = Keys(*one.columns(self.connection, directory.ids[place], directory.counts[place]))
                some = np.zeros(len(mine), dtype=np.int64)
                stored.find(sought[mine], sought_checks[mine], some)
                ids[mine] = some
        if self.connection.execute(select(term.c.id).limit(1)).first() is not None:
            for part in terms.chunks(np.flatnonzero(ids == 0).tolist(), 10_000):
                by_key = {int(sought[place]): place for place in part}
                rows = select(term.c.key, term.c.id).where(term.c.key.in_(by_key))
                for key, number in self.connection.execute(rows):
                    ids[by_key[key]] = number
            # A text that comes twice in the batch was asked for once.
            ids = ids[np.searchsorted(sought, sought, "right") - 1]
        found[wanted] = ids


def digests(texts: Texts, is_literal: bool) -> tuple[Array, Array]:
    """Return the keys and checks of contents, (n,) int64 each, as ``terms.digest`` makes them."""
    keys, checks = np.empty((2, len(texts)), np.int64)
    offsets = np.ascontiguousarray(texts.offsets)
    rooms = np.empty(8, np.uint64), np.empty(16, np.uint64)
    kernels.digest(texts.run, offsets, len(texts), int(is_literal), _ORDER, *rooms, keys, checks)
    return keys, checks
