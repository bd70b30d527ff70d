"""Lay the edits since a snapshot over it, so that the next query sees them.

Only the rows of the entities that the edits touch are copied. What an overlay can't say exactly, since it would number
entities or relations anew, is left to a new snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import select

from kg.records import Statement
from kg.store import naming, schema
from kg.store.csr import Csr, Row, width
from kg.store.snapshot import Snapshot, dense, version_mark

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

#: An overlay holds at most this share of the edges, or the least number, whichever is more.
_SHARE, _LEAST = 0.1, 2_000

_Edge = tuple[int, int, int]


def overlay(snapshot: Snapshot, graph: KnowledgeGraph) -> Snapshot | None:
    """Return the snapshot with the store's edits since then over it; None where a new one must be taken."""
    with graph.database.read() as connection:
        since = select(schema.version.c.id, schema.version.c.action).where(schema.version.c.id > snapshot.version)
        later = connection.execute(since.order_by(schema.version.c.id)).all()
        if not later or any(action == "load" for _, action in later):  # an older store, or a bulk of statements
            return None
        at = later[-1][0]
        mark = version_mark(connection, at)
    changes = [statement for statement in graph.changes(snapshot.version) if statement.added <= at]
    if graph.version != at:  # someone edits meanwhile: look again
        return overlay(snapshot, graph)
    if len(changes) > max(_LEAST, snapshot.num_edges * _SHARE):
        return None
    ids = graph.ids({name for s in changes for name in (s.head, s.relation, s.tail) if isinstance(name, str)})
    ends = {ids[name] for s in changes for name in (s.head, s.tail) if isinstance(name, str)}
    relations = {ids[s.relation] for s in changes}
    known = set(snapshot.entity_ids[_hits(snapshot.entity_ids, ends)].tolist())
    fresh = sorted(ends - known)
    if any(number <= snapshot.last_term for number in fresh) or relations & (ends | known):
        return None
    if len(_hits(snapshot.entity_ids, relations)) or any(name in ids for name in naming._VOCABULARY):
        return None
    edges = {(s.head, s.relation, s.tail) for s in changes if isinstance(s.tail, str)}
    stated = {s.fact for s in changes if s.retracted is None}
    gone = {edge for edge in edges if edge not in stated and next(graph.triples(*edge), None) is None}
    if any(_is_bare(graph, name) for name in _losers(changes)):
        return None
    new_relations = {ids[edge[1]] for edge in edges - gone} - set(snapshot.relation_ids.tolist())
    last = int(snapshot.relation_ids[-1]) if snapshot.num_relations else -1
    if any(number < last for number in new_relations):
        return None
    relation_ids = np.concatenate([snapshot.relation_ids, np.array(sorted(new_relations), dtype=np.int64)])
    entity_ids = np.concatenate([snapshot.entity_ids, np.array(fresh, dtype=np.int64)])
    if snapshot.out.relation.dtype != width(len(relation_ids), np.int16, np.int32):
        return None
    numbers = np.array([[ids[name] for name in edge] for edge in sorted(edges)], dtype=np.int64).reshape(-1, 3)
    heads, tails = dense(entity_ids, numbers[:, 0]), dense(entity_ids, numbers[:, 2])
    labels = dense(relation_ids, numbers[:, 1])
    is_gone = [edge in gone for edge in sorted(edges)]
    out = _edited(snapshot.out, zip(heads.tolist(), labels.tolist(), tails.tolist()), is_gone)
    into = _edited(snapshot.into, zip(tails.tolist(), labels.tolist(), heads.tolist()), is_gone)
    made = replace(snapshot, out=out, into=into, entity_ids=entity_ids, relation_ids=relation_ids, version=at)
    return replace(made, last_term=max([snapshot.last_term, *ids.values()]), mark=mark)


def _hits(sorted_ids: np.ndarray, wanted: Iterable[int]) -> np.ndarray:
    places = dense(sorted_ids, np.fromiter(wanted, dtype=np.int64))
    return places[places >= 0]


def _losers(changes: Iterable[Statement]) -> set[str]:
    """The entities of retracted statements."""
    return {name for s in changes if s.retracted is not None for name in (s.head, s.tail) if isinstance(name, str)}


def _is_bare(graph: KnowledgeGraph, name: str) -> bool:
    """Whether nothing is said of an entity any more, so that it is none."""
    return next(graph.triples(head=name), None) is None and next(graph.triples(tail=name), None) is None


def _edited(side: Csr, edges: Iterable[_Edge], is_gone: Iterable[bool]) -> Csr:
    """Return one side with edges (end, relation, other end) put in or taken out."""
    by_end: dict[int, tuple[set[tuple[int, int]], set[tuple[int, int]]]] = {}
    for (end, relation, other), gone in zip(edges, is_gone):
        by_end.setdefault(end, (set(), set()))[gone].add((relation, other))
    rows = side.rows()
    rows |= {end: _row(side.of(end), *sets) for end, sets in by_end.items()}
    return side.over(rows)


def _row(row: Row, added: set[tuple[int, int]], gone: set[tuple[int, int]]) -> Row:
    pairs = sorted((set(zip(row[1].tolist(), row[0].tolist())) | added) - gone)
    relation, other = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return other, relation
