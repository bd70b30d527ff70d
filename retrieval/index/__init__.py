"""The searches: each finds entities, or facts, by one kind of likeness.

| name       | finds     | by                                                   |
|------------|-----------|------------------------------------------------------|
| dense      | entities  | inner product of unit vectors, or L2 (FAISS)         |
| pgvector   | entities  | the same and cosine, in PostgreSQL                   |
| lexical    | entities  | words of label, aliases and description (tantivy)    |
| graph_walk | facts     | walking the graph around anchors; holds no files     |
| path_walk  | facts     | following the paths that a learned scorer reads      |

The first three follow `Index`. The walks start from entities rather than from a query, so they have their own calls,
`GraphWalk.candidates` and `PathWalk.trails`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

INDEXES = {
    "dense": "retrieval.index.dense:DenseIndex",
    "pgvector": "retrieval.index.pgvector:PgVectorIndex",
    "lexical": "retrieval.index.lexical:LexicalIndex",
    "graph_walk": "retrieval.index.graph_walk:GraphWalk",
    "path_walk": "retrieval.index.path_walk:PathWalk",
}


@dataclass(frozen=True, slots=True)
class Hit:
    """An id that a search found, with the search's own score: higher is better, comparable within one search only.

    ``found_by`` names the searches that brought it where several were fused; empty where one index was asked.
    """

    id: int
    score: float
    found_by: tuple[str, ...] = ()


class Index(Protocol):
    """What a stored search owes: ids are 64-bit integers of the caller's, unchanged by any change."""

    def search(self, query: Any, k: int) -> list[Hit]:
        """Return at most ``k`` hits, best first."""
        ...

    def add(self, ids: Sequence[int], items: Any) -> None:
        """Add items under ids that are new."""
        ...

    def update(self, ids: Sequence[int], items: Any) -> None:
        """Put items in place of what is held under ids; those that are new are added."""
        ...

    def remove(self, ids: Sequence[int]) -> int:
        """Forget ids; return how many were there."""
        ...

    def save(self, path: str | os.PathLike[str]) -> None: ...

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self: ...

    def __len__(self) -> int: ...
