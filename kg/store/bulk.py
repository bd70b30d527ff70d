"""Load a stream of facts fast: one version, nothing at all if it fails.

Batches of facts come as columns (`kg.store.batches`); their terms are numbered, each once; the statements wait by ids
until a portion is full, which becomes a segment. A load of few facts writes rows, as an edit does.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import Connection, select

from kg.errors import InputError
from kg.store import facts as stored
from kg.store import naming, terms, writing
from kg.store.batches import Batch, Fact, batches_of
from kg.store.blocks import Array
from kg.store.editing import find_or_add_source, new_version
from kg.store.graph import KnowledgeGraph
from kg.store.numbering import New, Numbering
from kg.store.reading import current_version
from kg.store.schema import qualifier, segment, term, triple, version
from kg.store.segments import BY_HEAD, IRIS, Segment, view
from kg.store.statements import Statements
from kg.store.texts import Texts

__all__ = ["Fact", "Loaded", "load"]

#: Statements of one segment: 24 bytes each while they wait, three times that while they are sorted.
PORTION = 1_000_000
#: Statements whose entities are counted at once.
COUNTED = 1 << 16
#: Loads of fewer facts become rows.
SMALL = 5_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load added: statements, those of them with a literal tail, the entities in them, and the version."""

    triples: int
    literals: int
    entities: int
    version: int


def load(
    graph: KnowledgeGraph,
    facts: Iterable[Fact],
    *,
    source: str,
    author: str = "",
    note: str = "",
    progress: Callable[[int], None] | None = None,
    resume: bool = False,
    identity: str = "",
) -> Loaded:
    """Add facts of one source as one version; facts that this source states already are not added twice.

    Args:
        facts: (head, relation, tail), or (head, relation, tail, qualifiers) with pairs of a key and a value; or a
            ``kg.store.batches.Batched`` reader, which is faster.
        progress: called now and then with the number of facts read so far.
        resume: commit part by part, which nobody sees before the last; if the last such load was interrupted, go on
            where it stopped (see ``kg.store.parts``).
        identity: what is read, for a load that goes on to be sure that it is the same.

    Raises:
        InputError: one of the facts can't be one. Whatever is raised, by ``facts`` too, the store stays as it was.
    """
    if not source:
        raise InputError("a load needs the name of its source")
    if resume:
        from kg.store.parts import load_in_parts

        return load_in_parts(graph, facts, source, author, note, progress, identity)
    with graph.database.write() as connection, no_garbage_collection():
        before = current_version(connection)
        at = new_version(connection, "load", source=source, author=author, note=note)
        portions = Portions(connection, source, at)
        count = 0
        for batch in batches_of(facts):
            portions.take(batch)
            count += len(batch)
            if progress:
                progress(count)
        portions.write_rest()
        if not portions.has_added:
            connection.execute(version.delete().where(version.c.id == at))
            connection.execute(segment.delete().where(segment.c.added == at))
            return Loaded(0, 0, 0, before)
        if connection.dialect.name == "postgresql":  # its planner goes by statistics
            connection.exec_driver_sql("ANALYZE term, triple, block")
        return Loaded(portions.triples, portions.literals, portions.num_entities, at)


@dataclass(slots=True)
class _Waiting:
    """Statements by ids, and what else came with them, until they are written."""

    columns: list[tuple[Array, Array, Array]] = field(default_factory=list)
    count: int = 0
    new: list[New] = field(default_factory=list)
    names: list[tuple[Array, Texts]] = field(default_factory=list)


