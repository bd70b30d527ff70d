"""Figures from ranks: MRR, hits@k, mean rank, AMRI; by side, tie policy, pattern and cardinality of relations, degree.

    MRR = mean 1/rank          hits@k = share of ranks ≤ k
    AMRI = 1 − (mean rank − 1) / (mean of (candidates − 1) / 2)

AMRI (Berrendorf et al., 2020, arXiv:2002.06914) is 1 for perfect ranks and 0 for random ones, whatever the number of
candidates. All names mean what they mean in PyKEEN; the rank is the realistic one where nothing else is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kg.embeddings.ranking import SIDES, Ranks
from kg.embeddings.triples import Array, Triples
from kg.patterns import Pairs, compositions, implications, shapes

HITS = (1, 3, 5, 10)
CARDINALITIES = ("1-1", "1-n", "n-1", "n-n")
PATTERNS = ("symmetric", "inverse", "composed", "none")
#: How sure a rule of training must be, and of how many pairs, for its relation to be of that pattern.
CONFIDENCE, SUPPORT = 0.5, 10
#: Bounds of the degrees in training by which ranks are grouped.
DEGREES = (0, 1, 3, 10, 30, 100, 300)


def figures(ranks: Ranks, triples: Triples | None = None) -> dict[str, Any]:
    """Return figures for ``both`` sides, ``tails`` and ``heads``, and of ``both`` for the other tie policies.

    Args:
        triples: also group by the pattern and cardinality of relations and by the degree of the entity asked for, as
            training has them.
    """
    found: dict[str, Any] = {"both": summarise(ranks.realistic, ranks.candidates)}
    for side, name in enumerate(SIDES):
        found[name] = summarise(ranks.realistic[side], ranks.candidates[side])
    found["optimistic"] = summarise(ranks.optimistic, ranks.candidates)
    found["pessimistic"] = summarise(ranks.pessimistic, ranks.candidates)
    found["nan_scores"] = ranks.num_nan
    if triples is not None:
        found["by_pattern"] = by_pattern(ranks, triples["train"], triples.num_entities, triples.num_relations)
        found["by_cardinality"] = by_cardinality(ranks, triples["train"], triples.num_entities, triples.num_relations)
        found["by_degree"] = by_degree(ranks, triples["train"], triples.num_entities)
    return found


def summarise(ranks: Array, candidates: Array, hits: Sequence[int] = HITS) -> dict[str, float]:
    """Return the figures of some ranks, with the number of candidates that each was among."""
    if not ranks.size:
        return {"count": 0}
    chance = (float(candidates.mean()) - 1) / 2
    result: dict[str, float] = {"count": ranks.size, "mrr": float((1 / ranks).mean())}
    result |= {f"hits@{k}": float((ranks <= k).mean()) for k in hits}
    result["mean_rank"] = float(ranks.mean())
    result["amri"] = 1 - (result["mean_rank"] - 1) / chance if chance > 0 else float("nan")
    return result


def by_cardinality(ranks: Ranks, train: Array, num_entities: int, num_relations: int) -> dict[str, Mapping[str, Any]]:
    """Return "1-1", "1-n", "n-1", "n-n" → the figures of its triples on each side: tails of 1-n are harder than heads.

    A relation is "…-n" when a head has at least 1.5 tails on average, "n-…" when a tail has as many heads (Bordes et
    al., 2013, section 4.3); one that training has no triple of is in no group.
    """
    found = shapes(train[:, 0], train[:, 1], train[:, 2], num_entities, num_relations)
    of_relation = np.array([shape.cardinality if shape.edges else "" for shape in found])
    return {name: _of_relations(ranks, of_relation == name) for name in CARDINALITIES}


def by_pattern(ranks: Ranks, train: Array, num_entities: int, num_relations: int) -> dict[str, Mapping[str, Any]]:
    """Return the figures of the triples of relations that are symmetric, the inverse of another, or composed of two.

    The patterns of Sun et al. (2019, arXiv:1902.10197, section 2), as far as training shows them: r(x, y) ⇒ r(y, x),
    s(x, y) ⇒ r(y, x) with s ≠ r, s(x, y) ∧ u(y, z) ⇒ r(x, z), each with a confidence of at least 0.5 on at least 10
    pairs (compositions estimated from drawn paths). A relation may be of several, or of "none".
    """
    pairs = Pairs(train[:, 0], train[:, 1], train[:, 2], num_entities, num_relations)
    is_of = {name: np.zeros(num_relations, dtype=bool) for name in PATTERNS}
    for relation, shape in enumerate(shapes(train[:, 0], train[:, 1], train[:, 2], num_entities, num_relations)):
        is_supported = shape.edges - shape.loops >= SUPPORT
        is_of["symmetric"][relation] = is_supported and (shape.symmetric or 0) >= CONFIDENCE
    for rule in implications(pairs, is_reversed=True, confidence=CONFIDENCE, support=SUPPORT):
        is_of["inverse"][rule.head] = True
    for rule in compositions(pairs, confidence=CONFIDENCE, support=SUPPORT):
        is_of["composed"][rule.head] = True
    is_of["none"] = ~(is_of["symmetric"] | is_of["inverse"] | is_of["composed"])
    return {name: _of_relations(ranks, is_it) for name, is_it in is_of.items()}


def _of_relations(ranks: Ranks, is_it: Array) -> dict[str, Any]:
    """Return the figures of the triples whose relation is one of them, (R,) booleans, on each side."""
    chosen = is_it[ranks.triples[:, 1]]
    sides = {name: summarise(ranks.realistic[n, chosen], ranks.candidates[n, chosen]) for n, name in enumerate(SIDES)}
    return {"relations": int(is_it.sum()), **sides}


def by_degree(ranks: Ranks, train: Array, num_entities: int) -> dict[str, dict[str, float]]:
    """Return degree → the figures of the triples whose wanted entity has so many triples in training."""
    degree = np.bincount(train[:, [0, 2]].reshape(-1), minlength=num_entities)
    wanted = degree[np.stack([ranks.triples[:, 2], ranks.triples[:, 0]])]  # (2, N)
    found = {}
    for low, high in zip(DEGREES, [*DEGREES[1:], None]):
        within = (wanted >= low) & (wanted < high if high is not None else True)
        name = f"{low}+" if high is None else str(low) if high == low + 1 else f"{low}-{high - 1}"
        found[name] = summarise(ranks.realistic[within], ranks.candidates[within])
    return found
