"""How hard an approximate index must look to find what an exact one finds: the least effort for a recall."""

from __future__ import annotations

from typing import TYPE_CHECKING

import faiss
import numpy as np

if TYPE_CHECKING:
    from retrieval.index.dense import DenseIndex

#: The share of the ten nearest that an approximate search is to find.
RECALL = 0.99
_NEAREST = 10
_QUERIES = 256  # to tune on, and as many again to measure on: the standard error at 0.99 is 0.002 of 2,560 neighbours


def tune(index: DenseIndex, ids: np.ndarray, vectors: np.ndarray, recall: float = RECALL) -> float:
    """Set an index's effort to the least power of √2 that reaches a recall; return what other queries reach with it.

        recall = |{found: score ≥ that of the 10th exact}| / 10,   each query itself left out

    Counted by score, for of equal vectors (entities of one name and gloss) any will do. Queries are drawn from the
    vectors themselves, one half to choose by and the other to measure with. To choose, a third of the allowed loss is
    kept in hand, for the next queries will be others.

    Args:
        ids, vectors: all that the index holds, int64 (N,) and float32 (N, D).
    """
    k = min(_NEAREST, len(vectors) - 1)
    drawn = np.random.default_rng(1).permutation(len(ids))[: 2 * _QUERIES]
    if k < 1:
        return 1.0
    least = _tenth(vectors, drawn, k, index.metric)  # (Q,)

    def reached(part: slice) -> float:
        scores, found = index.search_batch(vectors[drawn[part]], k + 1)  # itself among them
        enough = (scores >= least[part, None]) & (found != ids[drawn[part], None])
        return float((enough.sum(axis=1).clip(max=k) / k).mean())

    choose, measure = slice(0, None, 2), slice(1, None, 2)
    effort = 4.0
    index.effort = min(round(effort), index.most_effort)
    while reached(choose) < recall + (1 - recall) / 3 and index.effort < index.most_effort:
        effort *= 2**0.5
        index.effort = min(round(effort), index.most_effort)
    return reached(measure)


def _tenth(vectors: np.ndarray, rows: np.ndarray, k: int, metric: str) -> np.ndarray:
    """The score (Q,) of the k-th nearest to some of the vectors (N, D), themselves left out; less rounding."""
    kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
    scores, found = faiss.knn(vectors[rows], vectors, k + 1, metric=kind)
    scores = np.where(found == rows[:, None], -np.inf, -scores if metric == "l2" else scores)
    kth: np.ndarray = np.sort(scores, axis=1)[:, 1]  # the least of k + 1 is itself, or one too far
    return kth - 1e-5 * (1 + np.abs(kth))