class Portions:
    """Facts on their way into the store, in portions that become segments, or rows when they are few."""

    def __init__(self, connection: Connection, source: str, at: int, in_parts: bool = False) -> None:
        self._connection = connection
        self._source = find_or_add_source(connection, source)
        self._at, self._in_parts = at, in_parts
        self._numbering = Numbering(connection)
        self._waiting = _Waiting()
        self._writer: writing.SegmentWriter | None = None
        self._is_seen = np.zeros(1024, dtype=bool)  # by id: the entities in what was added
        self.triples = self.literals = self.qualified = 0

    @property
    def has_added(self) -> bool:
        return bool(self.triples or self.qualified)

    @property
    def num_entities(self) -> int:
        return int(self._is_seen.sum())

    @property
    def is_full(self) -> bool:
        """Is it time to write?"""
        return self._waiting.count >= PORTION

    def go_on(self, connection: Connection) -> None:
        """Go on in another transaction."""
        self._connection = self._numbering.connection = connection

    def take(self, batch: Batch) -> None:
        """Take a batch; write when a portion is full."""
        iris, literals, new = self._numbering.number(batch.iris, batch.literals)
        ends = np.concatenate([iris, literals[::-1]])  # a tail's place counts from the front, or from the end
        tail = ends[batch.tail]
        relation = iris[batch.relation]
        waiting = self._waiting
        waiting.columns.append((iris[batch.head], relation, tail))
        waiting.count += len(batch)
        waiting.new.append(new)
        self._take_names(batch, literals)
        if batch.qualifiers:
            self._qualify(batch, iris, ends, tail)
        if self._writer is not None or self._in_parts or waiting.count >= SMALL:
            self._open_segment()
        if self.is_full and not self._in_parts:
            self._write_segment()

    def _take_names(self, batch: Batch, literals: Array) -> None:
        """Let the literals that name something, given the ids of all, be found as names."""
        is_naming = np.zeros(len(batch.iris), dtype=bool)
        is_naming[batch.relation] = True
        for place in np.flatnonzero(is_naming).tolist():
            is_naming[place] = naming.is_naming(batch.iris[place])
        tails = batch.tail[is_naming[batch.relation]]
        is_name = np.zeros(len(literals), dtype=bool)
        is_name[-1 - tails[tails < 0]] = True
        if len(chosen := np.flatnonzero(is_name)):
            self._waiting.names.append((literals[chosen], batch.literals.take(chosen)))

    def _open_segment(self) -> None:
        """Hand what waits, but for the statements, to the segment."""
        if self._writer is None:
            self._writer = writing.SegmentWriter(self._connection, self._source, self._at, self._in_parts)
        for new in self._waiting.new:
            self._writer.add_terms(new.iris, new.literals, (new.first_iri, new.first_literal), new.keys)
        for ids, contents in self._waiting.names:
            self._writer.add_names(ids, contents)
        self._waiting.new.clear()
        self._waiting.names.clear()

    def _sorted(self) -> Statements:
        """Return the waiting statements without those that the source states already."""
        statements = Statements(self._waiting.columns)
        self._waiting.columns.clear()
        self._waiting.count = 0
        stated = self._stated(statements)
        if stated is not None and stated.any():
            statements.keep(~stated)
        for head, _, tail in statements.blocks((0, 1, 2), COUNTED):
            self._count(head, tail)
        return statements

    def _stated(self, statements: Statements) -> Array | None:
        """Tell which statements the source states already, (M,) bool; None for none."""
        connection = self._connection
        rows = stored.read_rows(connection, [triple.c.source == self._source])
        segments = view(connection).segments
        mine = {one.id for one in segments if one.source == self._source and one.triples}
        if not len(rows.id) and not mine:
            return None
        found = np.zeros(len(statements), dtype=bool)
        hidden = stored.hidden_by(rows)
        live = rows.facts.take(stored.is_active(rows.facts, None))
        older, last = list[tuple[Segment, set[tuple[int, int, int]], int]](), 0
        for one in segments:
            directory = one.directory(connection, IRIS)
            if directory.ids:
                last = max(last, directory.begins[-1][0] + directory.counts[-1])
            if one.id in mine:
                older.append((one, hidden.get(one.id, set()), last))
        at = 0
        for columns in statements.blocks((0, 1, 2), COUNTED):
            part = found[at : at + len(columns[0])]
            if len(live):
                part |= writing.is_in(columns, (live.head, live.relation, live.tail))
            for one, without, last in older:
                self._in_segment(one, without, columns, last, part)
            at += len(part)
        return found

    def _in_segment(
        self, one: Segment, hidden: set[tuple[int, int, int]], rows: Sequence[Array], last: int, found: Array
    ) -> None:
        """Mark in ``found`` which rows, sorted by head, a segment has; ``last`` bounds the ids of its IRIs."""
        head, _, tail = rows
        open_ones = np.flatnonzero((head < last) & (tail < last) & ~found)
        if not len(open_ones):
            return
        directory = one.directory(self._connection, BY_HEAD)
        begins = np.array([first for first, _ in directory.begins], dtype=np.int64)
        heads = head[open_ones]
        starts = np.searchsorted(heads, begins)
        stops = np.searchsorted(heads, np.append(begins[1:], np.int64(1 << 62)), "right")
        for place in np.flatnonzero(starts < stops).tolist():
            mine = open_ones[starts[place] : stops[place]]
            columns = next(one.all(self._connection, [place], keep=False))
            facts = stored.of_segment(one, columns, hidden)
            found[mine] |= writing.is_in([row[mine] for row in rows], (facts.head, facts.relation, facts.tail))

    def _count(self, head: Array, tail: Array) -> None:
        self.triples += len(head)
        self.literals += int((tail < 0).sum())
        if self._numbering.next_iri > len(self._is_seen):
            self._is_seen = np.concatenate([self._is_seen, np.zeros(self._numbering.next_iri, dtype=bool)])
        self._is_seen[head] = True
        self._is_seen[tail[tail > 0]] = True

    def _write_segment(self) -> None:
        assert self._writer is not None
        self._writer.finish(self._sorted())
        self._writer = None
        self._numbering.forget()

    def _write_rows(self) -> None:
        """Write a small load as rows."""
        connection = self._connection
        rows: list[terms.TermRow] = []
        for new in self._waiting.new:
            keys = dict(zip(new.keys.ids.tolist(), new.keys.keys.tolist(), strict=True))
            for number, text in enumerate(new.iris.to_list(), new.first_iri):
                rows.append(terms.term_row(number, keys[number], text))
            for number, text in enumerate(new.literals.to_list(), new.first_literal):
                rows.append(terms.term_row(-number, keys[-number], terms.literal_of(text)))
        writing.insert(connection, "term", term.c.keys(), rows)
        for ids, contents in self._waiting.names:
            for number, text in zip(ids.tolist(), contents.to_list(), strict=True):
                terms.add_name(connection, number, terms.literal_of(text))
        head, relation, tail = self._sorted().columns()
        columns = ("head", "relation", "tail", "source", "added")
        values = zip(head.tolist(), relation.tolist(), tail.tolist(), strict=True)
        writing.insert(connection, "triple", columns, [(*fact, self._source, self._at) for fact in values])

    def _qualify(self, batch: Batch, iris: Array, ends: Array, tail: Array) -> None:
        columns = ("head", "relation", "tail", "source", "key", "value", "added")
        head, relation = iris[batch.head], iris[batch.relation]
        rows: dict[tuple[int, ...], None] = {}
        for at, key, value in batch.qualifiers:
            fact = int(head[at]), int(relation[at]), int(tail[at]), self._source
            rows[(*fact, int(iris[key]), int(ends[value]), self._at)] = None
        known: set[tuple[int, ...]] = set()
        for part in terms.chunks({row[0] for row in rows}):
            ask = select(*(qualifier.c[column] for column in columns[:6])).where(
                qualifier.c.head.in_(part), qualifier.c.source == self._source, qualifier.c.retracted.is_(None)
            )
            known.update(tuple(row) for row in self._connection.execute(ask))
        fresh = [row for row in rows if row[:6] not in known]
        self.qualified += len(fresh)
        writing.insert(self._connection, "qualifier", columns, fresh)

    def write_rest(self) -> None:
        """Write what waits: as rows when it is all there is, and little."""
        if self._writer is not None or (self._waiting.count and self.triples):
            self._open_segment()
            self._write_segment()
        elif self._waiting.count:
            self._write_rows()


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """A load makes millions of small objects and no cycles; looking for some takes a tenth of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
