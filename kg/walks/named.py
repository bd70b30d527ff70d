"""Walks by IRI on a store: ``graph.walks``.

    graph.walks.shortest_path(["x:Rome"], ["x:Paris"])      # [Step('x:Italy', 'x:capital', 'x:Rome', forward=False), …]
    graph.walks.pagerank({"x:Rome": 1.0}, top=10)           # {'x:Rome': 0.31, …}

    graph.walks.at(3).pagerank("x:Rome")                    # as the graph stood at version 3

Every call looks at the store's version first, so it sees every edit. For a loop over many entities take
``graph.snapshot()`` once and use the functions of ``kg.walks`` with dense numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kg.errors import UnknownEntity
from kg.store.snapshot import Snapshot
from kg.walks import forward_push, node2vec, paths, sampling, steiner
from kg.walks.steps import Array, Direction

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph


class Edge(NamedTuple):
    """A fact between two entities."""

    head: str
    relation: str
    tail: str


class Step(NamedTuple):
    """An edge of a path; ``forward`` when it is walked from head to tail."""

    head: str
    relation: str
    tail: str
    forward: bool


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Edges around some entities, and every entity's distance in hops from the nearest of them."""

    edges: tuple[Edge, ...]
    distance: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tree:
    """A connected subgraph without cycles: its entities, its edges, the prizes it holds and what its edges cost."""

    entities: tuple[str, ...]
    edges: tuple[Edge, ...]
    prize: float
    cost: float


class Walks:
    """The walks of ``kg.walks`` in IRIs; entities and relations are IRIs throughout."""

    def __init__(self, graph: KnowledgeGraph, version: int | None = None) -> None:
        self._graph, self._version = graph, version

    def at(self, version: int) -> Walks:
        """Return the walks of a past version; each raises InputError where the store has no such version."""
        return Walks(self._graph, version)

    def _view(self) -> _View:
        return _View(self._graph, self._version)

    def neighbourhood(
        self,
        entities: str | Iterable[str],
        fan_out: Sequence[int] = (16, 16),
        *,
        relations: Iterable[str] | None = None,
        direction: Direction = "both",
        seed: int | None = None,
    ) -> Surroundings:
        """Return the edges within ``len(fan_out)`` hops: see ``kg.walks.sampling.neighbourhood``.

        Raises:
            UnknownEntity: an entity or a relation has no edges or is not in the store.
        """
        view = self._view()
        numbers, allowed = view.entities(entities), view.relations(relations)
        found = sampling.neighbourhood(
            view.snapshot, numbers, fan_out, relations=allowed, direction=direction, seed=seed
        )
        names = view.names(found.entities)
        return Surroundings(view.edges(found.edges()), dict(zip(names, found.hops.tolist())))

    def shortest_path(
        self,
        starts: str | Iterable[str],
        goals: str | Iterable[str],
        *,
        relations: Iterable[str] | None = None,
        direction: Direction = "both",
        longest: int | None = None,
    ) -> tuple[Step, ...] | None:
        """Return a shortest path between two sets of entities, None where there is none: see ``kg.walks.paths``.

        Raises:
            UnknownEntity: an entity or a relation is not in the store.
        """
        view = self._view()
        ends, allowed = (view.entities(starts), view.entities(goals)), view.relations(relations)
        found = paths.shortest_path(view.snapshot, *ends, relations=allowed, direction=direction, longest=longest)
        return None if found is None else view.steps(found)

    def simple_paths(
        self,
        starts: str | Iterable[str],
        goals: str | Iterable[str],
        longest: int = 3,
        *,
        relations: Iterable[str] | None = None,
        direction: Direction = "both",
        limit: int = 10_000,
    ) -> list[tuple[Step, ...]]:
        """Return all simple paths of at most ``longest`` edges, the shorter first: see ``kg.walks.paths``.

        Raises:
            UnknownEntity: an entity or a relation is not in the store.
        """
        view = self._view()
        ends, allowed = (view.entities(starts), view.entities(goals)), view.relations(relations)
        found = paths.simple_paths(view.snapshot, *ends, longest, relations=allowed, direction=direction, limit=limit)
        return [view.steps(path) for path in found]

    def pagerank(
        self,
        seeds: str | Iterable[str] | Mapping[str, float],
        *,
        top: int | None = 100,
        damping: float = 0.85,
        error: float = 1e-3,
        relations: Iterable[str] | None = None,
        direction: Direction = "both",
    ) -> dict[str, float]:
        """Return entity → personalised PageRank, the highest first: see ``kg.walks.forward_push``.

        Raises:
            UnknownEntity: a seed or a relation is not in the store.
        """
        view = self._view()
        numbers, allowed = view.entities(seeds), view.relations(relations)
        weights = list(seeds.values()) if isinstance(seeds, Mapping) else [1.0] * len(numbers)
        options = {"top": top, "damping": damping, "error": error}
        weighted = dict(zip(numbers.tolist(), weights))
        found = forward_push.pagerank(view.snapshot, weighted, relations=allowed, direction=direction, **options)  # type: ignore[arg-type]
        return dict(zip(view.names(found.entities), found.scores.tolist()))

    def random_walks(
        self,
        starts: str | Iterable[str],
        length: int,
        *,
        seed: int,
        p: float = 1.0,
        q: float = 1.0,
        relations: Iterable[str] | None = None,
        direction: Direction = "both",
    ) -> list[tuple[str, ...]]:
        """Return one walk from each start, as the entities passed: see ``kg.walks.node2vec``.

        Raises:
            UnknownEntity: an entity or a relation is not in the store.
        """
        view = self._view()
        numbers, allowed = view.entities(starts), view.relations(relations)
        found = node2vec.random_walks(
            view.snapshot, numbers, length, seed=seed, p=p, q=q, relations=allowed, direction=direction
        )
        return [tuple(view.names(walk[walk >= 0])) for walk in found.entities]

    def steiner_tree(
        self,
        prizes: Mapping[str, float],
        cost: float | Mapping[str, float] = 1.0,
        *,
        relations: Iterable[str] | None = None,
    ) -> Tree:
        """Return a compact connected subgraph that holds what has prizes: see ``kg.walks.steiner``.

        Raises:
            UnknownEntity: an entity or a relation is not in the store.
        """
        view = self._view()
        numbers, allowed = view.entities(prizes), view.relations(relations)
        weighted = dict(zip(numbers.tolist(), prizes.values()))
        if isinstance(cost, Mapping):
            costs: float | dict[int, float] = dict(zip(view.relations(cost) or (), cost.values()))
        else:
            costs = cost
        found = steiner.steiner_tree(view.snapshot, weighted, costs, relations=allowed)
        return Tree(tuple(view.names(found.entities)), view.edges(found.edges), found.prize, found.cost)


