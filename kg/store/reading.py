"""Read statements at one version: by head, relation and tail, around an entity, in subgraphs, and what changed.

Long reads go in pages, each its own short transaction. The version fixed at the start keeps them consistent: what is
added or retracted meanwhile has a later version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, or_, select, union_all

from kg.records import Statement, Subgraph, Tail
from kg.store import terms
from kg.store.connection import Database
from kg.store.schema import LITERAL, picture, source, term, triple, version

PAGE = 20_000

_head, _relation, _tail = term.alias("h"), term.alias("r"), term.alias("t")
_STATEMENT = (
    triple.c.id,
    _head.c.value.label("head"),
    _relation.c.value.label("relation"),
    _tail.c.kind,
    _tail.c.value,
    _tail.c.datatype,
    _tail.c.language,
    _tail.c.unit,
    source.c.name.label("source"),
    triple.c.added,
    triple.c.retracted,
)
_JOINED = (
    triple.join(_head, _head.c.id == triple.c.head)
    .join(_relation, _relation.c.id == triple.c.relation)
    .join(_tail, _tail.c.id == triple.c.tail)
    .join(source, source.c.id == triple.c.source)
)


def statement_of(row: Any) -> Statement:
    """Return the statement of a row of ``_STATEMENT``."""
    _, head, relation, kind, value, datatype, language, unit, name, added, retracted = row
    return Statement(head, relation, terms.read_term(kind, value, datatype, language, unit), name, added, retracted)


def active(at: int | None) -> ColumnElement[bool]:
    """Return the condition that a triple is active at version ``at`` (None: now)."""
    if at is None:
        return triple.c.retracted.is_(None)
    return and_(triple.c.added <= at, or_(triple.c.retracted.is_(None), triple.c.retracted > at))


def current_version(connection: Connection) -> int:
    """Return the number of the last version; 0 for an empty store."""
    return int(connection.execute(_LAST_VERSION).scalar() or 0)


_LAST_VERSION = select(func.max(version.c.id))


def scan(database: Database, at: int, **ends: Tail | None) -> Iterator[Statement]:
    """Yield the statements active at version ``at`` whose head, relation and tail are the given ones, in id order."""
    where = [active(at)]
    with database.read() as connection:
        for name, end in ends.items():
            if end is not None:
                number = terms.find(connection, end)
                if number is None:
                    return
                where.append(triple.c[name] == number)
    ask = select(*_STATEMENT).select_from(_JOINED).where(*where, triple.c.id > bindparam("after"))
    ask = ask.order_by(triple.c.id).limit(bindparam("page"))
    after, page = 0, 1_000
    while True:
        with database.read() as connection:
            rows = connection.execute(ask, {"after": after, "page": page}).all()
        yield from map(statement_of, rows)
        if len(rows) < page:
            return
        after, page = rows[-1].id, PAGE


_LIVE = triple.c.retracted.is_(None)


def _around() -> Select[Any]:
    """All edges out of :entity and the first :limit into it, as one query."""
    out = select(triple.c.id).where(triple.c.head == bindparam("entity"), _LIVE)
    into = select(triple.c.id).where(triple.c.tail == bindparam("entity"), _LIVE).limit(bindparam("limit"))
    ids = union_all(out, select(into.subquery().c.id)).subquery()
    return select(*_STATEMENT).select_from(_JOINED).where(triple.c.id.in_(select(ids.c.id))).order_by(triple.c.id)


_AROUND = _around()


def neighbours(connection: Connection, number: int, limit: int) -> list[Statement]:
    """Return the statements out of an entity, and the first ``limit`` into it."""
    rows = connection.execute(_AROUND, {"entity": number, "limit": limit})
    return [statement_of(row) for row in rows]


_OUT_IDS = (
    select(triple.c.id, triple.c.tail, term.c.kind)
    .join(term, term.c.id == triple.c.tail)
    .where(triple.c.head == bindparam("entity"), _LIVE)
    .limit(bindparam("limit"))
)
_IN_IDS = (
    select(triple.c.id, triple.c.head).where(triple.c.tail == bindparam("entity"), _LIVE).limit(bindparam("limit"))
)


def subgraph(connection: Connection, starts: Iterable[int], hops: int, limit: int) -> Subgraph:
    """Return what is within ``hops`` of the starts, taking at most ``limit`` statements out of and into each entity."""
    distance = dict.fromkeys(starts, 0)
    frontier, kept = list(distance), dict[int, None]()
    for hop in range(1, hops + 1):
        reached: list[int] = []
        for entity in frontier:
            values = {"entity": entity, "limit": limit}
            for number, other, kind in connection.execute(_OUT_IDS, values):
                kept[number] = None
                if kind != LITERAL and other not in distance:
                    distance[other] = hop
                    reached.append(other)
            for number, other in connection.execute(_IN_IDS, values):
                kept[number] = None
                if other not in distance:
                    distance[other] = hop
                    reached.append(other)
        frontier = reached
    statements: list[Statement] = []
    for part in terms.chunks(sorted(kept)):
        rows = connection.execute(
            select(*_STATEMENT).select_from(_JOINED).where(triple.c.id.in_(part)).order_by(triple.c.id)
        )
        statements += map(statement_of, rows)
    names = terms.read_many(connection, distance)
    return Subgraph(tuple(statements), {str(names[number]): far for number, far in distance.items()})


def changes(connection: Connection, since: int) -> list[Statement]:
    """Return the statements added or retracted after a version, those that came and went in one version left out."""
    # Ids rise with versions, so the new triples are the last ones: no need for an index on `added`.
    last_old = select(triple.c.id).where(triple.c.added <= since).order_by(triple.c.id.desc()).limit(1)
    first = connection.execute(last_old).scalar() or 0
    ask = select(*_STATEMENT).select_from(_JOINED)
    seen = and_(triple.c.id > first, or_(triple.c.retracted.is_(None), triple.c.retracted > triple.c.added))
    gone = and_(triple.c.retracted > since, triple.c.id <= first)
    rows = [*connection.execute(ask.where(seen)), *connection.execute(ask.where(gone))]
    return [statement_of(row) for row in sorted(rows, key=lambda row: row.id)]


def count_relations(connection: Connection) -> dict[str, int]:
    """Return relation IRI → number of active triples, the most frequent first."""
    counts = select(triple.c.relation, func.count().label("n")).where(_LIVE).group_by(triple.c.relation).subquery()
    ask = select(term.c.value, counts.c.n).join(counts, counts.c.relation == term.c.id)
    return dict(connection.execute(ask.order_by(counts.c.n.desc(), term.c.value)).all())


def count_facts(connection: Connection) -> int:
    """Return the number of different facts that some source states now."""
    facts = select(triple.c.head, triple.c.relation, triple.c.tail).where(_LIVE).distinct().subquery()
    return int(connection.execute(select(func.count()).select_from(facts)).scalar_one())


def count(connection: Connection) -> dict[str, Any]:
    """Return how many active triples, literals, relations and pictures there are, and triples by source."""
    live = select(func.count()).select_from(triple).where(_LIVE)
    with_tail = triple.join(term, term.c.id == triple.c.tail)
    literals = select(func.count()).select_from(with_tail).where(_LIVE, term.c.kind == LITERAL)
    by_source = select(source.c.name, func.count()).join(triple, triple.c.source == source.c.id).where(_LIVE)
    return {
        "triples": connection.execute(live).scalar_one(),
        "literals": connection.execute(literals).scalar_one(),
        "relations": len(count_relations(connection)),
        "sources": dict(connection.execute(by_source.group_by(source.c.name).order_by(source.c.name)).all()),
        "pictures": connection.execute(
            select(func.count()).select_from(picture).where(picture.c.retracted.is_(None))
        ).scalar_one(),
        "version": current_version(connection),
    }
