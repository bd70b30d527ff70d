"""The candidate facts around an anchor: one and two steps along the graph, forwards and backwards, as arrays.

An entity's facts are read from the store once and kept until the store's version moves, so an edit is seen by the very
next query while pre-training asks the same neighbourhoods thousands of times at the cost of a look-up.
"""

from __future__ import annotations

import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kg.names import fold as fold_characters
from kg.records import BOOKKEEPING_RELATIONS, RDFS, SCHEMA, SKOS, Statement
from retrieval.verbalise import path_text

if TYPE_CHECKING:
    from kg import KnowledgeGraph

#: Relations never walked: those that name, describe or classify an entity, and those that point out of the graph.
EXCLUDED = BOOKKEEPING_RELATIONS | {
    *(RDFS + name for name in ("seeAlso", "isDefinedBy")),
    *(SKOS + name for name in ("hiddenLabel", "note", "notation", "inScheme")),
    *(SCHEMA + name for name in ("image", "sameAs", "identifier")),
    "http://www.w3.org/2002/07/owl#sameAs",
    "http://xmlns.com/foaf/0.1/homepage",
}


#: Anchors whose surroundings are read at once.
_AHEAD = 512

#: A candidate: statement, forward, row of the parent or −1, and its path of (relation, forward) steps.
_Row = tuple[Statement, bool, int, tuple[tuple[str, bool], ...]]


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The candidate facts of one anchor, hop 1 before hop 2; F facts over P different paths.

    Attributes:
        forward, hop: bool and int8 (F,).
        parent: int32 (F,), the row of the fact that a hop-2 fact was reached through, −1 at hop 1.
        path: int32 (F,), into ``path_rows``.
        path_rows: int32 (P,), rows of `GraphWalk.paths`.
        far_ends: far end of a fact, IRI → its rows.
        far_words: folded label or value of the far end → its rows.
    """

    anchor: str
    statements: list[Statement]
    forward: np.ndarray
    hop: np.ndarray
    parent: np.ndarray
    path: np.ndarray
    path_rows: np.ndarray
    far_ends: dict[str, list[int]]
    far_words: dict[str, list[int]]

    def __len__(self) -> int:
        return len(self.statements)


class PathVectors:
    """Every path text met so far with its vector, each embedded once: rows of ``texts`` and of ``vectors`` (P, D)."""

    def __init__(self, embed: Callable[[list[str]], np.ndarray]) -> None:
        self._embed = embed
        self.texts: list[str] = []
        self._rows: dict[str, int] = {}
        self.vectors = np.zeros((0, 0), dtype=np.float32)

    def rows(self, texts: list[str]) -> np.ndarray:
        """Rows of texts, int32; those never met are embedded together in one call."""
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if new:
            self.learn(new, self._embed(new))
        return np.array([self._rows[text] for text in texts], dtype=np.int32)

    def learn(self, texts: list[str], vectors: np.ndarray) -> None:
        """Take vectors (N, D) computed elsewhere, such as an index's relations."""
        fresh = [i for i, text in enumerate(texts) if text not in self._rows]
        for i in fresh:
            self._rows[texts[i]] = len(self.texts)
            self.texts.append(texts[i])
        held = self.vectors if len(self.vectors) else np.zeros((0, vectors.shape[1]), dtype=np.float32)
        self.vectors = np.concatenate([held, np.asarray(vectors, dtype=np.float32)[fresh]])


