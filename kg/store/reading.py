"""Read statements at one version: by head, relation and tail, around an entity, in subgraphs, and what changed.

Long reads go in pages, each its own short transaction. Rows are read at the start, segments never change: what is added
or retracted meanwhile is not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kg.records import Statement, Subgraph, Tail
from kg.store import facts, terms
from kg.store.connection import Database
from kg.store.facts import Facts
from kg.store.light import ask
from kg.store.segments import BY_HEAD, Segment, view, view_and_last_row

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Blocks of 4,096 statements that are read in one transaction.
PAGE = 5

LAST_VERSION = "SELECT max(id) FROM version"
_SOURCES = "SELECT id, name FROM source ORDER BY id"
_ANY_QUALIFIER = "SELECT id FROM qualifier LIMIT 1"


def current_version(connection: Connection) -> int:
    """Return the number of the last version; 0 for an empty store."""
    return int(ask(connection, LAST_VERSION)[0][0] or 0)


def source_names(connection: Connection) -> dict[int, str]:
    """Return the names of all sources by id, in the order they came."""
    return dict(ask(connection, _SOURCES))


def statements(connection: Connection, found: Facts, names: dict[int, str] | None = None) -> list[Statement]:
    """Return what facts by ids say, with terms, sources and qualifiers."""
    if not len(found):
        return []
    names = names or source_names(connection)
    known = terms.read_many(connection, np.concatenate([found.head, found.relation, found.tail]))
    rows = zip(
        found.head.tolist(),
        found.relation.tolist(),
        found.tail.tolist(),
        found.source.tolist(),
        found.added.tolist(),
        found.retracted.tolist(),
        strict=True,
    )
    has_more = bool(ask(connection, _ANY_QUALIFIER))
    said = _qualifiers(connection, found) if has_more else {}
    return [
        Statement(
            known[h],  # type: ignore[arg-type]
            known[r],  # type: ignore[arg-type]
            known[t],
            names[s],
            at,
            gone or None,
            _those(said[h, r, t, s], at, gone) if (h, r, t, s) in said else (),
        )
        for h, r, t, s, at, gone in rows
    ]


_Said = tuple[int, int, str, Tail]  # added, retracted, key, value


def _those(said: Iterable[_Said], added: int, retracted: int) -> tuple[tuple[str, Tail], ...]:
    """Return the qualifiers of a statement's time: of its lifetime only, since it may have been stated before."""
    return tuple(
        (key, value) for came, went, key, value in said if came >= added and (not retracted or came < retracted)
    )


def _qualifiers(connection: Connection, found: Facts) -> dict[tuple[int, ...], list[_Said]]:
    from sqlalchemy import select

    from kg.store.schema import qualifier

    columns = (qualifier.c.head, qualifier.c.relation, qualifier.c.tail, qualifier.c.source)
    rows: list[Any] = []
    for part in terms.chunks(np.unique(found.head).tolist()):
        sought = select(*columns, qualifier.c.added, qualifier.c.retracted, qualifier.c.key, qualifier.c.value)
        sought = sought.where(qualifier.c.head.in_(part), qualifier.c.added <= current_version(connection))
        rows += connection.execute(sought.order_by(qualifier.c.id))
    known = terms.read_many(connection, [number for row in rows for number in row[6:]])
    said: dict[tuple[int, ...], list[_Said]] = {}
    for row in rows:
        said.setdefault(tuple(row[:4]), []).append((row[4], row[5] or 0, str(known[row[6]]), known[row[7]]))
    return said