class _View:
    """One snapshot of the store, and its numbers as IRIs and back."""

    def __init__(self, graph: KnowledgeGraph, version: int | None) -> None:
        self.graph = graph
        self.snapshot: Snapshot = graph.snapshot(version)

    def entities(self, iris: str | Iterable[str]) -> Array:
        wanted = [iris] if isinstance(iris, str) else list(iris)
        ids = self.graph.ids(wanted)
        numbers = self.snapshot.index_of([ids.get(iri, -1) for iri in wanted])
        if len(wrong := np.flatnonzero(numbers < 0)):
            self.graph.describe(wanted[wrong[0]])  # says what is near
            raise UnknownEntity(
                f"'{wanted[wrong[0]]}' is no entity at version {self.snapshot.version}: nothing is said of it"
            )
        return numbers

    def relations(self, iris: Iterable[str] | None) -> list[int] | None:
        """Return the numbers of relations; one without edges is left out, one that the store lacks is an error."""
        if iris is None:
            return None
        wanted = [iris] if isinstance(iris, str) else list(iris)
        ids = self.graph.ids(wanted)
        if missing := [iri for iri in wanted if iri not in ids]:
            raise UnknownEntity(f"no relation is '{missing[0]}': `graph.relations()` lists them")
        known = {int(number): place for place, number in enumerate(self.snapshot.relation_ids)}
        return [known[ids[iri]] for iri in wanted if ids[iri] in known]

    def names(self, numbers: Array) -> list[str]:
        ids = self.snapshot.entity_ids[numbers].tolist()
        iris = self.graph.iris(dict.fromkeys(ids))
        return [iris[number] for number in ids]

    def edges(self, rows: Array) -> tuple[Edge, ...]:
        """(M, 3) dense numbers → edges."""
        heads, tails = self.names(rows[:, 0]), self.names(rows[:, 2])
        ids = self.snapshot.relation_ids[rows[:, 1]].tolist()
        relations = self.graph.iris(dict.fromkeys(ids))
        return tuple(Edge(head, relations[number], tail) for head, number, tail in zip(heads, ids, tails))

    def steps(self, path: paths.Path) -> tuple[Step, ...]:
        return tuple(Step(*edge, bool(ahead)) for edge, ahead in zip(self.edges(path.edges()), path.forward))