class GraphWalk:
    """Candidate facts around anchors.

    Args:
        relation_vectors: the text embedder, ``list[str]`` → (N, D): paths are embedded with it once.
        excluded: relations never walked nor returned.
        inverse_limit: backward facts kept per relation and entity: a country is the origin of many products.
        bridge_limit: a second step is taken only from entities of at most so many facts; hubs join everything.
        limit: candidate facts kept an anchor; hop 1 first.
        cache_limit: candidate facts kept over all anchors; the least recently used go.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        relation_vectors: Callable[[list[str]], np.ndarray],
        hops: int = 2,
        excluded: Collection[str] = EXCLUDED,
        inverse_limit: int = 32,
        bridge_limit: int = 64,
        limit: int = 1024,
        cache_limit: int = 500_000,
    ) -> None:
        assert hops in (1, 2)
        self.graph, self.hops, self.excluded = graph, hops, frozenset(excluded)
        self.inverse_limit, self.bridge_limit = inverse_limit, bridge_limit
        self.limit, self.cache_limit = limit, cache_limit
        self.paths = PathVectors(relation_vectors)
        self._forget(graph.version)

    def _forget(self, version: int) -> None:
        self._version = version
        self._near: dict[str, tuple[list[tuple[Statement, bool]], bool]] = {}
        self._cache: OrderedDict[str, Neighbourhood] = OrderedDict()
        self._num_near = self._num_cached = 0
        self._steps: dict[str, np.ndarray] = {}  # entity → rows of its one-step paths
        self._labels: dict[str, str] = {}
        self._ids: dict[str, int] = {}  # of what was met: looking them up takes as long as reading facts by them

    def refresh(self) -> int:
        """Look at the store's version, one cheap query; drop what was read at another. Call once a query."""
        version = self.graph.version
        if version != self._version:
            self._forget(version)
        return version

    def labels(self, iris: Iterable[str]) -> dict[str, str]:
        """Labels of IRIs, from memory where possible."""
        wanted = list(dict.fromkeys(iris))
        unknown = [iri for iri in wanted if iri not in self._labels]
        if unknown:
            self._labels.update(self.graph.labels(unknown, ids=self._ids))
        return {iri: self._labels.get(iri, iri) for iri in wanted}

    def label(self, iri: str) -> str:
        """The label of one IRI, from memory where possible."""
        known = self._labels.get(iri)
        return self.labels([iri])[iri] if known is None else known

    def look_ahead(self, anchors: Iterable[str]) -> None:
        """Read at once what `candidates` of many anchors will ask for, while there is room for it."""
        wanted = [anchor for anchor in dict.fromkeys(anchors) if anchor not in self._cache]
        for start in range(0, len(wanted), _AHEAD):
            part = wanted[start : start + _AHEAD]
            if self._num_near > self.cache_limit // 2:
                return
            self.read(part)
            ends = self._far_ends(part)
            if self.hops == 2:
                self.read(ends)
                ends += self._far_ends(ends)
            self.labels(ends)

    def _far_ends(self, entities: Iterable[str]) -> list[str]:
        facts = (fact for entity in entities for fact in self._near.get(entity, ((), False))[0])
        ends = (s.tail if forward else s.head for s, forward in facts)
        return list(dict.fromkeys(end for end in ends if isinstance(end, str)))

    def candidates(self, anchor: str) -> Neighbourhood:
        """The facts around an anchor, as of the last `refresh`; none when it has none."""
        if anchor in self._cache:
            self._cache.move_to_end(anchor)
            return self._cache[anchor]
        found = self._cache[anchor] = self._walk(anchor)
        self._num_cached += len(found)
        while self._num_cached > self.cache_limit and len(self._cache) > 1:
            _, oldest = self._cache.popitem(last=False)
            self._num_cached -= len(oldest)
        return found

    def closeness(self, entity: str, vector: np.ndarray) -> float:
        """How much an entity's likeliest one-step path sounds like a question, vector (D,): its cosine, 0 for none."""
        if entity not in self._steps:
            steps = list(dict.fromkeys((statement.relation, forward) for statement, forward in self._facts(entity)[0]))
            names = self.labels(relation for relation, _ in steps)
            self._steps[entity] = self.paths.rows([path_text([(names[r], forward)]) for r, forward in steps])
        rows = self._steps[entity]
        return float((self.paths.vectors[rows] @ vector).max()) if len(rows) else 0.0

    def _facts(self, entity: str) -> tuple[list[tuple[Statement, bool]], bool]:
        """(fact, forward) of one entity, and whether it may be walked through."""
        if entity not in self._near:
            self.read([entity])
        return self._near[entity]

    def read(self, entities: Iterable[str]) -> None:
        """Read the facts of entities that are not in memory yet, all at once."""
        new = [entity for entity in dict.fromkeys(entities) if entity not in self._near]
        if self._num_near > self.cache_limit:
            self._near.clear()
            self._ids.clear()
            self._num_near = 0
        limit = 4 * max(self.bridge_limit, self.inverse_limit)
        read = self.graph.neighbours_of(new, limit=limit, ids=self._ids) if new else {}
        for entity, statements in read.items():
            num_inverse: dict[str, int] = defaultdict(int)
            kept, degree = [], 0
            for statement in statements:
                if statement.relation in self.excluded:
                    continue
                degree += 1
                forward = statement.head == entity
                if not forward:
                    num_inverse[statement.relation] += 1
                    if num_inverse[statement.relation] > self.inverse_limit:
                        continue
                kept.append((statement, forward))
            self._near[entity] = kept, degree <= self.bridge_limit
            self._num_near += len(kept)

    def _walk(self, anchor: str) -> Neighbourhood:
        first = self._facts(anchor)[0][: self.limit]
        rows: list[_Row] = [(statement, forward, -1, ((statement.relation, forward),)) for statement, forward in first]
        if self.hops == 2:
            ends = [s.tail if forward else s.head for s, forward in first]
            self.read([anchor, *(end for end in ends if isinstance(end, str))])
        for row, (statement, forward) in enumerate(first if self.hops == 2 else ()):
            bridge = statement.tail if forward else statement.head
            if not isinstance(bridge, str) or bridge == anchor:
                continue
            facts, may_pass = self._facts(bridge)
            if may_pass:
                for second, onward in facts:
                    far = second.tail if onward else second.head
                    if far != anchor:  # every edge back to the anchor is a hop-1 fact already
                        rows.append((second, onward, row, (*rows[row][3], (second.relation, onward))))
        return self._columns(anchor, rows[: self.limit])

    def _columns(self, anchor: str, rows: list[_Row]) -> Neighbourhood:
        far = [statement.tail if forward else statement.head for statement, forward, _, _ in rows]
        names = self.labels([end for end in far if isinstance(end, str)] + [s.relation for s, *_ in rows])
        far_ends: dict[str, list[int]] = defaultdict(list)
        far_words: dict[str, list[int]] = defaultdict(list)
        for row, end in enumerate(far):
            if isinstance(end, str):
                far_ends[end].append(row)
            far_words[fold(names[end] if isinstance(end, str) else end.value)].append(row)
        steps = list(dict.fromkeys(path for *_, path in rows))
        number = {path: i for i, path in enumerate(steps)}
        texts = [path_text([(names[relation], forward) for relation, forward in path]) for path in steps]
        return Neighbourhood(
            anchor=anchor,
            statements=[row[0] for row in rows],
            forward=np.array([row[1] for row in rows], dtype=bool),
            hop=np.array([len(row[3]) for row in rows], dtype=np.int8),
            parent=np.array([row[2] for row in rows], dtype=np.int32),
            path=np.array([number[row[3]] for row in rows], dtype=np.int32),
            path_rows=self.paths.rows(texts),
            far_ends=dict(far_ends),
            far_words=dict(far_words),
        )


def fold(text: str) -> str:
    """The words of a text, without case, accents and punctuation, joined by single spaces."""
    return " ".join(re.findall(r"\w+", fold_characters(text)))
