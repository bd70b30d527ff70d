"""Putting rankings together, and measuring them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence, Set
from math import log2
from typing import TypeVar

from retrieval.index import Hit

Item = TypeVar("Item", bound=Hashable)


def reciprocal_rank_fusion(rankings: Sequence[Sequence[Item]], k: float = 60.0) -> list[tuple[Item, float]]:
    """Fuse rankings whose scores can't be compared.

        RRF(d) = Σ_r 1 / (k + rank_r(d)),   ranks from 1

    Cormack, Clarke and Büttcher (SIGIR 2009), with their k = 60. Ties keep the order in which items were first met.
    """
    scores: dict[Item, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(dict.fromkeys(ranking), start=1):
            scores[item] = scores.get(item, 0.0) + 1.0 / (k + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])


def fused(found: Mapping[str, Sequence[Hit]], k: int | None = None) -> list[Hit]:
    """The hits of several searches as one ranking by reciprocal ranks, each saying which of them found it."""
    rankings = {name: [hit.id for hit in hits] for name, hits in found.items()}
    held = {name: set(ids) for name, ids in rankings.items()}
    both = reciprocal_rank_fusion(list(rankings.values()))[:k]
    return [Hit(one, score, tuple(name for name in held if one in held[name])) for one, score in both]


def recall_at_k(ranking: Sequence[Item], relevant: Set[Item], k: int) -> float:
    """The share of the relevant items among the first ``k``; 0 when nothing is relevant."""
    return len(relevant & set(ranking[:k])) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranking: Sequence[Item], relevant: Set[Item]) -> float:
    """1 / rank of the first relevant item; 0 when there is none."""
    return next((1.0 / rank for rank, item in enumerate(ranking, start=1) if item in relevant), 0.0)


def mrr(rankings: Sequence[Sequence[Item]], relevant: Sequence[Set[Item]]) -> float:
    """Mean reciprocal rank over queries."""
    ranks = [reciprocal_rank(ranking, wanted) for ranking, wanted in zip(rankings, relevant, strict=True)]
    return sum(ranks) / len(ranks) if ranks else 0.0


def ndcg(ranking: Sequence[Item], relevant: Set[Item], k: int | None = None) -> float:
    """Normalised discounted cumulative gain with binary relevance.

    DCG = Σ_i rel_i / log2(i + 1), divided by the DCG of the ideal ranking (Järvelin and Kekäläinen, 2002).
    """
    depth = len(ranking) if k is None else k
    gain = sum(1 / log2(i + 1) for i, item in enumerate(ranking[:depth], start=1) if item in relevant)
    ideal = sum(1 / log2(i + 1) for i in range(1, min(depth, len(relevant)) + 1))
    return gain / ideal if ideal else 0.0
