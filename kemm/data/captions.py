"""Captions for pictures, generated from what the graph says of their entities. Held-out facts are never mentioned."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

from kemm.data.questions import Fact, Holdout
from kemm.objectives.losses.graph_text import enriched
from kg.records import BOOKKEEPING_RELATIONS

FORMS = ("a picture of {x}", "{x}", "this is {x}", "a photo showing {x}")


def captions(
    facts: Iterable[Fact],
    entities: Iterable[str],
    label: Callable[[str], str],
    holdout: Holdout,
    per_entity: int = 6,
    seed: int = 0,
    known: Callable[[str], tuple[Sequence[str], str]] | None = None,
) -> dict[str, list[str]]:
    """Captions by entity: its name, half of them with one or two facts that training may use.

    Args:
        facts: statements as ``(head, relation, tail)``.
        entities: the entities that have pictures.
        label: a readable name of an IRI.
        known: what an entity is, near to far, and its definition, to be written after the name of every second caption
            (K-LITE); none: names alone.
    """
    usable: dict[str, list[str]] = {entity: [] for entity in entities}
    for head, relation, tail in facts:
        if head in usable and relation not in BOOKKEEPING_RELATIONS and holdout.fact(head, relation) == "train":
            usable[head].append(f"{label(relation)} {label(tail) if isinstance(tail, str) else tail.value}")
    rng = random.Random(seed)
    made = {}
    for entity, parts in usable.items():
        texts = []
        for number in range(per_entity):
            text = FORMS[number % len(FORMS)].replace("{x}", label(entity))
            chosen = rng.sample(parts, min(len(parts), rng.choice((1, 2)))) if number % 2 and parts else []
            if known is not None and not number % 2:
                text = enriched(text, *known(entity))
            texts.append(", ".join([text, *chosen]))
        made[entity] = texts
    return made
