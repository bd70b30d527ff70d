"""Which facts along the walked paths are kept when only k may be: each path its share, each end one chain of facts.

    quota(π) = max(|π|, k · P(anchor) p(π | q) / Σ)

Of the paths that are about as likely as the best, each has a quota. An end is shown by one chain of facts from the
anchor; of the entities that lead to it that one is taken which leads to most ends, so that chains share facts and many
ends fit. What is left goes to the paths from the best on: where the fact asked for is missing, others hint at it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kg.records import Statement
from retrieval.evidence import EvidenceFact
from retrieval.index.path_walk import Level, PathWalk, Trail

#: Paths less likely than the best by this factor have no quota, nor have those after the first few.
_LEAST, _MOST_QUOTAS = 0.01, 8


@dataclass(frozen=True, slots=True)
class Packed:
    """A fact that was kept: entities by number, or its statement when it leads to a value.

    Attributes:
        relation: its place in `PathWalk.relations`.
        hop, parent, anchor: as in `EvidenceFact`; ``parent`` counts in the list of packed facts.
        score: P(anchor) p(π | q) of the best path that it was kept for.
    """

    near: int
    relation: int
    far: int
    forward: bool
    hop: int
    parent: int
    anchor: int
    score: float
    value: Statement | None = None

    @property
    def edge(self) -> tuple[int, int, int] | Statement:
        """Head, relation, tail, or the statement of a value: the same however it was reached."""
        if self.value is not None:
            return self.value
        return (self.near, self.relation, self.far) if self.forward else (self.far, self.relation, self.near)


def pack(
    trails: Sequence[Sequence[Trail]], chances: Sequence[float], k: int, wanted: Collection[int] = ()
) -> list[Packed]:
    """Keep at most ``k`` facts.

    Args:
        trails: of each anchor.
        chances: P(anchor), one an anchor.
        wanted: entities that come first where they are ends, such as others that the question names.

    Returns:
        Facts, parents before children.
    """
    weighed = [
        (chance * float(np.exp(trail.log_probability)), number, trail)
        for number, (several, chance) in enumerate(zip(trails, chances, strict=True))
        for trail in several
    ]
    weighed.sort(key=lambda item: -item[0])  # stable: of equal ones the first anchor's comes first
    likely = [weight for weight, _, _ in weighed[:_MOST_QUOTAS] if weight >= _LEAST * weighed[0][0]]
    total = sum(likely)
    kept: list[Packed] = []
    seen: dict[tuple[int, int, int] | Statement, int] = {}
    waiting = [(_chains(trail, number, weight, wanted), len(trail.levels)) for weight, number, trail in weighed]
    for place, weight in enumerate(likely):
        chains, length = waiting[place]
        quota = min(k - len(kept), max(length, int(k * weight / total)))
        waiting[place] = _take(chains, quota, kept, seen), length
    for chains, _ in waiting:
        _take(chains, k - len(kept), kept, seen)
    return kept


def evidence_facts(
    walk: PathWalk, packed: Sequence[Packed], found_by: Sequence[tuple[str, ...]] = ()
) -> list[EvidenceFact]:
    """Packed facts as stored, hop by hop, falling in score within a hop.

    Args:
        found_by: one an anchor; ``("graph",)`` when not given.
    """
    order = sorted(range(len(packed)), key=lambda row: (packed[row].hop, -packed[row].score, row))
    place = {row: index for index, row in enumerate(order)}
    ends = np.array([end for fact in packed for end in (fact.near, fact.far) if end >= 0], dtype=np.int64)
    names = dict(zip(ends.tolist(), walk.entities(ends), strict=True))
    heads = [names[fact.near if fact.forward else fact.far] for fact in packed if fact.value is None]
    stored = {
        statement.fact: statement
        for statements in walk.graph.neighbours_of(heads, limit=0).values()
        for statement in reversed(statements)
    }
    facts = []
    for row in order:
        fact = packed[row]
        near, far = names[fact.near], names.get(fact.far, "")
        head, tail = (near, far) if fact.forward else (far, near)
        facts.append(
            EvidenceFact(
                statement=fact.value if fact.value is not None else stored[head, walk.relations[fact.relation], tail],
                score=min(1.0, fact.score),
                forward=fact.forward,
                hop=fact.hop,
                anchor=fact.anchor,
                parent=-1 if fact.parent < 0 else place[fact.parent],
                found_by=found_by[fact.anchor] if found_by else ("graph",),
            )
        )
    return facts


def _take(
    chains: Iterator[list[Packed]], room: int, kept: list[Packed], seen: dict[tuple[int, int, int] | Statement, int]
) -> Iterator[list[Packed]]:
    """Keep the next chains of a path while they fit; return those that are left."""
    limit = len(kept) + room
    while len(kept) < limit:
        chain = next(chains, None)
        if chain is None:
            break
        new = [fact for fact in chain if fact.edge not in seen]
        if len(kept) + len(new) > limit:
            return itertools.chain([chain], chains)
        parent = -1
        for fact in chain:
            place = seen.get(fact.edge, -1)
            if place < 0:
                place = seen[fact.edge] = len(kept)
                kept.append(replace(fact, parent=parent))
            elif kept[place].far != fact.far or kept[place].hop != fact.hop:
                break  # the same statement read the other way: what lies beyond can't hang on it
            parent = place
    return chains


def _chains(trail: Trail, anchor: int, score: float, wanted: Collection[int]) -> Iterator[list[Packed]]:
    """The chain of facts to each end of a path: wanted ends first, then those that most facts lead to."""
    ways = [_best_edges(level) for level in trail.levels]
    last = trail.levels[-1]
    support = np.bincount(last.children, minlength=len(last.nodes))
    is_wanted = np.isin(last.nodes, list(wanted)) if wanted and not last.values else np.zeros(len(last.nodes), bool)
    for end in np.lexsort((-support, ~is_wanted)).tolist():
        chain: list[Packed] = []
        place = end
        for hop in range(len(trail.levels), 0, -1):
            level = trail.levels[hop - 1]
            before = int(ways[hop - 1][place])
            near = int(trail.levels[hop - 2].nodes[before]) if hop > 1 else trail.anchor
            value = level.values[place] if level.values else None
            far = -1 if value is not None else int(level.nodes[place])
            chain.append(Packed(near, level.relation, far, level.forward, hop, -1, anchor, score, value))
            place = before
        yield chain[::-1]


def _best_edges(level: Level) -> np.ndarray:
    """Of each end of a level, the place in the level before that leads to it and to most others, int64 (N,)."""
    reach = np.bincount(level.parents)
    order = np.lexsort((level.parents, -reach[level.parents], level.children))
    first = np.searchsorted(level.children[order], np.arange(len(level.nodes)))
    return level.parents[order[first]]
