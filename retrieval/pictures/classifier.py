"""A picture classifier whose classes are entities: zero-shot links, climbing to what the classes are kinds of.

Among given entities those without a class of their own get one made from what is said of them (after Elhoseiny, Saleh &
Elgammal, 2013, and Changpinyo et al., 2016, arXiv:1603.00550: classifiers regressed from descriptions).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retrieval.pictures import Candidates
from retrieval.pictures.is_a import IsA

#: Links that a picture gets at most; a class and its ancestors are a dozen.
_MOST = 16
#: Entities that say less are no candidates: 0.3 is what 126 of a thousand classes are kinds of.
_LEAST_INFORMATION = 0.3
#: How sharply likeness to made-up classifiers becomes probability, and the ridge that they are fitted with; chosen on
#: Caltech-101's validation part.
_SHARPNESS, _RIDGE = 0.02, 0.1


class EntityClassifier:
    """A linear classifier over mean features, and the entities that its classes are.

        P(c) = softmax_c(⟨w_c, v⟩ + b_c),   P(e) = Σ_{c ⊑ e} P(c)

    Candidates are ordered by P(e)² · information(e): of two likely classes, what both are a kind of is named, as in
    Deng, Krause, Berg & Fei-Fei (2012), "Hedging your bets". The square was chosen on Caltech-101's validation part for
    the most information in true first links. What an eighth of all classes are kinds of (artifact, animal, vertebrate)
    says too little to be a candidate.

    Args:
        weights, bias: (C, D) and (C,).
        is_a: over the C classes' entities; classes that are none of the graph take their chance with them.
    """

    def __init__(self, weights: np.ndarray, bias: np.ndarray, is_a: IsA) -> None:
        self.weights, self.bias, self.is_a = weights, bias, is_a
        self.is_telling = is_a.information >= _LEAST_INFORMATION  # (N,)
        self._known = is_a.under.any(1)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(B, D) → (B, C)."""
        return features @ self.weights.T + self.bias

    def chances(self, features: np.ndarray) -> np.ndarray:
        """(B, D) → (B, N), of all entities of ``is_a``; the top of the hierarchy has what all known classes have."""
        return self.is_a.climb(softmax(self.logits(features)))

    def candidates(self, features: np.ndarray) -> list[Candidates]:
        if not self._known.any():
            return [Candidates((), np.zeros(0), 0.0) for _ in features]
        logits = self.logits(features)
        chances = self.is_a.climb(softmax(logits))  # (B, N)
        value = chances**2 * np.where(self.is_telling, self.is_a.information, 0.0)
        best = np.argsort(-value, axis=1, kind="stable")[:, :_MOST]  # of equals, the narrower comes first
        strength = logits[:, self._known].max(1)
        names = self.is_a.entities
        rows = [row[self.is_telling[row]] for row in best]
        return [
            Candidates(tuple(names[n] for n in row), chances[b, row], float(strength[b])) for b, row in enumerate(rows)
        ]


class AmongEntities:
    """A classifier's word on which of some given entities a picture shows, whether they have classes or not.

        P(e) = Σ_{c ⊑ e} P(c) + (1 − Σ_{c ⊑ any} P(c)) · softmax_e(cos(v, ŵ_e) / 0.02)

    The chance of classes that are none of the entities goes to those that look like the picture by a classifier made up
    from what is said of them, ŵ_e = k_e (K + λ)⁻¹ (W − mean), by kernel ridge regression from the classes' own. Without
    kernels that chance is nobody's.

    Args:
        classifier: over the classes.
        entities: E IRIs.
        members: (C, E) bool, class c is entity e or a kind of it.
        kernels: likeness of what is said of two classes (C, C), and of an entity and a class (E, C).
    """

    def __init__(
        self,
        classifier: EntityClassifier,
        entities: Sequence[str],
        members: np.ndarray,
        kernels: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self.classifier, self.entities = classifier, tuple(entities)
        self.has_class = members.any(0)  # (E,)
        narrowest = np.where(members, members.sum(0), np.inf)  # a class is of the narrowest of its entities
        least = narrowest.min(1, keepdims=True)
        share = (members & (narrowest == least)).astype(np.float64)
        self._share = share / np.maximum(share.sum(1, keepdims=True), 1)  # (C, E)
        self._made: np.ndarray | None = None
        if kernels is not None:
            among_classes, to_entities = kernels
            centred = classifier.weights - classifier.weights.mean(0)
            made = to_entities @ np.linalg.solve(among_classes + _RIDGE * np.eye(len(centred)), centred)  # (E, D)
            self._made = unit_rows(made)

    def chances(self, features: np.ndarray) -> np.ndarray:
        """(B, D) → (B, E); with kernels, rows summing to one."""
        logits = self.classifier.logits(features)
        own = softmax(logits) @ self._share
        if self._made is None:
            return own
        return own + (1 - own.sum(1, keepdims=True)) * softmax(unit_rows(features) @ self._made.T / _SHARPNESS)

    def candidates(self, features: np.ndarray) -> list[Candidates]:
        chances = self.chances(features)
        strength = self.classifier.logits(features).max(1)
        best = np.argsort(-chances, axis=1)[:, :_MOST]
        return [
            Candidates(tuple(self.entities[e] for e in row), chances[b, row], float(strength[b]))
            for b, row in enumerate(best)
        ]


def tree_kernel(a: np.ndarray, b: np.ndarray, information: np.ndarray) -> np.ndarray:
    """Likeness of things by what they are kinds of: Σ_n a_n b_n i_n over shared ancestors, as a cosine.

    Args:
        a, b: (A, N) and (B, N) bool, which of N entities each is a kind of.
        information: (N,), how much it says to name each.

    Returns:
        (A, B), between 0 and 1.
    """
    weigh = np.sqrt(np.maximum(information, 1e-9))
    x, y = a * weigh, b * weigh
    return unit_rows(x) @ unit_rows(y).T


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows at length one; zeros stay."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    exp = np.exp(logits - logits.max(-1, keepdims=True))
    return exp / exp.sum(-1, keepdims=True)