def scan(database: Database, at: int, **ends: Tail | None) -> Iterator[Statement]:
    """Yield the statements active at version ``at`` whose head, relation and tail are the given ones, as they came."""
    with database.read() as connection:
        ids: dict[str, int] = {}
        for name, end in ends.items():
            if end is not None:
                number = terms.find(connection, end)
                if number is None:
                    return
                ids[name] = number
        if "head" in ids or "tail" in ids:
            found = facts.match(connection, at, **ids)
            yield_all = statements(connection, found) if len(found) < PAGE * 4096 else None
        else:
            found, yield_all = None, None
    if yield_all is not None:
        yield from yield_all
    elif found is not None:
        for start in range(0, len(found), PAGE * 4096):
            with database.read() as connection:
                page = statements(connection, found.take(slice(start, start + PAGE * 4096)))
            yield from page
    else:
        yield from _scan_long(database, at, ids.get("relation"))


def _scan_long(database: Database, at: int, relation: int | None) -> Iterator[Statement]:
    """Yield all statements, or all of one relation: a few blocks at a time."""
    with database.read() as connection:
        rows = facts.read_rows(connection, facts.equal([("relation", relation)]))
        segments = [one for one in view(connection).segments if one.added <= at]
    hidden = facts.hidden_by(rows)
    live = rows.facts.take(facts.is_active(rows.facts, at))
    live = live.take(np.argsort(live.added, kind="stable"))
    done = 0
    for one in segments:
        until = int(np.searchsorted(live.added, one.added))
        yield from _pages(database, live.take(slice(done, until)))
        done = until
        for columns in _blocks(database, one, relation):
            yield from _pages(database, facts.of_segment(one, columns, hidden.get(one.id, set())))
    yield from _pages(database, live.take(slice(done, None)))


def _pages(database: Database, found: Facts) -> Iterator[Statement]:
    for start in range(0, len(found), PAGE * 4096):
        with database.read() as connection:
            page = statements(connection, found.take(slice(start, start + PAGE * 4096)))
        yield from page


def _blocks(database: Database, one: Segment, relation: int | None) -> Iterator[tuple[Any, Any, Any]]:
    """Yield (heads, relations, tails) of a segment, ``PAGE`` blocks at a time."""
    with database.read() as connection:
        if relation is not None:
            columns = list(facts.in_segment(connection, one, None, relation, None))
        places = range(len(one.directory(connection, BY_HEAD).ids))
    if relation is not None:
        yield from columns
        return
    size = 1
    while places:
        with database.read() as connection:
            parts = list(one.all(connection, places[:size]))
        yield tuple(map(np.concatenate, zip(*parts, strict=True)))  # type: ignore[misc]
        places, size = places[size:], PAGE


def neighbours(
    connection: Connection, numbers: Iterable[int], limit: int, at: int | None = None
) -> dict[int, list[Statement]]:
    """Return the statements out of entities, and the first ``limit`` into each, read together."""
    entities = np.unique(np.fromiter(numbers, dtype=np.int64))
    found: dict[int, list[Statement]] = {number: [] for number in entities.tolist()}
    if len(entities):
        out, into = facts.neighbours(connection, entities, limit, at)
        said = statements(connection, facts.concatenate([out, into]))
        for number, statement in zip([*out.head.tolist(), *into.tail.tolist()], said, strict=True):
            found[number].append(statement)
    return found


def subgraph(connection: Connection, starts: Iterable[int], hops: int, limit: int, at: int | None = None) -> Subgraph:
    """Return what is within ``hops`` of the starts, taking at most ``limit`` statements out of and into each entity."""
    distance = dict.fromkeys(starts, 0)
    frontier, kept = list(distance), list[Facts]()
    for hop in range(1, hops + 1):
        reached: list[int] = []
        for entity in frontier:
            out = facts.match(connection, at, head=entity, limit=limit)
            into = facts.match(connection, at, tail=entity, limit=limit)
            kept += [out, into]
            for other in [*out.tail[out.tail > 0].tolist(), *into.head.tolist()]:
                if other not in distance:
                    distance[other] = hop
                    reached.append(other)
        frontier = reached
    found = facts.concatenate(kept)
    order = np.lexsort((found.source, found.tail, found.relation, found.head, found.added))
    found = found.take(order)
    keys = np.stack([found.head, found.relation, found.tail, found.source])
    is_new = np.ones(len(found), dtype=bool)
    is_new[1:] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
    names = terms.read_many(connection, list(distance))
    return Subgraph(
        tuple(statements(connection, found.take(is_new))), {str(names[number]): far for number, far in distance.items()}
    )


