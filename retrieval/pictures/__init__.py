"""Pictures → entities: by a classifier whose classes are entities, by the pictures of entities, or by a trained model.

    features ── scorer ──► Candidates ── Confidence ──► links, or none
                    a map of features ── windows ──► regions, each with its box and link

A scorer is the contract of this package. It knows nothing of how features are made: they come from a frozen tower, as
one vector a picture (D,), or as a map (D, h, w) whose mean it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True, slots=True)
class Candidates:
    """What one picture may show, the best link first.

    Attributes:
        entities: IRIs; a thing and what it is a kind of may both be among them.
        chances: (n,) float, what the scorer holds of each, not calibrated.
        strength: how much the picture looks like any of them, in the scorer's own unit (a logit, a cosine).
    """

    entities: tuple[str, ...]
    chances: np.ndarray
    strength: float


class PictureScorer(Protocol):
    """A way to say which entities a picture shows."""

    def candidates(self, features: np.ndarray) -> list[Candidates]:
        """Candidates of B pictures' features (B, D), none where nothing is known at all."""
        ...
