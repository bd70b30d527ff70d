"""How sure a picture's first link is, fitted on pictures of which the truth is known; and when there is none.

    P(first link right) = σ(a · log(p / (1 − p)) + b · s + c)

p is the scorer's chance of its first candidate, s its strength. Platt scaling (Platt, 1999) with two features: a chance
is relative to the other candidates and high for a strange picture too; strength is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from retrieval.pictures import Candidates


@dataclass(frozen=True)
class Confidence:
    """Fitted on validation pictures, some of them of things that are no entities; the default changes nothing.

    Attributes:
        chance, strength, offset: a, b and c above.
        threshold: below this confidence a picture shows none of the entities.
        weakest: nor does it below this strength, where one is given.
    """

    chance: float = 1.0
    strength: float = 0.0
    offset: float = 0.0
    threshold: float = 0.0
    weakest: float | None = None

    def links(self, found: Sequence[Candidates]) -> np.ndarray:
        """(B,) bool: whether a picture shows one of the entities."""
        sure = self(found)
        strong = [self.weakest is None or one.strength >= self.weakest for one in found]
        return (
            (sure >= self.threshold) & np.array([len(one.entities) > 0 for one in found], bool) & np.array(strong, bool)
        )

    def __call__(self, found: Sequence[Candidates]) -> np.ndarray:
        """(B,) probability that the first candidate is right; 0 where there is none."""
        sure = _sigmoid(_features(found) @ np.array([self.chance, self.strength, self.offset]))
        return np.where([len(one.entities) > 0 for one in found], sure, 0.0)


def fit(
    found: Sequence[Candidates], is_right: Sequence[bool] | np.ndarray, is_known: Sequence[bool] | np.ndarray
) -> Confidence:
    """Fit the weights by least log loss, a and b held at 0 or more, then the threshold.

    Args:
        found: of B validation pictures.
        is_right: whether the first candidate is one that the picture shows.
        is_known: whether the picture shows an entity at all. The threshold is that with the best mean of two shares:
            of known pictures that are linked, and of others that are not; 0 where all are known.
    """
    from scipy.optimize import minimize

    x, right = _features(found), np.asarray(is_right, dtype=np.float64)
    scale = np.where(x.std(0) > 1e-6, x.std(0), 1.0)  # what is the same of all, as the column of ones, stays

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        z = (x / scale) @ weights
        ridge = 1e-3 * np.array([1, 1, 0]) * weights
        value = np.logaddexp(0, z).mean() - (right * z).mean() + 0.5 * float(ridge @ weights)
        return value, (x / scale).T @ (_sigmoid(z) - right) / len(x) + ridge

    best = minimize(loss, [1.0, 0.0, 0.0], jac=True, bounds=[(0, None), (0, None), (None, None)]).x / scale
    fitted = Confidence(*map(float, best))
    return replace(fitted, threshold=_threshold(fitted(found), np.asarray(is_known, dtype=bool)))


def weakest_right(
    found: Sequence[Candidates], is_right: Sequence[bool] | np.ndarray, lost: float = 0.02
) -> float | None:
    """The strength below which the least strong ``lost`` of right first links lie; None where none is right.

    For where only pictures of known entities are at hand: nothing is known of strange ones, but that they look less
    like any entity than nearly all known ones do.
    """
    strong = [one.strength for one, right in zip(found, is_right, strict=True) if right]
    return float(np.quantile(strong, lost, method="lower")) if strong else None


def expected_calibration_error(confidence: np.ndarray, is_right: np.ndarray, bins: int = 15) -> float:
    """Σ_bins n_b/n |mean confidence − accuracy|, bins of equal width on [0, 1].

    Guo, Pleiss, Sun & Weinberger (2017), arXiv:1706.04599.
    """
    which = np.minimum((np.asarray(confidence) * bins).astype(int), bins - 1)
    gaps = [abs(np.sum(confidence[which == b]) - np.sum(is_right[which == b])) for b in range(bins)]
    return float(np.sum(gaps) / len(which))


def _features(found: Sequence[Candidates]) -> np.ndarray:
    """(B, 3): log-odds of the first candidate, strength, 1."""
    p = np.array([float(one.chances[0]) if len(one.entities) else 0.0 for one in found]).clip(1e-6, 1 - 1e-6)
    return np.stack([np.log(p / (1 - p)), np.array([one.strength for one in found]), np.ones(len(p))], axis=1)


def _threshold(sure: np.ndarray, is_known: np.ndarray) -> float:
    if is_known.all():
        return 0.0
    ladder = np.unique(sure)
    worth = [(sure[is_known] >= t).mean() + (sure[~is_known] < t).mean() for t in ladder]
    return float(ladder[int(np.argmax(worth))])


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * z))
