"""Relation paths of several steps from an anchor: a beam of those that a question may mean, and where they lead.

    π_1 ∪ … ∪ π_H,   beam_t = the most probable paths of t steps that lead somewhere,   p(π | q) from `StepScorer`

Where `GraphWalk` lays out everything around an anchor and judges it afterwards, this walks only what the question asks
for, so that three steps cost no more than the paths that are followed. Edges come from the snapshot, with the edits
since laid over it; values (literals) are a path's last step, read from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from kg.records import Statement
from kg.walks.steps import row
from retrieval.index.graph_walk import EXCLUDED
from retrieval.step_scorer import NamedStep, Reading

if TYPE_CHECKING:
    from kg import KnowledgeGraph

#: Entities of a step that are looked at to see how one can go on.
_LOOKED_AT = 256
#: What an analogy is worth beside a fact.
_ANALOGY = 0.1
#: Entities whose values are read.
_VALUED = 64


@dataclass(frozen=True, slots=True)
class Level:
    """Where one step of a path leads: N different ends by M edges.

    Attributes:
        relation, forward: the step; the relation's place in `PathWalk.relations`.
        nodes: int64 (N,), entities by their number in the snapshot; places in ``values`` after a step to values.
        parents, children: int64 (M,), of each edge the place of its near end in the level before, and of its far end.
        values: the statements of a step to values, else empty.
    """

    relation: int
    forward: bool
    nodes: np.ndarray
    parents: np.ndarray
    children: np.ndarray
    values: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class Trail:
    """One relation path from an anchor, walked: its levels, and the log probability that the question means it."""

    anchor: int
    levels: tuple[Level, ...]
    log_probability: float

    @property
    def steps(self) -> tuple[tuple[int, bool], ...]:
        return tuple((level.relation, level.forward) for level in self.levels)


class PathWalk:
    """Follows questions along a graph.

    Args:
        hops: the longest path.
        beam: paths kept at each length.
        excluded: relations never walked.
        most: edges followed at one step; what a hub has beyond is cut.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        hops: int = 3,
        beam: int = 16,
        excluded: Collection[str] = EXCLUDED,
        most: int = 20_000,
    ) -> None:
        self.graph, self.hops, self.beam, self.most = graph, hops, beam, most
        self._excluded = frozenset(excluded)
        self._version = -1
        self.refresh()

    def refresh(self) -> int:
        """Look at the store's version; take its edges anew where it moved. Call once a query."""
        version = self.graph.version
        if version != self._version:
            self.snapshot = self.graph.snapshot()
            names = self.graph.iris(self.snapshot.relation_ids.tolist())
            edges = [names[number] for number in self.snapshot.relation_ids.tolist()]
            values = sorted(set(self.graph.relations()) - set(edges) - self._excluded)
            self.relations = [*edges, *values]
            self._walked = np.array([iri not in self._excluded for iri in edges], dtype=bool)
            labels = self.graph.labels(self.relations)
            self.steps: list[NamedStep] = [(labels[iri], ahead) for iri in self.relations for ahead in (True, False)]
            self._values: dict[int, list[Statement]] = {}
            self._version = version
        return version

    def number(self, entity: str) -> int:
        """An entity's number in the snapshot, −1 when nothing is said of it."""
        ids = self.graph.ids([entity])
        return int(self.snapshot.index_of([ids.get(entity, -1)])[0])

    def ways_on(self, entity: str) -> np.ndarray:
        """Which steps can be taken from an entity, bool (S,), in the order of ``steps``."""
        anchor = self.number(entity)
        return self._ways_on(anchor, ()) if anchor >= 0 else np.zeros(2 * len(self.relations), dtype=bool)

    def trails(self, entity: str, reading: Reading) -> list[Trail]:
        """The paths from an entity that a question may mean, the most probable first; at most ``hops · beam``."""
        anchor = self.number(entity)
        if anchor < 0:
            return []
        heads: list[tuple[Level, ...]] = [()]
        logs, states, done = np.zeros(1), reading.start(), list[Trail]()
        for depth in range(self.hops + 1):
            chances, read = reading.next(states)  # (B, S + 1), (B, K)
            if not depth:
                done += self._by_analogy(anchor, chances[0, :-1])
            else:
                done += [Trail(anchor, levels, float(logs[i] + chances[i, -1])) for i, levels in enumerate(heads)]
            if depth == self.hops:
                break
            open_steps = [self._ways_on(anchor, levels) for levels in heads]
            total = np.where(np.array(open_steps), logs[:, None] + chances[:, :-1], -np.inf)  # (B, S)
            heads, logs, states = self._grow(anchor, heads, total, reading, states, read)
            if not heads:
                break
        return sorted(done, key=lambda trail: -trail.log_probability)

    def follow(self, anchor: int, steps: Sequence[tuple[int, bool]]) -> Trail | None:
        """Walk one path of (relation's place, forward) steps; None where it leads nowhere."""
        levels: tuple[Level, ...] = ()
        for relation, forward in steps:
            level = self._step(anchor, levels, 2 * relation + (not forward))
            if level is None:
                return None
            levels = (*levels, level)
        return Trail(anchor, levels, 0.0)

    def all_trails(self, anchor: int, is_small: Callable[[Level], bool] = lambda level: True) -> list[Trail]:
        """Every path up to ``hops`` steps that leads somewhere, walked; those are gone on from whose end is small."""
        done: list[Trail] = []
        heads: list[tuple[Level, ...]] = [()]
        for _ in range(self.hops):
            grown = []
            for levels in heads:
                if not levels or is_small(levels[-1]):
                    for step in np.flatnonzero(self._ways_on(anchor, levels)).tolist():
                        level = self._step(anchor, levels, step)
                        if level is not None:
                            grown.append((*levels, level))
            done += [Trail(anchor, levels, 0.0) for levels in grown]
            heads = grown
        return done

    def entities(self, numbers: np.ndarray) -> list[str]:
        """IRIs of entities by their numbers in the snapshot."""
        ids = self.snapshot.entity_ids[numbers].tolist()
        names = self.graph.iris(dict.fromkeys(ids))
        return [names[number] for number in ids]

    def _by_analogy(self, anchor: int, chances: np.ndarray) -> list[Trail]:
        """Where the step that is asked for first is missing: that step from entities that share a neighbour.

        A film whose genre nobody has stated has a director whose other films have one.
        """
        wanted, open_steps = int(chances.argmax()), self._ways_on(anchor, ())
        if open_steps[wanted] or self.hops < 3:
            return []
        around = [(step, step ^ 1, wanted) for step in np.flatnonzero(open_steps[: 2 * len(self._walked)]).tolist()]
        found = [self.follow(anchor, [(step // 2, step % 2 == 0) for step in path]) for path in around]
        chance = float(chances[wanted]) + np.log(_ANALOGY / max(len(found), 1))
        return [Trail(anchor, trail.levels, chance) for trail in found if trail is not None]

    def _grow(
        self,
        anchor: int,
        heads: list[tuple[Level, ...]],
        total: np.ndarray,
        reading: Reading,
        states: np.ndarray,
        read: np.ndarray,
    ) -> tuple[list[tuple[Level, ...]], np.ndarray, np.ndarray]:
        """Take the most probable steps that lead somewhere: the new paths, their log probabilities and states."""
        kept: list[tuple[tuple[Level, ...], int, int]] = []
        for place in np.argsort(-total, axis=None, kind="stable").tolist():
            came, step = divmod(place, total.shape[1])
            if len(kept) >= self.beam or not np.isfinite(total[came, step]):
                break
            level = self._step(anchor, heads[came], step)
            if level is not None:
                kept.append(((*heads[came], level), came, step))
        came_from = np.array([came for _, came, _ in kept], dtype=np.int64)
        taken = np.array([step for _, _, step in kept], dtype=np.int64)
        if not kept:
            return [], np.zeros(0), states[:0]
        states = reading.go(states[came_from], read[came_from], taken)
        return [levels for levels, _, _ in kept], total[came_from, taken], states

    def _ways_on(self, anchor: int, levels: tuple[Level, ...]) -> np.ndarray:
        """Which steps can be taken from the end of a path, bool (S,): relation r forward is 2r, backward 2r + 1."""
        found = np.zeros(2 * len(self.relations), dtype=bool)
        if levels and levels[-1].values:
            return found
        nodes = levels[-1].nodes if levels else np.array([anchor])
        number = len(self._walked)
        out = _relations(self.snapshot.out, nodes[:_LOOKED_AT], number) & self._walked
        into = _relations(self.snapshot.into, nodes[:_LOOKED_AT], number) & self._walked
        found[: 2 * number : 2], found[1 : 2 * number : 2] = out, into
        if len(self.relations) > number:
            names = {iri: place for place, iri in enumerate(self.relations)}
            for statement in self._values_of(nodes[:_VALUED]):
                found[2 * names[statement.relation]] = True
        return found

    def _step(self, anchor: int, levels: tuple[Level, ...], step: int) -> Level | None:
        """Go one step on; never back to the anchor."""
        relation, forward = step // 2, step % 2 == 0
        nodes = levels[-1].nodes if levels else np.array([anchor])
        if relation >= len(self._walked):
            return self._value_level(nodes[:_VALUED], relation)
        side = self.snapshot.out if forward else self.snapshot.into
        parents, ends = _expand(side, nodes, relation, anchor, self.most)
        if not len(ends):
            return None
        distinct, children = np.unique(ends, return_inverse=True)
        return Level(relation, forward, distinct, parents, children)

    def _value_level(self, nodes: np.ndarray, relation: int) -> Level | None:
        self._values_of(nodes)
        found = [
            (place, statement)
            for place, node in enumerate(nodes.tolist())
            for statement in self._values[node]
            if statement.relation == self.relations[relation]
        ]
        if not found:
            return None
        children = np.arange(len(found))
        parents = np.array([place for place, _ in found])
        return Level(relation, True, children, parents, children, tuple(statement for _, statement in found))

    def _values_of(self, nodes: np.ndarray) -> list[Statement]:
        """The statements to values of some entities, from memory where possible."""
        new = [node for node in nodes.tolist() if node not in self._values]
        if new:
            wanted = set(self.relations[len(self._walked) :])
            names = dict(zip(self.entities(np.array(new)), new, strict=True))
            for entity, statements in self.graph.neighbours_of(names, limit=0).items():
                kept = [s for s in statements if s.relation in wanted and not isinstance(s.tail, str)]
                self._values[names[entity]] = kept
        return [statement for node in nodes.tolist() for statement in self._values[node]]


@njit(cache=True)
def _expand(side: Any, nodes: Any, relation: int, anchor: int, most: int) -> Any:
    """The edges of one relation from some entities: (places of the near ends, far ends), (M,) int64 each."""
    parents, ends = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    number = 0
    for place in range(len(nodes)):
        others, relations = row(side, nodes[place])
        start = np.searchsorted(relations, relation)
        while start < len(others) and relations[start] == relation and number < most:
            if others[start] != anchor:
                parents[number], ends[number] = place, others[start]
                number += 1
            start += 1
    return parents[:number].copy(), ends[:number].copy()


@njit(cache=True)
def _relations(side: Any, nodes: Any, num_relations: int) -> Any:
    """Which relations some entities have edges of, bool (R,); rows are sorted by relation, so runs are jumped over."""
    found = np.zeros(num_relations, dtype=np.bool_)
    for node in nodes:
        _, relations = row(side, node)
        at = 0
        while at < len(relations):
            found[relations[at]] = True
            at += np.searchsorted(relations[at:], relations[at], side="right")
    return found