def fan_out(
    connection: Connection, entities: Iterable[int], hops: int, limit: int
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return the first ``limit`` edges out of each entity, hop by hop, as columns of term ids."""
    frontier = list(dict.fromkeys(int(entity) for entity in entities))
    seen, found = set(frontier), []
    known, last_row = view_and_last_row(connection)
    for _ in range(hops):
        edges = facts.first_edges(connection, known.segments, last_row != 0, frontier, limit)
        found.append(edges)
        frontier = [tail for tail in dict.fromkeys(edges[2].tolist()) if tail not in seen]
        seen.update(frontier)
    return found


# -- counts ---------------------------------------------------------------------------------------------------------


def _hidden_counts(connection: Connection, *by: Any) -> list[Any]:
    """Count the rows that are active now, less those that hide something of a segment, by columns."""
    from sqlalchemy import func, select

    from kg.store.schema import triple

    counts: dict[Any, int] = {}
    for sign, where in ((1, triple.c.retracted.is_(None)), (-1, triple.c.segment > 0)):
        for *key, n in connection.execute(select(*by, func.count()).where(where).group_by(*by)):
            counts[tuple(key)] = counts.get(tuple(key), 0) + sign * n
    return list(counts.items())


def count_relations(connection: Connection, ever: bool = False) -> dict[str, int]:
    """Return relation IRI → number of active triples, the most frequent first; those left without any if ``ever``."""
    from kg.store.schema import triple

    counts: dict[int, int] = dict.fromkeys(relation_ids(connection), 0) if ever else {}
    for one in view(connection).segments:
        for relation, n in one.relations.items():
            counts[relation] = counts.get(relation, 0) + n
    for (relation,), n in _hidden_counts(connection, triple.c.relation):
        counts[relation] = counts.get(relation, 0) + n
    known = terms.read_many(connection, list(counts))
    found = [(str(known[relation]), n) for relation, n in counts.items() if n or ever]
    return dict(sorted(found, key=lambda pair: (-pair[1], pair[0])))


def relation_ids(connection: Connection, at: int | None = None) -> list[int]:
    """Return the ids of all relations there had been by a version (None: now), ascending."""
    last = (1 << 62) if at is None else at
    found = {relation for one in view(connection).segments if one.added <= last for relation in one.relations}
    rows = ask(connection, "SELECT DISTINCT relation FROM triple WHERE added <= :last", last=last)
    found.update(relation for (relation,) in rows)
    return sorted(found)


def count_facts(connection: Connection, at: int | None = None) -> int:
    """Return the number of different facts that some source states at a version (None: now)."""
    from kg.store.edges import distinct

    return sum(len(distinct(found)) for found in facts.windows(connection, at))


def count(connection: Connection) -> dict[str, Any]:
    """Return how many active triples, literals, relations and pictures there are, and triples by source."""
    from sqlalchemy import func, select

    from kg.store.schema import picture, triple

    names = source_names(connection)
    triples = literals = 0
    sources: dict[str, int] = {}
    for one in view(connection).segments:
        triples, literals = triples + one.triples, literals + one.literals
        sources[names[one.source]] = sources.get(names[one.source], 0) + one.triples
    for (number, is_literal), n in _hidden_counts(connection, triple.c.source, triple.c.tail < 0):
        triples, literals = triples + n, literals + n * bool(is_literal)
        sources[names[number]] = sources.get(names[number], 0) + n
    pictures = select(func.count()).select_from(picture).where(picture.c.retracted.is_(None))
    return {
        "triples": triples,
        "literals": literals,
        "relations": len(count_relations(connection)),
        "sources": {name: n for name, n in sorted(sources.items()) if n},
        "pictures": connection.execute(pictures).scalar_one(),
        "version": current_version(connection),
    }
