"""Triple classification: is a triple true? Thresholds of scores, fitted on true and false triples held out for it.

    thresholds = fit(model, triples["valid"], valid_negatives)
    classify(model, triples["test"], test_negatives, thresholds)["accuracy"]

A triple is called true when f(h, r, t) ≥ θ_r, where θ_r gets most validation triples of r right (Socher et al., 2013,
section 4.2). The false triples are what makes it hard: random ones are nearly always of the wrong type, CoDEx's were
picked by models and marked false by people (Safavi & Koutra, 2020, arXiv:2009.07810, section 5). ``"single"`` holds the
figures of one threshold for all relations, as the authors' script has it (a logistic regression on the score alone).

- A relation without validation triples, or with scores that are all NaN, has the single threshold.
- θ_r lies in the middle of the two scores where it cuts. Where all or none of a relation's triples are best called
  true, and of several equally good cuts, it lies as near to the single threshold as it may.
- A NaN is never called true.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from kg.embeddings.model import KGEModel
from kg.embeddings.triples import Array
from kg.errors import InputError

#: Triples that are scored at a time.
BLOCK = 1 << 14


@dataclass(frozen=True)
class Thresholds:
    """From which score on a triple is called true: of each relation, (R,) float64, and of all together."""

    of_relation: Array
    single: float


@torch.no_grad()
def score(model: KGEModel, rows: Array) -> Array:
    """Return the scores of triples, (N, 3) → (N,) float64; of reciprocal models the mean of both directions."""
    was_training, device = model.training, model.device
    model.eval()
    parts = []
    try:
        for start in range(0, len(rows), BLOCK):
            block = torch.from_numpy(np.asarray(rows[start : start + BLOCK], dtype=np.int64)).to(device)
            heads, relations, tails = block.T
            found = model.score(heads, relations, tails)
            if model.reciprocal:
                found = (found + model.score(tails, model.turned(relations), heads)) / 2
            parts.append(found.double().cpu().numpy())
    finally:
        model.train(was_training)
    return np.concatenate(parts) if parts else np.empty(0)


def fit(model: KGEModel, true: Array, false: Array) -> Thresholds:
    """Return the thresholds that get most of these triples right, (N, 3) and (M, 3).

    Raises:
        InputError: there are no true or no false triples, or all scores are NaN.
    """
    if not len(true) or not len(false):
        raise InputError("thresholds need true and false validation triples, and there are none of one kind")
    scores = np.concatenate([score(model, true), score(model, false)])
    is_true = np.arange(len(scores)) < len(true)
    relations = np.concatenate([true[:, 1], false[:, 1]])
    return fit_scores(scores, is_true, relations, model.num_relations)


def fit_scores(scores: Array, is_true: Array, relations: Array, num_relations: int) -> Thresholds:
    """Return the thresholds for scores, (N,) each.

    Raises:
        InputError: all scores are NaN.
    """
    is_score = ~np.isnan(scores)
    scores, is_true, relations = scores[is_score].astype(np.float64), is_true[is_score], relations[is_score]
    if not len(scores):
        raise InputError("no threshold can be fitted: the scores of all validation triples are NaN")
    single = _cut(scores, is_true, None)
    of_relation = np.full(num_relations, single)
    order = np.argsort(relations, kind="stable")
    bounds = np.searchsorted(relations[order], np.arange(num_relations + 1))
    for relation, (low, high) in enumerate(pairwise(bounds.tolist())):
        if low < high:
            own = order[low:high]
            of_relation[relation] = _cut(scores[own], is_true[own], single)
    return Thresholds(of_relation, single)


def _cut(scores: Array, is_true: Array, near: float | None) -> float:
    """Return the threshold that gets most right, of equally good ones the nearest (None: the highest)."""
    order = np.argsort(-scores, kind="stable")
    ordered, right = scores[order], is_true[order]
    num = len(ordered)
    # Cut k calls the k highest true; it may not part equal scores.
    correct = np.append(0, right.cumsum()) + np.append((~right).sum(), (~right).sum() - (~right).cumsum())
    may = np.ones(num + 1, dtype=bool)
    may[1:-1] = ordered[1:] < ordered[:-1]
    best = np.flatnonzero(may & (correct == correct[may].max()))
    above, below = np.nextafter(ordered[0], np.inf), ordered[-1]
    if near is not None:
        above, below = max(above, near), min(below, near)
    upper, lower = np.append(above, ordered), np.append(ordered, below)  # of cut k: scores k − 1 and k
    with np.errstate(invalid="ignore"):
        middle = upper[best] / 2 + lower[best] / 2
    middle = np.where(best == 0, above, np.where(best == num, below, middle))
    # One past the highest, or two neighbours of floating point: the upper end is what "≥" needs.
    middle = np.where((best > 0) & ~(middle > lower[best]) & (best < num), upper[best], middle)
    if near is None:
        return float(middle[0])
    with np.errstate(invalid="ignore"):
        return float(middle[np.where(middle == near, 0, np.abs(middle - near)).argmin()])


def classify(model: KGEModel, true: Array, false: Array, thresholds: Thresholds) -> dict[str, Any]:
    """Return accuracy, precision, recall and F1 (of "true") with each relation's threshold; ``single``: with one.

    Raises:
        InputError: there are no triples.
    """
    if not len(true) + len(false):
        raise InputError("there are no triples to classify")
    scores = np.concatenate([score(model, true), score(model, false)])
    is_true = np.arange(len(scores)) < len(true)
    relations = np.concatenate([true[:, 1], false[:, 1]])
    is_called = scores >= thresholds.of_relation[relations]
    found: dict[str, Any] = {"true": len(true), "false": len(false), **judge(is_true, is_called)}
    found["single"] = judge(is_true, scores >= thresholds.single)
    found["nan_scores"] = int(np.isnan(scores).sum())
    found["by_relation"] = {
        int(relation): {
            "count": int((own := relations == relation).sum()),
            "threshold": float(thresholds.of_relation[relation]),
            "accuracy": float((is_true[own] == is_called[own]).mean()),
        }
        for relation in np.unique(relations)
    }
    return found


def judge(is_true: Array, is_called: Array) -> dict[str, float]:
    """Return the figures of what was called true, (N,) each; a share of nothing is 0."""
    hits, called, there = int((is_true & is_called).sum()), int(is_called.sum()), int(is_true.sum())
    return {
        "accuracy": float((is_true == is_called).mean()),
        "precision": hits / called if called else 0.0,
        "recall": hits / there if there else 0.0,
        "f1": 2 * hits / (called + there) if called + there else 0.0,
    }
