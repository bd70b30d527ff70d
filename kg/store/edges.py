"""The statements between entities as columns of term ids: what snapshots, profiles and training start from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from kg.store import facts
from kg.store.blocks import Array
from kg.store.facts import Facts


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
    """Read the edges of version ``at``; the same fact from two sources is one edge.

    A range of heads at a time, so that memory holds little more than the result: 24 bytes an edge.
    """
    parts = [distinct(found, True) for found in facts.windows(connection, at)]
    columns = np.concatenate(parts) if parts else np.empty((0, 3), dtype=np.int64)  # (M, 3)
    parts.clear()
    return Edges(columns[:, 0].copy(), columns[:, 1].copy(), columns[:, 2].copy(), at)


def distinct(found: Facts, only_edges: bool = False) -> Array:
    """Return (head, relation, tail) sorted and each once, (M, 3) int64; without literals where only edges count."""
    columns = np.stack([found.head, found.relation, found.tail], axis=1)  # (M', 3)
    if only_edges:
        columns = columns[found.tail > 0]
    if not len(columns):
        return columns
    steps = np.diff(columns, axis=0)
    is_sorted = (steps[:, 0] > 0) | (
        (steps[:, 0] == 0) & ((steps[:, 1] > 0) | ((steps[:, 1] == 0) & (steps[:, 2] >= 0)))
    )
    if not is_sorted.all():
        columns = columns[np.lexsort((columns[:, 2], columns[:, 1], columns[:, 0]))]
    is_new = np.ones(len(columns), dtype=bool)
    is_new[1:] = (columns[1:] != columns[:-1]).any(axis=1)
    return columns[is_new]
