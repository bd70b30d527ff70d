"""What is said around every entity, as arrays by term id: what retrieval walks on.

Unlike a snapshot's edges, an entity's row has values (literals) too, what each source says apart, and where each fact
comes from, so that nothing is read while walking. After edits only the rows of the entities that they touch are read
again, and laid over the others.

    an entity's row: facts out of it, then facts into it, of these the first few of each relation; both by the version
    in which they came, those of one version by term ids
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kg.store import facts, reading, terms
from kg.store.facts import Facts
from kg.store.light import ask

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from kg.store.graph import KnowledgeGraph

Array = np.ndarray[Any, np.dtype[Any]]

#: Facts into an entity that are looked at.
MOST_INTO = 256
#: Rows are read anew when edits touched more than this share of all, or the least number, whichever is more.
_SHARE, _LEAST = 0.1, 2_000

_LATER = "SELECT action FROM version WHERE id > :since"
_TOUCHED = "SELECT head, tail FROM triple WHERE added > :since OR retracted > :since"


class Rows(NamedTuple):
    """Rows of entities, one after the other: that of number i is ``indptr[i]:indptr[i + 1]``.

    Attributes:
        indptr: int64 (N + 1,).
        far: int64 (M,), the other end's term id; of a value it is negative.
        step: int32 (M,), 2 · the relation's place in `Surroundings.relations`, + 1 where the entity is the tail.
        origin: int32 (M,), place in `Surroundings.origins`.
        is_bridge: bool (N,), whether an entity has few enough facts to be walked through.
    """

    indptr: Array
    far: Array
    step: Array
    origin: Array
    is_bridge: Array


class Around(NamedTuple):
    """All rows: ``base`` by term id, but those of the ids in ``patched``, int64 (P,) ascending, in ``patch``."""

    base: Rows
    patched: Array
    patch: Rows


class Surroundings:
    """The rows of one store, at the version of the last `follow`.

    Args:
        excluded: relations whose facts are left out.
        inverse_limit: facts into an entity kept of each relation: a country is the origin of many products.
        bridge_limit: an entity of more facts is no bridge.

    Attributes:
        relations: term ids; origins: (source's id, version in which it was added). Both only grow.
        sources: names by id.
        has_qualifiers: whether anything more is said of any fact.
    """

    def __init__(self, graph: KnowledgeGraph, excluded: Collection[str], inverse_limit: int, bridge_limit: int) -> None:
        self.graph, self.inverse_limit, self.bridge_limit = graph, inverse_limit, bridge_limit
        self._excluded_iris, self.version = excluded, 0
        self._relation_place, self._origin_place = dict[int, int](), dict[tuple[int, int], int]()
        self._read()

    def follow(self) -> int:
        """Bring the rows to the store's version, which is returned."""
        with self.graph.database.read() as connection:
            now = reading.current_version(connection)
            if now == self.version:
                return now
            actions = {row[0] for row in ask(connection, _LATER, since=self.version)}
            is_small = now > self.version and "load" not in actions
            touched = self._touched(connection) if is_small else None
            if touched is not None:
                self._lay_over(connection, touched, now)
                return now
        self._read()
        return self.version

    def _touched(self, connection: Connection) -> Array | None:
        """The ends of facts changed since, ascending; None where they are too many."""
        pairs = ask(connection, _TOUCHED, since=self.version)
        ids = {end for pair in pairs for end in pair if end > 0} | set(self.around.patched.tolist())
        if len(ids) > max(_LEAST, _SHARE * len(self.around.base.is_bridge)):
            return None
        return np.array(sorted(ids), dtype=np.int64)

    def _read(self) -> None:
        """Read all rows."""
        while True:
            with self.graph.database.read() as connection:
                now = self._look_at(connection)
                size = terms.next_id(connection)
                found = facts.concatenate([self._walked(one) for one in facts.windows(connection)])
            if self.graph.version == now:  # nobody edited between these reads
                break
        into = found.take((found.tail > 0) & (found.tail != found.head))
        base = self._rows(found, into, np.arange(size))
        self.around, self.version = Around(base, *self._no_patch()), now

    def _no_patch(self) -> tuple[Array, Rows]:
        nothing = facts.concatenate([])
        none = _frozen(np.zeros(0, dtype=np.int64))
        return none, self._rows(nothing, nothing, none)

    def _lay_over(self, connection: Connection, touched: Array, now: int) -> None:
        self._look_at(connection)
        out, into = facts.neighbours(connection, touched, 1 << 40)
        rows = self._rows(self._walked(out), self._walked(into), touched)
        self.around, self.version = Around(self.around.base, _frozen(touched), rows), now

    def _look_at(self, connection: Connection) -> int:
        """Read what rows hang on besides facts; return the store's version."""
        self.sources = reading.source_names(connection)
        self.has_qualifiers = bool(ask(connection, "SELECT id FROM qualifier LIMIT 1"))
        self._excluded = np.array(sorted(terms.find_many(connection, self._excluded_iris).values()), dtype=np.int64)
        return reading.current_version(connection)

    def _walked(self, found: Facts) -> Facts:
        return found.take(~np.isin(found.relation, self._excluded))

    def _rows(self, out: Facts, into: Facts, owners: Array) -> Rows:
        """The rows of entities, given ascending, from the facts out of them and into them."""
        out = out.take(np.lexsort((out.source, out.tail, out.relation, out.added, out.head)))
        into = into.take(np.lexsort((into.source, into.relation, into.head, into.added, into.tail)))
        into = into.take(_rank(into.tail) < MOST_INTO)
        owner = np.concatenate([out.head, into.tail])
        degree = np.bincount(np.searchsorted(owners, owner), minlength=len(owners))
        order = np.lexsort((into.relation, into.tail))
        is_kept = np.zeros(len(into), dtype=bool)
        is_kept[order] = _rank(into.tail[order], into.relation[order]) < self.inverse_limit
        into = into.take(is_kept)
        both = facts.concatenate([out, into])
        owner = np.concatenate([out.head, into.tail])
        order = np.argsort(owner, kind="stable")
        far = np.concatenate([out.tail, into.head])[order]
        backward = np.arange(len(both)) >= len(out)
        step = (2 * self._places(both.relation, self._relation_place) + backward)[order]
        origin = self._origins(both)[order]
        indptr = np.searchsorted(owner[order], np.append(owners, np.iinfo(np.int64).max))
        self.relations, self.origins = list(self._relation_place), list(self._origin_place)
        columns = indptr, far, step.astype(np.int32), origin.astype(np.int32), degree <= self.bridge_limit
        return Rows(*map(_frozen, columns))

    @staticmethod
    def _places(values: Array, known: dict[Any, int]) -> Array:
        distinct, inverse = np.unique(values, return_inverse=True)
        return np.array([known.setdefault(value, len(known)) for value in distinct.tolist()], dtype=np.int64)[inverse]

    def _origins(self, found: Facts) -> Array:
        distinct, inverse = np.unique(np.stack([found.source, found.added]), axis=1, return_inverse=True)
        places = [self._origin_place.setdefault((s, a), len(self._origin_place)) for s, a in distinct.T.tolist()]
        return np.array(places, dtype=np.int64)[inverse.reshape(-1)]


def _rank(*columns: Array) -> Array:
    """The place of each among its equals, which stand side by side: 0, 1, 2, …"""
    is_first = np.ones(len(columns[0]), dtype=bool)
    is_first[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    starts = np.flatnonzero(is_first)
    return np.arange(len(is_first)) - np.repeat(starts, np.diff(np.append(starts, len(is_first))))


def _frozen(array: Array) -> Array:
    """The same, not to be written to: compiled walks know one type of array."""
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array
