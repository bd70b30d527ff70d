"""How well the entities that several mentions may mean go together in the graph.

    rel(a, b) = 1 − (log max(|A|, |B|) − log |A ∩ B|) / (log N − log min(|A|, |B|)),   0 where A ∩ B is empty
    factor(e) = exp(β · mean over the other mentions m of Σ_{e′ ∈ m} p(e′) rel(e, e′)),   p from the round before

A is a with its neighbours, so that entities that are linked share at least themselves; N counts the store's entities.
The relatedness is Milne and Witten's (2008), from shared neighbours; going over all mentions a few times lets a sure
mention settle an unsure one, and that a third.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

#: Neighbours that are looked at: a hub is near everything and tells nothing.
_MOST = 2_048
#: Candidates of a mention that are looked at, the likeliest first.
_CANDIDATES = 16


class Coherence:
    """Re-weighs the candidates of a text's mentions; what `EntityLinker.link` takes as ``coherence``.

    Args:
        strength: β; a candidate that is wholly related to all other mentions is worth e^β of one that isn't at all.
        rounds: how often all mentions are gone over.
    """

    def __init__(self, graph: KnowledgeGraph, strength: float = 3.0, rounds: int = 2) -> None:
        self.graph, self.strength, self.rounds = graph, strength, rounds

    def __call__(self, mentions: list[dict[str, float]]) -> list[dict[str, float]]:
        """Return a factor for each candidate of each mention, given their probabilities."""
        mentions = [dict(sorted(m.items(), key=lambda item: -item[1])[:_CANDIDATES]) for m in mentions]
        if all(len(mention) < 2 for mention in mentions) or len(mentions) < 2:
            return [{} for _ in mentions]
        around = self._around({iri for mention in mentions for iri in mention})
        total = max(len(self.graph.snapshot().entity_ids), 3)
        related: dict[tuple[str, str], float] = {}
        for number, one in enumerate(mentions):
            for other in mentions[number + 1 :]:
                for a in one:
                    for b in other:
                        related[a, b] = related[b, a] = relatedness(around[a], around[b], total)
        factors: list[dict[str, float]] = [dict.fromkeys(mention, 1.0) for mention in mentions]
        for _ in range(self.rounds):
            chances = [_shares(mention, factor) for mention, factor in zip(mentions, factors, strict=True)]
            for number, mention in enumerate(mentions):
                others = [chance for place, chance in enumerate(chances) if place != number]
                for a in mention:
                    support = [sum(p * related[a, b] for b, p in other.items()) for other in others]
                    factors[number][a] = math.exp(self.strength * sum(support) / len(support))
        return factors

    def _around(self, iris: set[str]) -> dict[str, np.ndarray]:
        """Entities with their neighbours: sorted numbers of the snapshot."""
        snapshot, ids = self.graph.snapshot(), self.graph.ids(iris)
        found = {}
        for iri in iris:
            number = int(snapshot.index_of([ids.get(iri, -1)])[0])
            sides = [side.of(number)[0][:_MOST] for side in (snapshot.out, snapshot.into)] if number >= 0 else []
            found[iri] = np.unique(np.concatenate([[number], *sides])) if number >= 0 else np.zeros(0, dtype=np.int64)
        return found


def relatedness(a: np.ndarray, b: np.ndarray, total: int) -> float:
    """Relatedness in [0, 1] of two entities with neighbours ``a`` and ``b``, sorted, of ``total`` entities."""
    shared = len(np.intersect1d(a, b, assume_unique=True))
    if not shared:
        return 0.0
    most, least = max(len(a), len(b)), min(len(a), len(b))
    if least >= total:
        return 1.0
    return max(0.0, 1.0 - (math.log(most) - math.log(shared)) / (math.log(total) - math.log(least)))


def _shares(mention: dict[str, float], factor: dict[str, float]) -> dict[str, float]:
    weights = {iri: chance * factor[iri] for iri, chance in mention.items()}
    total = max(sum(weights.values()), 1e-12)
    return {iri: weight / total for iri, weight in weights.items()}
