"""Figures with their uncertainty: matching of answers, accuracy with a Wilson interval, ranks."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

#: Words that may follow a number without changing what it says.
UNITS = frozenset(
    """
    g gram grams mg milligram milligrams kg kilogram kilograms kcal kilocalorie kilocalories calories kj kilojoule
    kilojoules ml cl dl l litre litres liter liters km km2 km² m m2 m² square kilometre kilometres kilometer kilometers
    percent people inhabitants per 100
    """.split()  # noqa: SIM905
)


def normalise(answer: str) -> str:
    """An answer as it is compared: case, spaces, a leading article and unit words after a number don't count.

    "9.50 g" and "9.5" are the same; "2l" and "2 l" are the same; "-5" and "5" are not.
    """
    text = unicodedata.normalize("NFKC", answer).casefold().strip()
    text = re.sub(r"^(the|a|an)\s+", "", " ".join(text.split()))
    match = re.fullmatch(r"([-+]?\d[\d,  ]*(?:\.\d+)?)\s*(.*)", text)
    if match and all(word in UNITS for word in re.split(r"[\s/]+|%", match[2]) if word):
        try:
            return repr(float(match[1].replace(",", "").replace(" ", "")))
        except ValueError:
            pass
    return text.replace(" ", "").rstrip(".")


def is_right(answer: str, accepted: Iterable[str]) -> bool:
    """Whether an answer is one of those accepted."""
    return normalise(answer) in set(map(normalise, accepted))


def wilson(right: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % Wilson score interval of a proportion (Wilson, 1927).

    (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n)
    """
    if total == 0:
        return 0.0, 1.0
    p = right / total
    centre, spread = p + z * z / (2 * total), z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def accuracy(right: Sequence[bool]) -> dict[str, object]:
    """``{"accuracy", "ci95": [low, high], "n"}``."""
    low, high = wilson(sum(right), len(right))
    return {
        "accuracy": round(sum(right) / max(1, len(right)), 4),
        "ci95": [round(low, 4), round(high, 4)],
        "n": len(right),
    }


def filtered_rank(scores: np.ndarray, target: int, true: Sequence[int]) -> float:
    """The rank of ``target`` among the candidates, other true answers left out; ties count half.

    1 + #higher + ½ #equal, the mean over the orders that ties could stand in (the "realistic" rank).
    """
    kept = np.ones(len(scores), dtype=bool)
    kept[list(true)] = False
    others = scores[kept]
    return 1.0 + float((others > scores[target]).sum()) + 0.5 * float((others == scores[target]).sum())
