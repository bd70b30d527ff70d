"""Statements by ids, as columns: what segments and rows say together, at one version.

A row of ``triple`` that names a segment is a statement of it that was retracted; it hides the segment's copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from kg.store.blocks import Array
from kg.store.segments import BY_HEAD, BY_RELATION, BY_TAIL, PLACES, Segment, view, view_and_last_row

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

#: Statements between two stops of a long read, about.
WINDOW = 250_000
#: So many heads are looked up by name among rows; of more, the range is read.
_FEW = 500


@dataclass(frozen=True, slots=True)
class Facts:
    """M statements: ids of terms, of the source, and versions (``retracted`` 0: still active), (M,) int64 each."""

    head: Array
    relation: Array
    tail: Array
    source: Array
    added: Array
    retracted: Array

    def __len__(self) -> int:
        return len(self.head)

    def take(self, kept: np.ndarray | slice) -> Facts:
        """Return those of a mask or of places."""
        return Facts(*(getattr(self, column.name)[kept] for column in fields(self)))


def concatenate(parts: Sequence[Facts]) -> Facts:
    """Return the statements of all parts, in their order."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Facts(*np.empty((6, 0), dtype=np.int64))
    return Facts(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(Facts)))


def of_rows(rows: Sequence[tuple[int, ...]]) -> Facts:
    """Return statements given one by one, their columns in the order above."""
    return Facts(*np.array(rows, dtype=np.int64).reshape(-1, 6).T)


@dataclass(frozen=True, slots=True)
class Rows:
    """What rows say that match a pattern, (id order), and the ids of the segments that they hide from."""

    facts: Facts
    segment: Array
    id: Array


def read_rows(connection: Connection, where: Sequence[ColumnElement[bool]] = ()) -> Rows:
    """Read the rows of ``triple`` that match, whatever their version."""
    from sqlalchemy import select

    from kg.store.schema import triple

    columns = ("head", "relation", "tail", "source", "added", "retracted", "segment", "id")
    ask = select(*(triple.c[name] for name in columns)).where(*where).order_by(triple.c.id)
    parts = []
    cursor: Any = connection.execute(ask).cursor  # the driver's own rows: no object for each
    while rows := cursor.fetchmany(50_000):
        parts.append(np.array([[0 if value is None else value for value in row] for row in rows], dtype=np.int64))
    table = (np.concatenate(parts) if parts else np.empty((0, 8), dtype=np.int64)).T
    return Rows(Facts(*table[:6]), table[6], table[7])


_NO_ROWS = Rows(Facts(*np.empty((6, 0), dtype=np.int64)), *np.empty((2, 0), dtype=np.int64))


def is_active(facts: Facts, at: int | None) -> np.ndarray:
    """Tell which statements are active at a version (None: now), (M,) bool."""
    if at is None:
        return facts.retracted == 0
    return (facts.added <= at) & ((facts.retracted == 0) | (facts.retracted > at))


def of_segment(one: Segment, columns: tuple[Array, Array, Array], hidden: set[tuple[int, int, int]]) -> Facts:
    """Return a segment's statements but for the hidden ones."""
    head, relation, tail = columns
    if hidden:
        heads = np.fromiter({fact[0] for fact in hidden}, dtype=np.int64)
        doubtful = np.flatnonzero(np.isin(head, heads))
        gone = [i for i in doubtful.tolist() if (int(head[i]), int(relation[i]), int(tail[i])) in hidden]
        if gone:
            kept = np.ones(len(head), dtype=bool)
            kept[gone] = False
            head, relation, tail = head[kept], relation[kept], tail[kept]
    n = len(head)
    return Facts(head, relation, tail, np.full(n, one.source), np.full(n, one.added), np.zeros(n, dtype=np.int64))


def hidden_by(rows: Rows) -> dict[int, set[tuple[int, int, int]]]:
    """Return segment id → what rows hide from it."""
    found: dict[int, set[tuple[int, int, int]]] = {}
    for place in np.flatnonzero(rows.segment).tolist():
        fact = (int(rows.facts.head[place]), int(rows.facts.relation[place]), int(rows.facts.tail[place]))
        found.setdefault(int(rows.segment[place]), set()).add(fact)
    return found


