"""Figures from ranks: MRR, hits@k, mean rank and AMRI; by side, by tie policy, by relation pattern, by degree.

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

HITS = (1, 3, 5, 10)
#: Mean tails a head (heads a tail) from which on a relation counts as "n" (Bordes et al., 2013, section 4.3).
MANY = 1.5
#: Bounds of the degrees in training by which ranks are grouped.
DEGREES = (0, 1, 3, 10, 30, 100, 300)


def figures(ranks: Ranks, triples: Triples | None = None) -> dict[str, Any]:
    """Return figures for ``both`` sides, ``tails`` and ``heads``, and of ``both`` for the other tie policies.

    Args:
        triples: also group by the pattern of relations and the degree of the entity asked for, as training has them.
    """
    found: dict[str, Any] = {"both": summarise(ranks.realistic, ranks.candidates)}
    for side, name in enumerate(SIDES):
        found[name] = summarise(ranks.realistic[side], ranks.candidates[side])
    found["optimistic"] = summarise(ranks.optimistic, ranks.candidates)
    found["pessimistic"] = summarise(ranks.pessimistic, ranks.candidates)
    found["nan_scores"] = ranks.num_nan
    if triples is not None:
        found["by_pattern"] = by_pattern(ranks, triples["train"], triples.num_relations)
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


def patterns(train: Array, num_relations: int) -> list[str]:
    """Return each relation's pattern in training: "1-1", "1-n", "n-1" or "n-n"; "" where training has none of it.

    A relation is "…-n" when a head has at least 1.5 tails on average, "n-…" when a tail has as many heads.
    """
    counts = np.bincount(train[:, 1], minlength=num_relations)
    result = []
    wide = train.astype(np.int64)
    size = int(wide[:, [0, 2]].max()) + 1
    num_heads, num_tails = (
        np.bincount(np.unique(wide[:, 1] * size + wide[:, column]) // size, minlength=num_relations)
        for column in (0, 2)
    )
    for relation in range(num_relations):
        if not counts[relation]:
            result.append("")
            continue
        heads_of_a_tail = counts[relation] / num_tails[relation]
        tails_of_a_head = counts[relation] / num_heads[relation]
        result.append(f"{'n' if heads_of_a_tail >= MANY else '1'}-{'n' if tails_of_a_head >= MANY else '1'}")
    return result


def by_pattern(ranks: Ranks, train: Array, num_relations: int) -> dict[str, Mapping[str, Any]]:
    """Return pattern → the figures of its triples on each side: the tails of 1-n are harder than its heads."""
    of_relation = np.array(patterns(train, num_relations))
    pattern = of_relation[ranks.triples[:, 1]]
    found: dict[str, Mapping[str, Any]] = {}
    for name in ("1-1", "1-n", "n-1", "n-n"):
        of_it = pattern == name
        found[name] = {
            "relations": int((of_relation == name).sum()),
            **{side: summarise(ranks.realistic[n, of_it], ranks.candidates[n, of_it]) for n, side in enumerate(SIDES)},
        }
    return found


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
