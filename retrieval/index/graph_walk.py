"""The candidate facts around an anchor: one and two steps along the graph, forwards and backwards, as arrays.

Everything is walked, judged and chosen by integers, over the rows of `kg.store.surroundings`; a fact becomes a
`Statement`, and a term a text, only when it is kept. Rows follow the store's version, so an edit is seen by the very
next query.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kg.names import words_of
from kg.records import BOOKKEEPING_RELATIONS, RDFS, SCHEMA, SKOS, Statement, Tail
from retrieval.index.neighbourhood import Neighbourhood, best_steps, candidates
from retrieval.index.path_vectors import PathVectors
from retrieval.verbalise import path_text

if TYPE_CHECKING:
    from kg import EntityLinker, KnowledgeGraph
    from kg.store.surroundings import Surroundings

#: Relations never walked: those that name, describe or classify an entity, and those that point out of the graph.
EXCLUDED = BOOKKEEPING_RELATIONS | {
    *(RDFS + name for name in ("seeAlso", "isDefinedBy")),
    *(SKOS + name for name in ("hiddenLabel", "note", "notation", "inScheme")),
    *(SCHEMA + name for name in ("image", "sameAs", "identifier")),
    "http://www.w3.org/2002/07/owl#sameAs",
    "http://xmlns.com/foaf/0.1/homepage",
}

#: Terms, and words of values, that are kept in memory.
_MOST_TEXTS = 200_000
#: Values that are read at once.
_FEW_VALUES = 20_000


class GraphWalk:
    """Candidate facts around anchors.

    Attributes:
        version: of the store, at the last `refresh`.

    Args:
        relation_vectors: the text embedder, ``list[str]`` → (N, D): paths are embedded with it once.
        linker: knows the entities' names; made from the graph when first needed.
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
        linker: EntityLinker | None = None,
        inverse_limit: int = 32,
        bridge_limit: int = 64,
        limit: int = 1024,
        cache_limit: int = 500_000,
    ) -> None:
        assert hops in (1, 2)
        self.graph, self.hops = graph, hops
        self.inverse_limit, self.bridge_limit = inverse_limit, bridge_limit
        self.limit, self.cache_limit = limit, cache_limit
        self.paths = PathVectors(relation_vectors)
        self._linker = linker
        self._rows: Surroundings | None = None
        self._terms: dict[int, Tail] = {}  # by id: what a term is never changes
        self._valued, self._values = set[int](), dict[str, list[int]]()  # values that were read, ids by their words
        self._forget(graph.version)

    def _forget(self, version: int) -> None:
        self.version = version
        self._cache: OrderedDict[int, Neighbourhood] = OrderedDict()
        self._num_cached = 0
        self._labels: dict[str, str] = {}
        self._relations: list[tuple[str, str]] = []  # IRI and label of each
        self._path_rows: dict[int, int] = {}  # code of a path → its row of ``paths``

    def refresh(self) -> int:
        """Look at the store's version, one cheap query; drop what was read at another. Call once a query."""
        version = self.graph.version
        if version != self.version:
            self._forget(version)
        return version

    # -- names --------------------------------------------------------------------------------------------------------

    @property
    def linker(self) -> EntityLinker:
        """The linker of the names that the store had at the last `refresh`."""
        if self._linker is None:
            from kg import EntityLinker

            self._linker = EntityLinker(self.graph)
        if self._linker.version != self.version:
            self._linker.update(self.graph)
        return self._linker

    def labels(self, iris: Iterable[str]) -> dict[str, str]:
        """Labels of IRIs, from memory where possible."""
        wanted = dict.fromkeys(iris)
        found = {} if self._linker is None or self._linker.languages else self.linker.labels(wanted)
        if len(found) < len(wanted):
            known = self._labels
            found |= {iri: known[iri] for iri in wanted if iri in known and iri not in found}
            if unknown := [iri for iri in wanted if iri not in found]:
                read = self.graph.labels(unknown)
                _keep(known, read)
                found |= read
        return found

    def label(self, iri: str) -> str:
        """The label of one IRI, from memory where possible."""
        known = self._labels.get(iri)
        return self.labels([iri])[iri] if known is None else known

    # -- candidates ---------------------------------------------------------------------------------------------------

    @property
    def surroundings(self) -> Surroundings:
        """The store's rows, at the version of the last `refresh` or a later one."""
        if self._rows is None:
            from kg.store.surroundings import Surroundings

            self._rows = Surroundings(self.graph, EXCLUDED, self.inverse_limit, self.bridge_limit)
        elif self._rows.version != self.version:
            self._rows.follow()
        if len(self._relations) != len(self._rows.relations):
            iris = self.graph.iris(self._rows.relations)
            labels = self.graph.labels(iris.values())
            self._relations = [(iris[number], labels[iris[number]]) for number in self._rows.relations]
        return self._rows

    def numbers(self, iris: Sequence[str]) -> list[int]:
        """Term ids of entities, 0 for what the store does not know."""
        found = {iri: self.linker.number(iri) for iri in iris}
        if unknown := [iri for iri, number in found.items() if not number]:
            found |= dict.fromkeys(unknown, 0) | self.graph.ids(unknown)
        return [found[iri] for iri in iris]

    def candidates(self, anchor: str) -> Neighbourhood:
        """The facts around an anchor, as of the last `refresh`; none when it has none."""
        number = self.numbers([anchor])[0]
        if number in self._cache:
            self._cache.move_to_end(number)
            return self._cache[number]
        found = self._cache[number] = self._walk(number)
        self._num_cached += len(found)
        while self._num_cached > self.cache_limit and len(self._cache) > 1:
            _, oldest = self._cache.popitem(last=False)
            self._num_cached -= len(oldest)
        return found

    def closeness(self, vector: np.ndarray) -> Callable[[Sequence[str]], list[float]]:
        """A judge of entities by a question (D,): the cosine of it and their likeliest one-step path, 0 for none."""
        around = self.surroundings.around
        scores = np.full(2 * len(self._relations), np.nan, dtype=np.float32)  # of steps, as they are met

        def of_entities(entities: Sequence[str]) -> list[float]:
            numbers = np.array(self.numbers(entities), dtype=np.int64)
            best, unknown = best_steps(around, numbers, scores)
            if len(unknown):
                rows = self._rows_of_paths(unknown)  # may learn new vectors
                scores[unknown] = self.paths.vectors[rows] @ vector
                best, _ = best_steps(around, numbers, scores)
            return best.tolist()

        return of_entities

    def _walk(self, anchor: int) -> Neighbourhood:
        facts, codes = candidates(self.surroundings.around, anchor, self.hops, self.limit)
        return Neighbourhood(anchor, facts, self._rows_of_paths(codes))

    def _rows_of_paths(self, codes: np.ndarray) -> np.ndarray:
        """Rows of ``paths``, int32 (P,): a code is the last step, and 2³² · (the step before it + 1)."""
        known, asked = self._path_rows, codes.tolist()
        rows = [known.get(code, -1) for code in asked]
        if -1 in rows:
            new = [code for code in asked if code not in known]
            taken = [[code & 0xFFFFFFFF] if code >> 32 == 0 else [(code >> 32) - 1, code & 0xFFFFFFFF] for code in new]
            texts = [path_text([(self._relations[s >> 1][1], s % 2 == 0) for s in steps]) for steps in taken]
            known.update(zip(new, self.paths.rows(texts).tolist(), strict=True))
            rows = [known[code] for code in asked]
        return np.array(rows, dtype=np.int32)

    # -- from numbers to what they mean -------------------------------------------------------------------------------

    def values(self, numbers: Iterable[int]) -> dict[str, list[int]]:
        """Words → ids of values that have just these, of values with these term ids at least.

        Where the store has few values, all are read at once.
        """
        missing = set(numbers) - self._valued
        if missing and not self._valued:
            far = self.surroundings.around.base.far
            if len(every := np.unique(far[far < 0])) <= _FEW_VALUES:
                missing.update(every.tolist())
        if missing:
            if len(self._valued) > _MOST_TEXTS:
                self._valued.clear()
                self._values.clear()
                missing = set(numbers)
            for number, value in self._read(missing).items():
                self._values.setdefault(words_of(str(value)), []).append(number)
            self._valued |= missing
        return self._values

    def statements(self, found: Neighbourhood, rows: np.ndarray) -> list[Statement]:
        """Candidates as stored, with source, version and qualifiers."""
        around, relations = self.surroundings, self._relations
        near, far, step, origin = found.facts[:4, rows]
        is_backward = step % 2 == 1
        heads, tails = np.where(is_backward, far, near).tolist(), np.where(is_backward, near, far).tolist()
        facts = zip(heads, (step >> 1).tolist(), tails, map(around.origins.__getitem__, origin.tolist()), strict=True)
        if around.has_qualifiers:
            numbers = around.relations
            return self.graph.statements_of((head, numbers[r], tail, *origin) for head, r, tail, origin in facts)
        said, sources = self._read({*heads, *tails}), around.sources
        return [
            Statement(str(said[head]), relations[relation][0], said[tail], sources[source], added)
            for head, relation, tail, (source, added) in facts
        ]

    def _read(self, numbers: Iterable[int]) -> dict[int, Tail]:
        """Terms by id, from memory where possible."""
        found, missing, iri = dict[int, Tail](), list[int](), self.linker.iri
        held = self._terms.get
        for number in numbers:
            term = held(number) if number < 0 else iri(number) or held(number)
            if term is None:
                missing.append(number)
            else:
                found[number] = term
        if missing:
            read = self.graph.terms(missing)
            _keep(self._terms, read)
            found |= read
        return found


def _keep(kept: dict[Any, Any], new: dict[Any, Any]) -> None:
    """Remember these; forget all others when they are many."""
    if len(kept) + len(new) > _MOST_TEXTS:
        kept.clear()
    kept.update(new)