def in_segment(
    connection: Connection, one: Segment, head: int | None, relation: int | None, tail: int | None
) -> Iterator[tuple[Array, Array, Array]]:
    """Yield the columns of a segment's statements that match a pattern with at least one id given."""
    if head is not None:
        found = one.find(connection, BY_HEAD, head, second=relation)
    elif tail is not None:
        found = one.find(connection, BY_TAIL, tail)
    else:
        assert relation is not None
        found = one.find(connection, BY_RELATION, relation) if relation in one.relations else iter(())
    for heads, relations, tails in found:
        kept = np.ones(len(heads), dtype=bool)
        if tail is not None and head is not None:
            kept &= tails == tail
        if relation is not None and head is None and tail is not None:
            kept &= relations == relation
        if kept.all():
            yield heads, relations, tails
        elif kept.any():
            yield heads[kept], relations[kept], tails[kept]


def match(
    connection: Connection,
    at: int | None = None,
    head: int | None = None,
    relation: int | None = None,
    tail: int | None = None,
    limit: int | None = None,
) -> Facts:
    """Return the statements active at a version (None: now) that match, in the order in which they came.

    Args:
        limit: read little more than so many, and return at most so many.
    """
    given = (("head", head), ("relation", relation), ("tail", tail))
    known, last = view_and_last_row(connection)
    rows = read_rows(connection, equal(given)) if last else _NO_ROWS
    hidden = hidden_by(rows)
    parts: list[Facts] = []
    for one in known.segments:
        if at is None or one.added <= at:
            for columns in in_segment(connection, one, head, relation, tail):
                parts.append(of_segment(one, columns, hidden.get(one.id, set())))
                if limit is not None and sum(map(len, parts)) >= limit:
                    break
    if len(rows.id):
        parts.append(rows.facts.take(is_active(rows.facts, at)))
    found = concatenate(parts)
    if len(parts) > 1 and (np.diff(found.added) < 0).any():
        found = found.take(np.argsort(found.added, kind="stable"))
    return found if limit is None else found.take(slice(limit))


def equal(given: Iterable[tuple[str, int | None]]) -> list[ColumnElement[bool]]:
    """The rows whose columns are given numbers."""
    from kg.store.schema import triple

    return [triple.c[name] == number for name, number in given if number is not None]


def windows(connection: Connection, at: int | None = None) -> Iterator[Facts]:
    """Yield all statements active at a version, a range of heads at a time: what is about one head comes together."""
    segments = [one for one in view(connection).segments if at is None or one.added <= at]
    rows = read_rows(connection)
    hidden = hidden_by(rows)
    live = rows.facts.take(is_active(rows.facts, at))
    live = live.take(np.argsort(live.head, kind="stable"))
    for low, high in _ranges(connection, segments, live.head):
        parts = [
            of_segment(one, columns, hidden.get(one.id, set()))
            for one in segments
            for columns in one.find(connection, BY_HEAD, low, high)
        ]
        parts.append(live.take(slice(*np.searchsorted(live.head, (low, high + 1)))))
        found = concatenate(parts)
        if len(found):
            yield found


def _ranges(connection: Connection, segments: Sequence[Segment], heads: Array) -> Iterator[tuple[int, int]]:
    """Cut the ids of heads into ranges of about ``WINDOW`` statements."""
    firsts, counts = [heads[::1000]], [np.full(len(heads[::1000]), 1000)]
    for one in segments:
        directory = one.directory(connection, BY_HEAD)
        firsts.append(directory.firsts)
        counts.append(np.array(directory.counts, dtype=np.int64))
    first, count = np.concatenate(firsts), np.concatenate(counts)
    order = np.argsort(first, kind="stable")
    first, total = first[order], np.cumsum(count[order])
    low = 1
    for place in np.searchsorted(total, np.arange(WINDOW, int(total[-1]) if len(total) else 0, WINDOW)).tolist():
        if first[place] > low:
            yield low, int(first[place]) - 1
            low = int(first[place])
    yield low, (1 << 62)


def heads_of(connection: Connection, heads: Array, relations: Array | None = None, at: int | None = None) -> Facts:
    """Return the statements out of entities, given ascending, active at a version (None: now).

    Args:
        relations: only of these.
    """
    known, last = view_and_last_row(connection)
    if not len(heads):
        return concatenate([])
    rows = read_rows(connection, [_among("head", heads)]) if last else _NO_ROWS
    hidden = hidden_by(rows)
    parts = []
    for one in _until(known.segments, at):
        columns = around(connection, one, BY_HEAD, heads)
        if relations is not None:
            kept = np.isin(columns[1], relations)
            columns = columns[0][kept], columns[1][kept], columns[2][kept]
        parts.append(of_segment(one, columns, hidden.get(one.id, set())))
    if len(rows.id):
        kept = is_active(rows.facts, at) & np.isin(rows.facts.head, heads)
        if relations is not None:
            kept &= np.isin(rows.facts.relation, relations)
        parts.append(rows.facts.take(kept))
    found = concatenate(parts)
    return found.take(np.argsort(found.added, kind="stable"))


