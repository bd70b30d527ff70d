"""What changed in a store since its index was built, laid over the index, so that an edit counts in the next search.

A changed entity's entry in the index is struck out; if the entity is still there, it is searched here instead, as it is
now. After so many changes that this would take seconds (`MOST`), only deletions are struck out; the rest waits for
``kemm index --update``. Pictures added since wait for that, too; those removed are struck out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kg.records import Entity
from retrieval.embed import Embedder, checked
from retrieval.entries import entity_text, picture_rows, row_identity
from retrieval.index import Hit
from retrieval.index.dense import DenseIndex
from retrieval.index.lexical import LexicalIndex

if TYPE_CHECKING:
    from kg import KnowledgeGraph
    from retrieval.entity_index import EntityIndex

#: Changed entities that are read and embedded while a question waits: about a second's worth.
MOST = 500


class Overlay:
    """The changes of ``graph`` since ``index`` was built, at the store's version of the last `refresh`.

    Attributes:
        struck: term ids whose entries in the index no longer count.
        struck_pictures: positions of pictures that no longer count.
        fresh: term id → entity as it is now, of those that are struck but not gone.
    """

    def __init__(self, index: EntityIndex, graph: KnowledgeGraph, text: Embedder) -> None:
        self._index, self._graph, self._text = index, graph, text
        self.version = index.kg_version
        self.struck: set[int] = set()
        self.struck_pictures: set[int] = set()
        self.fresh: dict[int, Entity] = {}
        self._vectors = DenseIndex.create(text.dimension, kind="exact")

    def refresh(self) -> None:
        """Look at the store's version, one cheap query, and read what changed if it moved."""
        version = self._graph.version
        if version == self.version:
            return
        ids = changed_ids(self._graph, self._index.kg_version)
        current = self._graph.entity_ids()
        held = self._index.text.ids
        gone = np.setdiff1d(held, current)
        fresh: dict[int, Entity] = {}
        if len(ids) <= MOST:
            names = self._graph.iris(np.intersect1d(ids, current).tolist())
            fresh = {number: self._graph.describe(iri) for number, iri in names.items()}
        labels_only = self._index.manifest.get("labels_only", False)
        vectors = DenseIndex.create(self._text.dimension, kind="exact")
        vectors.add(list(fresh), checked(self._text, [entity_text(one, labels_only) for one in fresh.values()]))
        self.struck_pictures = self._removed_pictures(current)
        self.struck, self.fresh, self._vectors = {*gone.tolist(), *fresh}, fresh, vectors
        self.version = version

    def _removed_pictures(self, current: np.ndarray) -> set[int]:
        table = self._index.pictures
        if not table:
            return set()
        stay = {row_identity(row) for row in picture_rows(self._graph, current).values()}
        return {position for position, row in table.items() if row_identity(row) not in stay}

    def by_vector(self, vector: np.ndarray, k: int) -> list[Hit]:
        """Changed entities whose text is nearest to a vector (D,)."""
        return self._vectors.search(vector, k)

    def by_words(self, text: str, words: LexicalIndex) -> list[Hit]:
        """Changed entities that share words with a text, scored by the word counts of the index."""
        scores = words.scores(text, list(self.fresh.values()))
        return [Hit(key, score) for key, score in zip(self.fresh, scores, strict=True) if score > 0]

    def vectors(self, ids: np.ndarray) -> np.ndarray:
        """The vectors of ids as they are now, float32 (N, D); zero rows for those that did not change."""
        return self._vectors.vectors(ids)


def changed_ids(graph: KnowledgeGraph, since: int) -> np.ndarray:
    """Term ids of all that a statement was added or retracted of after a version, int64, ascending."""
    touched = {end for s in graph.changes(since) for end in (s.head, s.tail) if isinstance(end, str)}
    return np.array(sorted(graph.ids(sorted(touched)).values()), dtype=np.int64)
