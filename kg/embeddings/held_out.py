"""Splits that a published set lacks: a validation split drawn from training, and entities held out of training.

DB15K as it is passed round needs the first: of the 7,481 distinct triples in its validation file 6,584 are in training
and 824 in the test split, so nothing can be chosen on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kg.embeddings.sources import draw
from kg.embeddings.triples import Array, Triples
from kg.errors import InputError


def draw_validation(triples: Triples, share: float, seed: int = 0) -> Triples:
    """Return the triples with ``share`` of training as their validation split, in place of what they had.

    Training keeps a triple of every entity and relation that it has.
    """
    train = np.asarray(triples["train"])
    drawn = draw(train, {"train": 1 - share, "valid": share}, seed)
    report = {split: dict(counts) for split, counts in triples.report.items()}
    for split, rows in drawn.items():
        loops = int((rows[:, 0] == rows[:, 2]).sum())
        known = {"duplicates": 0, "unseen_entities": 0, "dropped": 0, "in_train": 0}
        report[split] = {"triples": len(rows), **known, "self_loops": loops}
    return replace(triples, splits={**triples.splits, **drawn}, report=report)


@dataclass(frozen=True)
class HeldOut:
    """Entities that training doesn't have, and two halves of what is said of them.

    Attributes:
        triples: splits "train" without the entities, "given" and "asked".
        entities: (H,) the numbers of those held out.
    """

    triples: Triples
    entities: Array


def hold_out_entities(triples: Triples, count: int, *, least: int = 4, seed: int = 0) -> HeldOut:
    """Hold out entities with all their training triples; of each entity's, half are given and half asked for.

    Triples between two held-out entities are left out. Only training triples are used, and an entity is only drawn
    where training keeps a triple of each of its neighbours and relations.

    Args:
        count: entities to hold out.
        least: triples that such an entity has at least.

    Raises:
        InputError: there are not so many entities with so many triples.
    """
    random = np.random.default_rng(seed)
    train = np.asarray(triples["train"], dtype=np.int64)
    left = np.bincount(train[:, [0, 2]].reshape(-1), minlength=triples.num_entities)
    left_of = np.bincount(train[:, 1], minlength=triples.num_relations)
    order = np.argsort(train[:, [0, 2]].reshape(-1), kind="stable") // 2
    starts = np.concatenate([[0], np.cumsum(left)])
    is_out = np.zeros(triples.num_entities, dtype=bool)
    chosen: list[int] = []
    for entity in random.permutation(np.flatnonzero(left >= least)):
        if len(chosen) == count:
            break
        rows = train[np.unique(order[starts[entity] : starts[entity + 1]])]
        rows = rows[~is_out[rows[:, [0, 2]]].any(axis=1)]  # what training still has of it
        others, lost = np.unique(rows[:, [0, 2]], return_counts=True)
        is_other = others != entity
        relations, lost_of = np.unique(rows[:, 1], return_counts=True)
        keeps = (left[others[is_other]] > lost[is_other]).all() and (left_of[relations] > lost_of).all()
        if keeps and len(rows) >= least:
            left[others] -= lost
            left_of[relations] -= lost_of
            is_out[entity] = True
            chosen.append(int(entity))
    if len(chosen) < count:
        raise InputError(f"only {len(chosen)} entities with {least} triples can be held out, not {count}")
    touched = is_out[train[:, 0]].astype(int) + is_out[train[:, 2]]
    own = random.permutation(train[touched == 1])
    whose = np.where(is_out[own[:, 0]], own[:, 0], own[:, 2])
    ordered = np.argsort(whose, kind="stable")
    place = np.arange(len(own)) - np.searchsorted(whose[ordered], whose[ordered])
    is_given = np.zeros(len(own), dtype=bool)
    is_given[ordered] = place % 2 == 0
    splits = {"train": train[touched == 0], "given": own[is_given], "asked": own[~is_given]}
    return HeldOut(replace(triples, splits=splits, report={}), np.array(sorted(chosen)))
