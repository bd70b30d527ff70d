"""Fusing the hits of several searches by weights that were learned from questions whose answer is known.

    score(d) = Σ_r u_r (s_r(d) − s_r(last)) + v_r / rank_r(d),   p(d) = softmax_d score(d)

s_r(last) is the score of the last hit of search r: what r did not find stands just behind it, with 0 in both terms.
Where nothing can be learned from, `retrieval.ranking.fused` fuses by reciprocal ranks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kg.errors import InputError
from retrieval.index import Hit

Found = Mapping[str, Sequence[Hit]]
_PULL = 0.01  # weight decay a question: two searches that agree share the weight


class LearnedFusion:
    """Weights of searches.

    Args:
        weights: search → (u, v).
    """

    def __init__(self, weights: dict[str, tuple[float, float]]) -> None:
        self.weights = weights

    @classmethod
    def fit(cls, found: Sequence[Found], right: Sequence[int]) -> LearnedFusion:
        """Fit on what searches found for questions, and the id that answers each.

            L = −mean log p(right) + 0.01 ‖σ (u, v)‖²,   over the questions of which a search found the right id

        σ are the terms' standard deviations, so that scores of any size are held back alike.

        Raises:
            InputError: no search found the right id of any question.
        """
        from scipy.optimize import minimize

        names = list(dict.fromkeys(name for one in found for name in one))
        cases = []
        for one, wanted in zip(found, right, strict=True):
            ids, columns = _columns(one, names)
            if wanted in ids:
                cases.append((columns, ids.index(wanted)))
        if not cases:
            raise InputError("no search found a right answer: there is nothing to learn their weights from")

        spread = np.concatenate([columns for columns, _ in cases]).std(axis=0)
        spread[spread < 1e-9] = 1.0  # a search that found nothing
        cases = [(columns / spread, place) for columns, place in cases]

        def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
            total, slope = 0.0, np.zeros_like(weights)
            for columns, place in cases:
                logits = columns @ weights
                chances = np.exp(logits - logits.max())
                chances /= chances.sum()
                total -= float(np.log(max(chances[place], 1e-12)))
                slope += chances @ columns - columns[place]
            count = len(cases)
            return total / count + _PULL * float(weights @ weights), slope / count + 2 * _PULL * weights

        fitted = minimize(loss, np.ones(2 * len(names)), jac=True, method="L-BFGS-B").x
        fitted = (fitted / spread).reshape(-1, 2)
        return cls({name: (float(u), float(v)) for name, (u, v) in zip(names, fitted, strict=True)})

    def fuse(self, found: Found, k: int | None = None) -> list[Hit]:
        """One ranking of what was found, each hit with its searches."""
        names = list(self.weights)
        ids, columns = _columns(found, names)
        if not ids:
            return []
        scores = columns @ np.array([self.weights[name] for name in names]).ravel()
        by = {name: {hit.id for hit in hits} for name, hits in found.items()}
        order = np.argsort(-scores, kind="stable")[:k].tolist()
        return [Hit(ids[n], float(scores[n]), tuple(name for name in by if ids[n] in by[name])) for n in order]

    def save(self, path: Path) -> None:
        """Write the weights as JSON: search → [u, v]."""
        path.write_text(json.dumps(self.weights, indent=1), encoding="utf-8")

    @classmethod
    def open(cls, path: Path) -> LearnedFusion:
        """Read the weights.

        Raises:
            InputError: the file holds something else.
        """
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            return cls({name: (float(u), float(v)) for name, (u, v) in held.items()})
        except (OSError, ValueError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: not weights of searches ({reason}); train them again") from None


def _columns(found: Found, names: Sequence[str]) -> tuple[list[int], np.ndarray]:
    """The ids found, and (s − s_last, 1 / rank) of each search side by side, (N, 2R)."""
    ids = list(dict.fromkeys(hit.id for name in names for hit in found.get(name, ())))
    row = {one: number for number, one in enumerate(ids)}
    columns = np.zeros((len(ids), 2 * len(names)))
    for place, name in enumerate(names):
        hits = found.get(name, ())
        for rank, hit in enumerate(hits, start=1):
            columns[row[hit.id], 2 * place : 2 * place + 2] = hit.score - hits[-1].score, 1 / rank
    return ids, columns
