"""The statements between entities as columns of term ids: what snapshots, profiles and training start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from kg.store.reading import active
from kg.store.schema import LITERAL, term, triple

Array = np.ndarray[Any, np.dtype[np.int64]]

#: Rows read at a time.
_PAGE = 100_000


@dataclass(frozen=True, slots=True)
class Edges:
    """M distinct statements whose tail is no literal, at one version, sorted by head, relation and tail.

    Attributes:
        heads, relations, tails: term ids, (M,) int64 each; see ``KnowledgeGraph.iris`` for what they mean.
        version: the store's version that they were read at.
    """

    heads: Array
    relations: Array
    tails: Array
    version: int

    def __len__(self) -> int:
        return len(self.heads)


def read_edges(connection: Connection, at: int) -> Edges:
    """Read the edges of version ``at``; the same fact from two sources is one edge."""
    ask = (
        select(triple.c.head, triple.c.relation, triple.c.tail)
        .join_from(triple, term, term.c.id == triple.c.tail)
        .where(active(at), term.c.kind != LITERAL)
    )
    compiled = str(ask.compile(connection, compile_kwargs={"literal_binds": True}))
    cursor: Any = connection.connection.cursor()  # the driver's own rows: no object for each
    cursor.execute(compiled)
    parts = []
    while rows := cursor.fetchmany(_PAGE):
        parts.append(np.array(rows, dtype=np.int64))
    cursor.close()
    return distinct(np.concatenate(parts) if parts else np.empty((0, 3), dtype=np.int64), at)


def distinct(facts: Array, at: int) -> Edges:
    """Sort facts, (M', 3), and keep each once."""
    facts = facts[np.lexsort((facts[:, 2], facts[:, 1], facts[:, 0]))]
    is_new = np.ones(len(facts), dtype=bool)
    is_new[1:] = (facts[1:] != facts[:-1]).any(axis=1)
    facts = facts[is_new]  # (M, 3)
    return Edges(facts[:, 0].copy(), facts[:, 1].copy(), facts[:, 2].copy(), at)
