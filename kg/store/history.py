"""What was said when: the versions of a store, every time that a fact was stated, and what changed between versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kg.records import Statement, Tail
from kg.store import facts, reading, terms
from kg.store.segments import BY_HEAD, view

if TYPE_CHECKING:
    from sqlalchemy import Connection


def log(connection: Connection) -> list[dict[str, Any]]:
    """Return the versions, oldest first: id, time (UTC), author, action, source, note."""
    from sqlalchemy import select

    from kg.store.schema import version

    rows = connection.execute(select(version).order_by(version.c.id)).mappings()
    return [dict(row) | {"time": row["time"].isoformat(timespec="seconds")} for row in rows]


def history(connection: Connection, head: str, relation: str | None, tail: Tail | None) -> list[Statement]:
    """Return every time that facts were stated, by any source, also what was retracted since."""
    given = {name: end for name, end in (("head", head), ("relation", relation), ("tail", tail)) if end is not None}
    numbers = {name: terms.find(connection, end) for name, end in given.items()}
    ids = {name: number for name, number in numbers.items() if number is not None}
    if len(ids) < len(given):
        return []
    rows = facts.read_rows(connection, facts.equal(ids.items()))
    now = facts.match(connection, None, **ids)
    found = facts.concatenate([rows.facts.take(rows.facts.retracted > 0), now])
    return reading.statements(connection, found.take(np.argsort(found.added, kind="stable")))


def changes(connection: Connection, since: int) -> list[Statement]:
    """Return the statements added or retracted after a version, those that came and went in one version left out."""
    from kg.store.schema import triple

    rows = facts.read_rows(connection, [(triple.c.added > since) | (triple.c.retracted > since)])
    whole = facts.read_rows(connection, [triple.c.segment > 0, triple.c.added > since])
    hidden = facts.hidden_by(whole)
    parts = [rows.facts.take(rows.facts.retracted != rows.facts.added)]
    for one in view(connection).segments:
        if one.added > since:
            places = range(len(one.directory(connection, BY_HEAD).ids))
            parts += [
                facts.of_segment(one, columns, hidden.get(one.id, set())) for columns in one.all(connection, places)
            ]
    found = facts.concatenate(parts)
    return reading.statements(connection, found.take(np.argsort(found.added, kind="stable")))


def diff(connection: Connection, old: int, new: int) -> tuple[list[Statement], list[Statement]]:
    """Return what holds at version ``new`` and not at ``old``, and the reverse; see ``KnowledgeGraph.diff``."""
    changed = changes(connection, min(old, new))
    said, says = ({(s.fact, s.source) for s in changed if _holds(s, at)} for at in (old, new))
    added = [s for s in changed if _holds(s, new) and (s.fact, s.source) not in said]
    return added, [s for s in changed if _holds(s, old) and (s.fact, s.source) not in says]


def _holds(statement: Statement, at: int) -> bool:
    return statement.added <= at and (statement.retracted is None or statement.retracted > at)
