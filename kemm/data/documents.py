"""Texts of entities as documents: sentences that follow each other, and documents that link to others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from kg.records import BOOKKEEPING_RELATIONS, Statement

_ENDS = re.compile(r"(?<=[.;!?])\s+")


def sentences(description: str, statements: Iterable[Statement], label: Callable[[str], str]) -> list[str]:
    """What is said of an entity, in order: its description's sentences, then its facts without its name.

    ``made by Holzmann``, ``capital Oslo``: the order of the graph, at most eight.
    """
    found = [part.strip(" .;") for part in _ENDS.split(description.strip())]
    for statement in statements:
        if statement.relation not in BOOKKEEPING_RELATIONS:
            tail = statement.tail
            found.append(f"{label(statement.relation)} {label(tail) if isinstance(tail, str) else tail.value}")
    return [sentence for sentence in dict.fromkeys(found) if sentence][:8]


def followed(parts: Sequence[str], rng: np.random.Generator) -> tuple[str, str] | None:
    """Two sentences that follow each other; None where there is but one."""
    if len(parts) < 2:
        return None
    first = int(rng.integers(len(parts) - 1))
    return parts[first], parts[first + 1]