def _until(segments: Sequence[Segment], at: int | None) -> list[Segment]:
    return [one for one in segments if at is None or one.added <= at]


def _among(name: str, ids: Array) -> ColumnElement[bool]:
    """The rows whose column is one of some ids, given ascending, or at least in their range."""
    from kg.store.schema import triple

    column = triple.c[name]
    few: ColumnElement[bool] = (
        column.in_(ids.tolist()) if len(ids) <= _FEW else column.between(int(ids[0]), int(ids[-1]))
    )
    return few


def around(
    connection: Connection, one: Segment, kind: int, ids: Array, most: Array | None = None
) -> tuple[Array, Array, Array]:
    """Return a segment's statements whose leading id in an order is one of some, given ascending, block by block.

    Args:
        kind: the order, ``BY_HEAD`` or ``BY_TAIL``.
        most: at most so many of each id.
    """
    directory = one.directory(connection, kind)
    low = np.maximum(np.searchsorted(directory.firsts, ids, "left") - 1, 0)  # the blocks that each id may be in: low …
    high = np.searchsorted(directory.firsts, ids, "right")  # … to high - 1
    left = np.full(len(ids), 1 << 62) if most is None else most.copy()
    parts: list[tuple[Array, ...]] = []
    blocks = {place for start, stop in zip(low.tolist(), high.tolist(), strict=True) for place in range(start, stop)}
    for place in sorted(blocks):
        within = slice(int(np.searchsorted(high, place, "right")), int(np.searchsorted(low, place, "right")))
        if not left[within].any():
            continue
        columns = one.columns(connection, directory.ids[place], directory.counts[place])
        start, stop = (
            np.searchsorted(columns[0], ids[within], "left"),
            np.searchsorted(columns[0], ids[within], "right"),
        )
        lengths = np.minimum(stop - start, left[within])
        left[within] -= lengths
        ends = np.cumsum(lengths)
        if ends[-1]:
            index = np.repeat(start - (ends - lengths), lengths) + np.arange(ends[-1])
            parts.append(tuple(columns[column][index] for column in PLACES[kind]))
    if not parts:
        return tuple(np.empty((3, 0), dtype=np.int64))  # type: ignore[return-value]
    return tuple(map(np.concatenate, zip(*parts, strict=True)))  # type: ignore[return-value]


def neighbours(connection: Connection, entities: Array, limit: int, at: int | None = None) -> tuple[Facts, Facts]:
    """Return the statements out of entities, given ascending, and the first ``limit`` into each from others."""
    known, last = view_and_last_row(connection)
    out = heads_of(connection, entities, at=at)
    heads = np.sort(out.head)
    number_out = np.searchsorted(heads, entities, "right") - np.searchsorted(heads, entities, "left")
    rows = read_rows(connection, [_among("tail", entities)]) if last else _NO_ROWS
    hidden = hidden_by(rows)
    # One to itself is among those out of it, and what rows hide is not given: as many more must be read.
    most = limit + number_out + np.count_nonzero(rows.segment)
    parts = [
        of_segment(one, around(connection, one, BY_TAIL, entities, most), hidden.get(one.id, set()))
        for one in _until(known.segments, at)
    ]
    if len(rows.id):
        parts.append(rows.facts.take(is_active(rows.facts, at) & np.isin(rows.facts.tail, entities)))
    into = concatenate(parts)
    into = into.take(into.head != into.tail)
    into = into.take(np.lexsort((into.added, into.tail)))
    place = np.arange(len(into)) - np.searchsorted(into.tail, into.tail, "left")
    return out, into.take(place < limit)


def first_edges(
    connection: Connection, segments: Sequence[Segment], has_rows: bool, heads: Sequence[int], limit: int
) -> tuple[Array, Array, Array]:
    """Return (heads, relations, tails) of the first ``limit`` edges out of each entity."""
    if has_rows:
        matched = [match(connection, head=head) for head in heads]
        found = concatenate([one.take(np.flatnonzero(one.tail > 0)[:limit]) for one in matched])
        return found.head, found.relation, found.tail
    relations, tails, counts = [], [], []
    for head in heads:
        left = limit
        for one in segments:
            for relation, tail in one.edges_of(connection, head):
                relations.append(relation[:left])
                tails.append(tail[:left])
                left -= len(tails[-1])
            if not left:
                break
        counts.append(limit - left)
    if not tails:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing, nothing
    return np.repeat(np.array(heads, dtype=np.int64), counts), np.concatenate(relations), np.concatenate(tails)
