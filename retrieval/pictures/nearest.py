"""Pictures → entities by the pictures of entities: the nearest ones, each entity counting by its best picture.

P(e) = softmax_e(max_i ⟨v, v_i⟩ / τ),   over the 16 nearest entities, τ = 0.05
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from retrieval.anchors import TEMPERATURE
from retrieval.pictures import Candidates
from retrieval.pictures.classifier import softmax, unit_rows

if TYPE_CHECKING:
    from kg import KnowledgeGraph
    from retrieval.entity_index import EntityIndex

#: Entities looked at.
_MOST = 16

#: A unit vector (D,) and a number → so many (entity, cosine), the nearest first.
Search = Callable[[np.ndarray, int], Sequence[tuple[str, float]]]


class NearestPictures:
    """Entities by the likeness of their pictures.

    Args:
        search: for the nearest entities; see ``in_index`` and ``among``.
    """

    def __init__(self, search: Search) -> None:
        self.search = search

    def candidates(self, features: np.ndarray) -> list[Candidates]:
        result = []
        for vector in unit_rows(features):
            found = self.search(vector, _MOST)
            cosines = np.array([cosine for _, cosine in found])
            chances = softmax(cosines / TEMPERATURE) if len(found) else cosines
            strength = float(cosines[0]) if len(found) else 0.0
            result.append(Candidates(tuple(entity for entity, _ in found), chances, strength))
        return result


def in_index(index: EntityIndex, graph: KnowledgeGraph) -> Search:
    """Search the pictures of an index, edits of its store counting at once."""

    def search(vector: np.ndarray, k: int) -> list[tuple[str, float]]:
        found = index.search_pictures(vector, k)
        names = graph.iris([key for key, _ in found])
        return [(names[key], score) for key, score in found if key in names]

    return search


def among(entities: Sequence[str], vectors: np.ndarray) -> Search:
    """Search pictures in memory: row i of ``vectors`` (N, D) shows ``entities[i]``."""
    unit = unit_rows(vectors)

    def search(vector: np.ndarray, k: int) -> list[tuple[str, float]]:
        cosines = unit @ vector
        best: dict[str, float] = {}
        for row in np.argsort(-cosines):
            best.setdefault(entities[row], float(cosines[row]))
            if len(best) == k:
                break
        return list(best.items())

    return search
