"""The candidate facts around an anchor: one and two steps along the graph, forwards and backwards, as arrays.

Everything is walked, judged and chosen by integers, over the rows of `kg.store.surroundings`; a fact becomes a
`Statement`, and a term a text, only when it is kept. Rows follow the store's version, so an edit is seen by the very
next query.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from kg.names import words_of
from kg.records import BOOKKEEPING_RELATIONS, RDFS, SCHEMA, SKOS, Statement, Tail
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


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The candidate facts of one anchor, hop 1 before hop 2; F facts over P different paths.

    Attributes:
        anchor: term id, 0 for what the store does not know.
        near, far: int64 (F,), term ids of a fact's ends as it is walked; those of values are negative.
        step: int32 (F,), 2 · the relation's place in `Surroundings.relations`, + 1 where it is walked backwards.
        origin: int32 (F,), place in `Surroundings.origins`.
        parent: int32 (F,), the row of the fact that a hop-2 fact was reached through, −1 at hop 1.
        path: int64 (F,), into ``path_rows``.
        path_rows: int32 (P,), rows of `GraphWalk.paths`.
    """

    anchor: int
    near: np.ndarray
    far: np.ndarray
    step: np.ndarray
    origin: np.ndarray
    parent: np.ndarray
    path: np.ndarray
    path_rows: np.ndarray

    def __len__(self) -> int:
        return len(self.far)

    @property
    def forward(self) -> np.ndarray:
        """Whether a fact is walked from head to tail, bool (F,)."""
        return self.step % 2 == 0

    @property
    def hop(self) -> np.ndarray:
        """1 or 2, int64 (F,)."""
        return 1 + (self.parent >= 0)

    def fact(self, row: int) -> tuple[int, int, int]:
        """Term id of the head, place of the relation, term id of the tail: the same however it was reached."""
        near, far, step = int(self.near[row]), int(self.far[row]), int(self.step[row])
        return (far, step >> 1, near) if step & 1 else (near, step >> 1, far)


def joined(near: Sequence[Neighbourhood]) -> tuple[Neighbourhood, np.ndarray]:
    """The candidates of several anchors, one after the other, and of each whose it is, int64 (F,)."""
    starts = np.cumsum([0, *map(len, near)])
    paths = np.cumsum([0, *(len(one.path_rows) for one in near)])
    names = ("near", "far", "step", "origin", "path_rows")
    columns = {name: np.concatenate([getattr(one, name) for one in near]) for name in names}
    parent = [np.where(one.parent >= 0, one.parent + start, -1) for one, start in zip(near, starts, strict=False)]
    path = [one.path + start for one, start in zip(near, paths, strict=False)]
    owner = np.repeat(np.arange(len(near)), np.diff(starts))
    return Neighbourhood(0, **columns, parent=np.concatenate(parent), path=np.concatenate(path)), owner


