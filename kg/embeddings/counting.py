"""How many candidates score higher than the right answer, and how many the same: one pass over the scores, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit, prange


@njit(cache=True, nogil=True, parallel=True)
def count(
    scores: np.ndarray,
    rows: np.ndarray,
    targets: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
    answers: np.ndarray,
    greater: np.ndarray,
    equal: np.ndarray,
    candidates: np.ndarray,
    num_nan: np.ndarray,
) -> None:
    """Compare each target's score with those of all entities but the other known answers.

    A NaN is no score: a candidate's counts as lower than any, a target's puts it behind all candidates.

    Args:
        scores: (Q, E) float32, of all entities for each query.
        rows: (N,) which query each target belongs to.
        targets: (N,) entities.
        begin, end: (N,) where the known answers of the query begin and end in ``answers``.
        answers: known answers, ascending for each query; may hold the target itself.
        greater: out, (N,) candidates that score higher.
        equal: out, (N,) candidates that score the same, the target among them.
        candidates: out, (N,) entities that are compared, the target among them.
        num_nan: out, (N,) 1 where the target's score is NaN.
    """
    num_entities = scores.shape[1]
    for n in prange(len(targets)):
        row = scores[rows[n]]
        target = targets[n]
        score = row[target]
        higher, same, others = np.int32(0), np.int32(0), num_entities
        for e in range(num_entities):
            higher += np.int32(row[e] > score)
            same += np.int32(row[e] == score)
        for place in range(begin[n], end[n]):
            answer = answers[place]
            if answer != target:
                others -= 1
                higher -= np.int32(row[answer] > score)
                same -= np.int32(row[answer] == score)
        if score != score:
            higher, same = np.int32(others - 1), np.int32(1)
            num_nan[n] = 1
        greater[n], equal[n], candidates[n] = higher, same, others
