"""How many candidates score higher than the right answer, and how many the same.

One pass over the scores, compiled; on a GPU the same counts in plain torch, so that scores stay there.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kg.devices import is_compiled
from kg.kernels import njit, prange

#: Comparisons that plain torch holds at a time.
_BLOCK = 1 << 26


def count_each(
    scores: Tensor, rows: np.ndarray, targets: np.ndarray, begin: np.ndarray, end: np.ndarray, answers: np.ndarray
) -> np.ndarray:
    """Return what ``count`` counts, (4, N) int64, wherever the scores are; the other arguments are as there."""
    if not is_compiled(scores):
        return _count_plain(scores, rows, targets, begin, end, answers)
    found = np.zeros((4, len(targets)), dtype=np.int64)
    count(scores.contiguous().numpy(), rows, targets, begin, end, answers, *found)
    return found


def _count_plain(
    scores: Tensor, rows: np.ndarray, targets: np.ndarray, begin: np.ndarray, end: np.ndarray, answers: np.ndarray
) -> np.ndarray:
    device, num_entities = scores.device, scores.shape[1]
    row, target = torch.from_numpy(rows).to(device), torch.from_numpy(targets).to(device)
    own = scores[row, target]  # (N,)
    counts = end - begin
    which = np.repeat(np.arange(len(targets)), counts)
    flat = answers[np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(begin, counts)]
    which, flat = which[flat != targets[which]], flat[flat != targets[which]]
    of_target = torch.from_numpy(which).to(device)
    known = scores[row[of_target], torch.from_numpy(flat).to(device)]  # the other known answers' scores
    higher, same = torch.empty_like(row), torch.empty_like(row)
    size = max(1, _BLOCK // num_entities)
    for first in range(0, len(row), size):
        part, score = scores[row[first : first + size]], own[first : first + size, None]
        higher[first : first + size] = (part > score).sum(1)
        same[first : first + size] = (part == score).sum(1)
    higher.index_add_(0, of_target, (known > own[of_target]).long(), alpha=-1)
    same.index_add_(0, of_target, (known == own[of_target]).long(), alpha=-1)
    others = torch.full_like(row, num_entities).index_add_(0, of_target, torch.ones_like(of_target), alpha=-1)
    is_nan = own.isnan()
    higher, same = torch.where(is_nan, others - 1, higher), torch.where(is_nan, 1, same)
    return torch.stack([higher, same, others, is_nan.long()]).cpu().numpy()


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
