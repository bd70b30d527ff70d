"""From when on a profile names a pattern, a duplicate or a contradiction."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """From when on a pattern is named one.

    Attributes:
        confidence: of symmetric, inverse, duplicate and composed relations, the share of pairs for which it holds.
        antisymmetric: at most this share of a relation's pairs has its reverse.
        support: pairs that a relation needs before anything is said of its patterns.
        functional: share of the heads of a functional relation that have one tail only.
        duplicate: share of the smaller one's (relation, neighbour) pairs that two entities of one label have in common.
        most: entries of each list.
    """

    confidence: float = 0.8
    antisymmetric: float = 0.01
    support: int = 20
    functional: float = 0.95
    duplicate: float = 0.5
    most: int = 20
