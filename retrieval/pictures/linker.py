"""A picture's links with their confidence, or none; and the regions of a picture, each with a box and links.

The features of a window are the mean over its cells, so every window of a map costs one look at the scorer and none at
the tower. For a linear classifier a window's logits are the mean of its cells' (class activation maps; Zhou, Khosla,
Lapedriza, Oliva & Torralba, 2016, arXiv:1512.04150).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kg.records import Link
from retrieval.pictures import Candidates, PictureScorer
from retrieval.pictures.confidence import Confidence

#: Sides of windows as shares of the picture's shorter side.
_SIDES = (0.4, 0.55, 0.75, 1.0)
#: Windows that share more than this part of the smaller one show the same thing.
_OVERLAP = 0.3


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a picture and what it shows.

    Attributes:
        box: left, top, right, bottom, as shares of the picture's width and height.
        links: the best first; never empty.
    """

    box: tuple[float, float, float, float]
    links: tuple[Link, ...]

    @property
    def score(self) -> float:
        """The probability of its first link."""
        return self.links[0].score


class PictureLinker:
    """Links by one scorer.

    Args:
        scorer: which entities a picture may show.
        confidence: how far to believe it, and below what to name none.
    """

    def __init__(self, scorer: PictureScorer, confidence: Confidence | None = None) -> None:
        self.scorer, self.confidence = scorer, confidence or Confidence()

    def links(self, features: np.ndarray, k: int) -> list[list[Link]]:
        """Link B pictures by their mean features (B, D): at most ``k`` each, the best first, [] for none of these.

        The first link's score is the calibrated probability that it is right; the others' are to it as their chances.
        """
        found = self.scorer.candidates(features)
        judged = zip(found, self.confidence(found), self.confidence.links(found), strict=True)
        return [_links(one, float(sure), k) if shows else [] for one, sure, shows in judged]

    def regions(self, features: np.ndarray, k: int, most: int = 8) -> list[Region]:
        """Find what is where in a picture's map of features (D, h, w): at most ``most`` regions, the surest first.

        The surest window is taken, then the surest of those that overlap none taken, and so on; what names an entity
        that a surer window beside it names already is merged with it.
        """
        boxes, vectors = windows(features)
        found = self.scorer.candidates(vectors)
        sure = self.confidence(found)
        shows = self.confidence.links(found)
        left = [int(n) for n in np.argsort(-sure) if shows[n]]
        height, width = features.shape[1:]
        regions: list[Region] = []
        while left and len(regions) < most:
            best = left[0]
            first = found[best].entities[0]
            same = [n for n in left if found[n].entities[0] == first and _shared(boxes[best], boxes[n]) > _OVERLAP]
            same = [n for n in same if sure[n] >= 0.8 * sure[best]]
            box = np.concatenate([boxes[same, :2].min(0), boxes[same, 2:].max(0)])
            left = [n for n in left if n not in same and _shared(box, boxes[n]) <= _OVERLAP]
            x0, y0, x1, y1 = (box / [width, height, width, height]).tolist()
            regions.append(Region((x0, y0, x1, y1), tuple(_links(found[best], float(sure[best]), k))))
        return regions


def windows(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Square windows of a map (D, h, w), and the whole: boxes (n, 4) in cells, mean features (n, D)."""
    width, (height, across) = len(features), features.shape[1:]
    sums = np.zeros((width, height + 1, across + 1))
    sums[:, 1:, 1:] = features.cumsum(1, dtype=np.float64).cumsum(2)
    boxes = {(0, 0, across, height)}
    for side in {max(1, round(share * min(height, across))) for share in _SIDES}:
        boxes |= {(x, y, x + side, y + side) for x in range(across - side + 1) for y in range(height - side + 1)}
    chosen = np.array(sorted(boxes))
    x0, y0, x1, y1 = chosen.T
    total = sums[:, y1, x1] - sums[:, y0, x1] - sums[:, y1, x0] + sums[:, y0, x0]  # (D, n)
    return chosen, (total / ((x1 - x0) * (y1 - y0))).T.astype(np.float32)


def _links(one: Candidates, sure: float, k: int) -> list[Link]:
    scale = sure / max(float(one.chances[0]), 1e-12)
    pairs = zip(one.entities[:k], one.chances[:k], strict=True)
    return [Link(entity, min(1.0, float(chance) * scale)) for entity, chance in pairs]


def _shared(a: np.ndarray, b: np.ndarray) -> float:
    """Area in both boxes, as a share of the smaller one."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return float(max(width, 0) * max(height, 0) / smaller)
