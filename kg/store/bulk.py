"""Load a stream of facts fast: one transaction, one version, nothing at all if it fails.

Terms get their ids from a dictionary in memory; the triples, by ids, are sorted in portions as the unique index is, so
that it grows at its end. When the load is large beside what the store holds, the other orders are dropped and built
anew, once.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from kg.errors import InputError
from kg.records import Literal, Tail
from kg.store import terms
from kg.store.editing import find_or_add_source, new_version
from kg.store.graph import KnowledgeGraph
from kg.store.reading import current_version
from kg.store.schema import LITERAL, TRIPLE_ORDERS, term, triple, version

#: Facts between two writes to the database, and between two calls of ``progress``.
BATCH = 50_000
#: How many terms the dictionary holds before it is emptied: about 300 MB.
DICTIONARY = 2_000_000

#: Triples sorted and written together: 100 MB.
PORTION = 4_000_000

_COLUMNS = "head, relation, tail, source, added"

Fact = tuple[str, str, Tail]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load added: statements, those of them with a literal tail, the entities in them, and the version."""

    triples: int
    literals: int
    entities: int
    version: int


class _Dictionary:
    """Terms → ids, with the rows of new terms waiting to be written."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._next = terms.next_id(connection)
        self._stored = self._next > 1  # may the store know a term that this dictionary does not?
        if not self._stored:
            for index in term.indexes:
                index.drop(connection)
        self._iris: dict[str, int] = {}
        self._literals: dict[int, int] = {}  # by content key: literals are long and mostly come once
        self._new: list[terms.TermRow] = []

    def number(self, facts: Sequence[Fact]) -> np.ndarray:
        """Return the facts as ids, (n, 3) int64, numbering unknown terms and keeping their rows for ``write``."""
        iris, literals = self._iris, self._literals
        heads, relations, tails = zip(*facts, strict=True)
        if not {*map(type, heads), *map(type, relations)} <= {str} or not {*map(type, tails)} <= {str, Literal}:
            for fact in facts:
                terms.check_fact(*fact)
        keys = [terms.content_key(tail) if isinstance(tail, Literal) else 0 for tail in tails]
        names = dict.fromkeys(heads)  # not a set: ids must not depend on the order of one
        names.update(dict.fromkeys(relations))
        names.update(dict.fromkeys(tail for tail in tails if not isinstance(tail, Literal)))
        if "" in names:
            terms.check_fact(*next(fact for fact in facts if "" in fact))
        unseen: dict[int, Tail] = {terms.content_key(name): name for name in names if name not in iris}
        unseen.update((key, tail) for key, tail in zip(keys, tails, strict=True) if key and key not in literals)
        if self._stored:
            for part in terms.chunks(list(unseen), 10_000):
                rows = self._connection.execute(select(term.c.key, term.c.id).where(term.c.key.in_(part)))
                for key, number in rows:
                    self._know(key, unseen.pop(key), number)
        for key, end in unseen.items():
            self._new.append(terms.term_row(self._next, key, end))
            self._know(key, end, self._next)
            self._next += 1
        ids = [list(map(iris.__getitem__, heads)), list(map(iris.__getitem__, relations))]
        ids.append([literals[key] if key else iris[str(tail)] for tail, key in zip(tails, keys, strict=True)])
        return np.array(ids, dtype=np.int64).T

    def _know(self, key: int, end: Tail, number: int) -> None:
        if isinstance(end, str):
            self._iris[end] = number
        else:
            self._literals[key] = number

    def write(self) -> None:
        """Write the new terms, and forget all when the dictionary is full: the store knows them now."""
        _write(self._connection, "term", term.c.keys(), self._new)
        self._new = []
        if len(self._iris) + len(self._literals) > DICTIONARY:
            self._iris.clear()
            self._literals.clear()
            self.finish()

    def finish(self) -> None:
        """Make the indexes over ``term`` that an empty store does without while it is filled."""
        if not self._stored:
            for index in term.indexes:
                index.create(self._connection)
            self._stored = True


def load(
    graph: KnowledgeGraph,
    facts: Iterable[Fact],
    *,
    source: str,
    author: str = "",
    note: str = "",
    progress: Callable[[int], None] | None = None,
) -> Loaded:
    """Add facts of one source as one version; facts that this source states already are not added twice.

    Args:
        progress: called now and then with the number of facts read so far.

    Raises:
        InputError: one of the facts can't be one. Whatever is raised, by ``facts`` too, the store stays as it was.
    """
    if not source:
        raise InputError("a load needs the name of its source")
    with graph.database.write() as connection, _no_garbage_collection():
        dictionary, triples = _Dictionary(connection), _Triples(connection, source, author, note)
        count = 0
        for batch in terms.chunks(facts, BATCH):
            numbered = dictionary.number(batch)
            dictionary.write()
            triples.take(numbered)
            count += len(batch)
            if progress:
                progress(count)
        dictionary.finish()
        return triples.finish()


class _Triples:
    """Triples by ids on their way into the store, in portions sorted as the unique index is."""

    def __init__(self, connection: Connection, source: str, author: str, note: str) -> None:
        self._connection = connection
        self._last = connection.execute(select(func.max(triple.c.id))).scalar() or 0
        self._source = find_or_add_source(connection, source)
        self._before = current_version(connection)
        self._at = new_version(connection, "load", source=source, author=author, note=note)
        self._waiting: list[np.ndarray] = []
        self._orders_are_dropped = False

    def take(self, numbered: np.ndarray) -> None:
        """Take a batch; write when a portion is full."""
        self._waiting.append(numbered)
        if sum(map(len, self._waiting)) >= PORTION:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows = np.concatenate(self._waiting)  # (n, 3)
        self._waiting.clear()
        rows = rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))]
        is_new = np.ones(len(rows), dtype=bool)
        is_new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
        rows = rows[is_new]
        if not self._orders_are_dropped and len(rows) > max(self._last // 2, 10_000):
            for order in TRIPLE_ORDERS:
                order.drop(self._connection)
            self._orders_are_dropped = True
        if self._connection.dialect.name == "sqlite":
            insert = (
                f"INSERT INTO triple ({_COLUMNS}) VALUES (?, ?, ?, {self._source}, {self._at}) ON CONFLICT DO NOTHING"
            )
            for start in range(0, len(rows), BATCH):
                _driver(self._connection).executemany(insert, rows[start : start + BATCH].tolist())
        else:
            columns = "head BIGINT, relation BIGINT, tail BIGINT"
            self._connection.exec_driver_sql(f"CREATE TEMPORARY TABLE incoming ({columns}) ON COMMIT DROP")
            _write(self._connection, "incoming", ("head", "relation", "tail"), rows.tolist())
            self._connection.exec_driver_sql(
                f"INSERT INTO triple ({_COLUMNS}) SELECT *, {self._source}, {self._at} FROM incoming "
                "ON CONFLICT DO NOTHING"
            )
            self._connection.exec_driver_sql("DROP TABLE incoming")

    def finish(self) -> Loaded:
        """Write the rest, put the orders back, and count."""
        self._flush()
        if self._orders_are_dropped:
            for order in TRIPLE_ORDERS:
                order.create(self._connection)
            if self._connection.dialect.name == "postgresql":  # its planner goes by statistics
                self._connection.exec_driver_sql("ANALYZE term, triple")
        of_load = f"FROM triple JOIN term ON term.id = triple.tail WHERE triple.id > {self._last}"
        counted = self._connection.exec_driver_sql(
            f"SELECT count(*), coalesce(sum(CASE WHEN kind = {LITERAL} THEN 1 ELSE 0 END), 0) {of_load}"
        ).one()
        ends = f"SELECT head FROM triple WHERE id > {self._last} UNION SELECT tail {of_load} AND kind <> {LITERAL}"
        entities = self._connection.exec_driver_sql(f"SELECT count(*) FROM ({ends}) AS ends").scalar_one()
        if not counted[0]:
            self._connection.execute(version.delete().where(version.c.id == self._at))
        return Loaded(counted[0], int(counted[1]), entities, self._at if counted[0] else self._before)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A load makes millions of small objects and no cycles; looking for some takes a tenth of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _write(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows by the fastest way that the database has."""
    if not rows:
        return
    names = ", ".join(columns)
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(columns))
        _driver(connection).executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)
    else:
        with _driver(connection).cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def _driver(connection: Connection) -> Any:
    """The driver's own connection: SQLAlchemy would copy a million rows on their way."""
    return connection.connection.driver_connection