class PathVectors:
    """Every path text met so far with its vector, each embedded once: rows of ``texts`` and of ``vectors`` (P, D)."""

    def __init__(self, embed: Callable[[list[str]], np.ndarray]) -> None:
        self._embed = embed
        self.texts: list[str] = []
        self._rows: dict[str, int] = {}
        self._held = np.zeros((0, 0), dtype=np.float32)  # grows by half: a walk meets new paths all the time

    @property
    def vectors(self) -> np.ndarray:
        return self._held[: len(self.texts)]

    def rows(self, texts: list[str]) -> np.ndarray:
        """Rows of texts, int32; those never met are embedded together in one call."""
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if new:
            self.learn(new, self._embed(new))
        return np.array([self._rows[text] for text in texts], dtype=np.int32)

    def learn(self, texts: list[str], vectors: np.ndarray) -> None:
        """Take vectors (N, D) computed elsewhere, such as an index's relations."""
        fresh = [i for i, text in enumerate(texts) if text not in self._rows]
        number = len(self.texts) + len(fresh)
        if number > len(self._held):
            grown = np.zeros((number * 3 // 2, vectors.shape[1]), dtype=np.float32)
            if self.texts:
                grown[: len(self.texts)] = self.vectors
            self._held = grown
        for i in fresh:
            self._held[len(self.texts)] = vectors[i]
            self._rows[texts[i]] = len(self.texts)
            self.texts.append(texts[i])


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
        found, unknown = dict[str, str](), list[str]()
        linker = None if self._linker is None or self._linker.languages else self.linker
        for iri in dict.fromkeys(iris):
            label = self._labels.get(iri) or (linker.label(iri) if linker else None)
            if label:
                found[iri] = label
            else:
                unknown.append(iri)
        if unknown:
            read = self.graph.labels(unknown)
            _keep(self._labels, read)
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

    def closeness(self, entities: Sequence[str], vector: np.ndarray) -> list[float]:
        """How much each entity's likeliest one-step path sounds like a question (D,): its cosine, 0 for none."""
        around = self.surroundings.around
        steps = [_steps(around, number) for number in self.numbers(entities)]
        scores = np.zeros(2 * len(self._relations), dtype=np.float32)
        scores[np.concatenate(steps)] = 1
        distinct = np.flatnonzero(scores)
        rows = self._rows_of_paths(distinct)
        scores[distinct] = self.paths.vectors[rows] @ vector if len(rows) else 0
        return [float(scores[taken].max()) if len(taken) else 0.0 for taken in steps]

    def _walk(self, anchor: int) -> Neighbourhood:
        near, far, step, origin, parent = _candidates(self.surroundings.around, anchor, self.hops, self.limit)
        codes, path = _distinct_paths(step, parent)
        return Neighbourhood(anchor, near, far, step, origin, parent, path, self._rows_of_paths(codes))

    def _rows_of_paths(self, codes: np.ndarray) -> np.ndarray:
        """Rows of ``paths``, int32 (P,): a code is the last step, and 2³² · (the step before it + 1)."""
        known = self._path_rows
        new = [code for code in codes.tolist() if code not in known]
        if new:
            taken = [[code & 0xFFFFFFFF] if code >> 32 == 0 else [(code >> 32) - 1, code & 0xFFFFFFFF] for code in new]
            texts = [path_text([(self._relations[s >> 1][1], s % 2 == 0) for s in steps]) for steps in taken]
            known.update(zip(new, self.paths.rows(texts).tolist(), strict=True))
        return np.array([known[code] for code in codes.tolist()], dtype=np.int32)

    # -- from numbers to what they mean -------------------------------------------------------------------------------

    def values(self, numbers: Iterable[int]) -> dict[str, list[int]]:
        """Words → ids of values that have just these, of values with these term ids at least."""
        missing = set(numbers) - self._valued
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
        facts = [found.fact(row) for row in rows.tolist()]
        origins = [around.origins[place] for place in found.origin[rows].tolist()]
        if around.has_qualifiers:
            numbers = around.relations
            ids = [(head, numbers[relation], tail) for head, relation, tail in facts]
            return self.graph.statements_of((*fact, *origin) for fact, origin in zip(ids, origins, strict=True))
        said = self._read({end for head, _, tail in facts for end in (head, tail)})
        return [
            Statement(str(said[head]), relations[relation][0], said[tail], around.sources[source], added)
            for (head, relation, tail), (source, added) in zip(facts, origins, strict=True)
        ]

    def _read(self, numbers: Iterable[int]) -> dict[int, Tail]:
        """Terms by id, from memory where possible."""
        found, missing, iri = dict[int, Tail](), list[int](), self.linker.iri
        for number in numbers:
            term = self._terms.get(number) if number < 0 else iri(number) or self._terms.get(number)
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


@njit(cache=True)
def _place(around: Any, entity: int) -> Any:
    """Whether an entity's row is in the patch, its number there or in the base, −1 where it has none."""
    place = np.searchsorted(around.patched, entity)
    if place < len(around.patched) and around.patched[place] == entity:
        return True, place
    return False, entity if 0 <= entity < len(around.base.is_bridge) else -1


@njit(cache=True)
def _steps(around: Any, entity: int) -> Any:
    """The steps that can be taken from an entity, int32 (D,)."""
    is_late, number = _place(around, entity)
    rows = around.patch if is_late else around.base
    if number < 0:
        return rows.step[:0]
    return rows.step[rows.indptr[number] : rows.indptr[number + 1]]


@njit(cache=True)
def _candidates(around: Any, anchor: int, hops: int, limit: int) -> Any:
    """The first ``limit`` facts within ``hops`` of an anchor: near and far ends, steps, origins and parents."""
    near, far = np.empty(limit, dtype=np.int64), np.empty(limit, dtype=np.int64)
    step, origin = np.empty(limit, dtype=np.int32), np.empty(limit, dtype=np.int32)
    parent = np.full(limit, -1, dtype=np.int32)
    num_first = number = 0
    for source in range(-1, limit):  # the anchor itself, then what the first step leads to
        if source >= num_first or (source >= 0 and hops < 2) or number >= limit:
            break
        entity = anchor if source < 0 else far[source]
        if entity <= 0 or (source >= 0 and entity == anchor):
            continue
        is_late, place = _place(around, entity)
        if place < 0:
            continue
        rows = around.patch if is_late else around.base
        if source >= 0 and not rows.is_bridge[place]:
            continue
        for at in range(rows.indptr[place], rows.indptr[place + 1]):
            if number >= limit:
                break
            if source >= 0 and rows.far[at] == anchor:
                continue  # every edge back to the anchor is a hop-1 fact already
            near[number], far[number], step[number] = entity, rows.far[at], rows.step[at]
            origin[number], parent[number] = rows.origin[at], source
            number += 1
        if source < 0:
            num_first = number
    first = near[:number].copy(), far[:number].copy(), step[:number].copy()
    return *first, origin[:number].copy(), parent[:number].copy()


@njit(cache=True)
def _distinct_paths(step: Any, parent: Any) -> Any:
    """The codes of the different paths, int64 (P,), and of each candidate its place among them, int64 (F,)."""
    size = 16
    while size < 2 * len(step):
        size *= 2
    codes, path = np.empty(len(step), dtype=np.int64), np.empty(len(step), dtype=np.int64)
    places = np.full(size, -1, dtype=np.int64)  # a hash table with open addressing
    number = 0
    for row in range(len(step)):
        code = np.int64(step[row])
        if parent[row] >= 0:
            code |= (np.int64(step[parent[row]]) + 1) << 32
        at = (code ^ (code >> 29)) * 0x9E3779B1 & (size - 1)
        while places[at] >= 0 and codes[places[at]] != code:
            at = (at + 1) & (size - 1)
        if places[at] < 0:
            places[at], codes[number] = number, code
            number += 1
        path[row] = places[at]
    return codes[:number].copy(), path
