"""From the terms of a batch to ids: those that the store or this load knows already, and new ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, select

from kg.errors import StoreError
from kg.store import terms
from kg.store.blocks import Array
from kg.store.schema import term
from kg.store.segments import view

#: Terms that a load remembers; older ones are looked up in the store. 20 bytes each.
REMEMBERED = 4_000_000


@dataclass(slots=True)
class Keys:
    """n terms sorted by key: their keys, the checks on these, and their ids, (n,) int64 each."""

    keys: Array
    checks: Array
    ids: Array

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, keys: Array, checks: Array, found: Array) -> None:
        """Fill in the ids of those of ``keys`` that are here and not yet found."""
        place = np.searchsorted(self.keys, keys)
        place[place == len(self.keys)] = 0
        here = self.keys[place] == keys
        if (self.checks[place[here]] != checks[here]).any():
            raise _collision()
        found[here] = self.ids[place[here]]


def merge(parts: list[Keys]) -> Keys:
    """Return all keys as one sorted run."""
    keys = np.concatenate([part.keys for part in parts])
    order = np.argsort(keys, kind="stable")
    return Keys(
        keys[order],
        np.concatenate([part.checks for part in parts])[order],
        np.concatenate([part.ids for part in parts])[order],
    )


def _collision() -> StoreError:
    return StoreError("two different terms share a content key: the store can't tell them apart; spell one differently")


@dataclass(slots=True)
class New:
    """The terms that a batch brought: contents in id order, and the first of their ids without its sign."""

    iris: pa.LargeStringArray
    literals: pa.LargeStringArray
    first_iri: int
    first_literal: int
    keys: Keys


@dataclass(slots=True)
class Numbering:
    """Gives ids to terms. ``levels`` are the runs of keys that this load has met, each more than twice the next."""

    connection: Connection
    next_iri: int
    next_literal: int
    is_empty: bool
    levels: list[Keys] = field(default_factory=list)

    @classmethod
    def of(cls, connection: Connection) -> Numbering:
        """Go on from what the store has."""
        iri, literal = terms.next_id(connection), terms.next_literal(connection)
        return cls(connection, iri, literal, iri == 1 and literal == 1)

    def number(self, iris: pa.LargeStringArray, literals: pa.LargeStringArray) -> tuple[Array, Array, New]:
        """Return the ids of a batch's IRIs and literals, and which of them are new."""
        keys, checks = _hash(iris, literals)
        order = np.argsort(keys, kind="stable")
        keys, checks = keys[order], checks[order]
        is_first = np.ones(len(keys), dtype=bool)
        is_first[1:] = keys[1:] != keys[:-1]
        group = np.cumsum(is_first) - 1
        keys, firsts = keys[is_first], order[is_first]
        if (checks != checks[is_first][group]).any():
            raise _collision()
        checks = checks[is_first]
        found = np.zeros(len(keys), dtype=np.int64)
        for level in self.levels:
            level.find(keys, checks, found)
        if not self.is_empty:
            self._look_up(keys, checks, found)
        fresh = np.flatnonzero(found == 0)
        fresh = fresh[np.argsort(firsts[fresh], kind="stable")]  # numbered in the order in which they come
        is_literal = firsts[fresh] >= len(iris)
        n = int((~is_literal).sum())
        found[fresh[:n]] = np.arange(self.next_iri, self.next_iri + n)
        found[fresh[n:]] = -np.arange(self.next_literal, self.next_literal + len(fresh) - n)
        sorted_fresh = np.sort(fresh)
        new = New(
            iris.take(pa.array(firsts[fresh[:n]])),
            literals.take(pa.array(firsts[fresh[n:]] - len(iris))),
            self.next_iri,
            self.next_literal,
            Keys(keys[sorted_fresh], checks[sorted_fresh], found[sorted_fresh]),
        )
        self.next_iri, self.next_literal = self.next_iri + n, self.next_literal + len(fresh) - n
        self._remember(new.keys)
        ids = np.empty(len(order), dtype=np.int64)
        ids[order] = found[group]
        return ids[: len(iris)], ids[len(iris) :], new

    def _remember(self, keys: Keys) -> None:
        if not len(keys):
            return
        self.levels.append(keys)
        while len(self.levels) > 1 and len(self.levels[-2]) < 2 * len(self.levels[-1]):
            self.levels[-2:] = [merge(self.levels[-2:])]

    def forget(self) -> None:
        """Drop what is remembered when it is much; call when the store has all of it."""
        if sum(map(len, self.levels)) > REMEMBERED:
            self.levels.clear()
            self.is_empty = False

    def _look_up(self, keys: Array, checks: Array, found: Array) -> None:
        """Fill in the ids of terms that the store knows, from segments and from rows."""
        for one, directory in view(self.connection).runs(self.connection):
            open_ones = np.flatnonzero(found == 0)
            begins = np.array([first for first, _ in directory.begins], dtype=np.int64)
            places = np.searchsorted(begins, keys[open_ones], "right") - 1
            for place in np.unique(places[places >= 0]).tolist():
                mine = (
                    open_ones[places == place]
                    if len(open_ones) < 10_000
                    else open_ones[np.searchsorted(places, place) : np.searchsorted(places, place, "right")]
                )
                stored = Keys(*one.columns(self.connection, directory.ids[place], directory.counts[place]))
                some = np.zeros(len(mine), dtype=np.int64)
                stored.find(keys[mine], checks[mine], some)
                found[mine] = some
        if self.connection.execute(select(term.c.id).limit(1)).first() is None:
            return
        open_ones = np.flatnonzero(found == 0)
        for part in terms.chunks(open_ones.tolist(), 10_000):
            wanted = {int(keys[place]): place for place in part}
            for key, number in self.connection.execute(select(term.c.key, term.c.id).where(term.c.key.in_(wanted))):
                found[wanted[key]] = number


def _hash(iris: pa.LargeStringArray, literals: pa.LargeStringArray) -> tuple[Array, Array]:
    """Return the keys and checks of contents, IRIs first; see ``terms.digest``."""
    found = b"".join([terms.digest(one) for texts in (iris, literals) for one in _bytes(texts)])
    table = np.frombuffer(found, dtype=np.dtype([("key", "<i8"), ("check", "<u4")]))
    keys, checks = table["key"].astype(np.int64), table["check"].astype(np.int64)
    keys[len(iris) :] = ~keys[len(iris) :]
    return keys, checks


def _bytes(texts: pa.LargeStringArray) -> list[memoryview]:
    run, offsets = raw(texts)
    bounds = offsets.tolist()
    return [run[start:stop] for start, stop in pairwise(bounds)]


def raw(texts: pa.LargeStringArray) -> tuple[memoryview, Array]:
    """Return the UTF-8 of texts as one run, and where each begins, (n + 1,) int64."""
    if not len(texts):
        return memoryview(b""), np.zeros(1, dtype=np.int64)
    _, offsets, data = texts.buffers()
    places = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(data or b""), places
