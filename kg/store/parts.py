"""Loads that commit part by part, so that one that is interrupted goes on where it stopped.

A part is a segment that is *staged*: no reader sees it until the last part makes all of them visible at once, as one
version. What was read so far is kept in the table ``loading``, in the same transaction as the part. Other writes are
refused meanwhile; a second process that resumes the load takes it over, and the first one stops at its next part.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from sqlalchemy import Connection, delete, func, select, update

from kg.errors import InputError, StoreError
from kg.store import terms
from kg.store.batches import Batch, Fact, batches_of
from kg.store.bulk import Loaded, Portions, no_garbage_collection
from kg.store.editing import new_version
from kg.store.graph import KnowledgeGraph
from kg.store.reading import current_version
from kg.store.schema import block, loading, qualifier, segment
from kg.store.segments import BY_HEAD, look_again, view
from kg.store.versioned import VersionedStore


def load_in_parts(
    graph: KnowledgeGraph,
    facts: Iterable[Fact],
    source: str,
    author: str = "",
    note: str = "",
    progress: Callable[[int], None] | None = None,
    identity: str = "",
) -> Loaded:
    """Load as ``kg.store.bulk.load`` does, part by part, from where such a load was interrupted.

    Raises:
        StoreError: the load that was interrupted read something else, or another process has taken this one over.
        InputError: the input can't be read; what was loaded of it is dropped.
    """
    token = uuid.uuid4().hex
    with graph.database.write(in_parts=True) as connection:
        state = _begin(connection, token, source, identity)
    batches = batches_of(facts, state["position"])
    portions: Portions | None = None
    try:
        while True:
            with graph.database.write(in_parts=True) as connection, no_garbage_collection():
                _check(connection, token)
                if portions is None:
                    portions = Portions(connection, source, state["version"], in_parts=True)
                else:
                    portions.go_on(connection)
                is_last = _take_part(portions, batches, state, progress)
                state["triples"] += portions.triples
                state["qualified"] += portions.qualified
                portions.triples = portions.literals = portions.qualified = 0
                if is_last:
                    return _publish(connection, state, author, note)
                connection.execute(update(loading).values(state=json.dumps(state)))
    except InputError:
        drop(graph)
        raise


def _begin(connection: Connection, token: str, source: str, identity: str) -> dict[str, Any]:
    """Take over the load that was interrupted, or begin one; return how far it is."""
    found = connection.execute(select(loading.c.state)).scalar()
    fresh = {
        "source": source,
        "identity": identity,
        "position": 0,
        "facts": 0,
        "version": current_version(connection) + 1,
        "triples": 0,
        "qualified": 0,
    }
    state: dict[str, Any] = fresh if found is None else json.loads(found)
    if (state["source"], state["identity"]) != (source, identity):
        raise StoreError(
            f"the load that was interrupted read '{state['source']}' as it was then, not this: finish it with the same "
            "file and source, or drop it with `kemm kg drop-load`"
        )
    connection.execute(delete(loading))
    connection.execute(loading.insert(), {"token": token, "state": json.dumps(state)})
    return state


def _check(connection: Connection, token: str) -> None:
    if connection.execute(select(loading.c.token)).scalar() != token:
        raise StoreError("another process has taken this load over, or dropped it")


def _take_part(
    portions: Portions, batches: Iterator[Batch], state: dict[str, Any], progress: Callable[[int], None] | None
) -> bool:
    """Take batches until a part is full, and write it; tell whether it was the last."""
    is_last = True
    for batch in batches:
        portions.take(batch)
        state["facts"] += len(batch)
        # Of several batches with one position only the last has all that lies before it.
        state["next"] = batch.position
        if progress:
            progress(state["facts"])
        if portions.is_full and batch.is_last_there:
            is_last = False
            break
    state["position"] = state.pop("next", state["position"])
    portions.write_rest()
    return is_last


def _publish(connection: Connection, state: dict[str, Any], author: str, note: str) -> Loaded:
    """Make all parts visible as one version."""
    connection.execute(delete(loading))
    if not state["triples"] and not state["qualified"]:
        _delete_staged(connection)
        return Loaded(0, 0, 0, state["version"] - 1)
    at = new_version(connection, "load", source=state["source"], author=author, note=note)
    assert at == state["version"]
    connection.execute(update(segment).where(segment.c.is_staged == 1).values(is_staged=0))
    look_again(connection)
    is_seen = np.zeros(terms.next_id(connection), dtype=bool)
    literals = 0
    for one in view(connection).segments:
        if one.added == at:
            literals += one.literals
            for heads, _, tails in one.all(connection, range(len(one.directory(connection, BY_HEAD).ids))):
                is_seen[heads] = True
                is_seen[tails[tails > 0]] = True
    return Loaded(state["triples"], literals, int(is_seen.sum()), at)


def drop(store: VersionedStore) -> bool:
    """Drop the load that was interrupted; return whether there was one."""
    with store.database.write(in_parts=True) as connection:
        if not connection.execute(select(func.count()).select_from(loading)).scalar():
            return False
        connection.execute(delete(loading))
        _delete_staged(connection)
        return True


def _delete_staged(connection: Connection) -> None:
    staged = select(segment.c.id).where(segment.c.is_staged == 1)
    connection.execute(delete(block).where(block.c.segment.in_(staged)))
    connection.execute(delete(segment).where(segment.c.is_staged == 1))
    connection.execute(delete(qualifier).where(qualifier.c.added > current_version(connection)))
