"""The candidate facts of an anchor as one table of integers, and the loops over the store's rows that fill it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

#: Rows of `Neighbourhood.facts`.
NEAR, FAR, STEP, ORIGIN, PARENT, PATH, OWNER = range(7)


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The candidate facts of one anchor, hop 1 before hop 2; F facts over P different paths.

    Attributes:
        anchor: term id, 0 for what the store does not know, or for several anchors.
        facts: int64 (7, F), a row each of the following.
        path_rows: int32 (P,), rows of `GraphWalk.paths`.

    Rows of ``facts``:
        near, far: term ids of a fact's ends as it is walked; those of values are negative.
        step: 2 · the relation's place in `Surroundings.relations`, + 1 where it is walked backwards.
        origin: place in `Surroundings.origins`.
        parent: the fact that a hop-2 fact was reached through, −1 at hop 1.
        path: into ``path_rows``.
        owner: whose fact it is of several anchors, 0 of one.
    """

    anchor: int
    facts: np.ndarray
    path_rows: np.ndarray

    def __len__(self) -> int:
        return self.facts.shape[1]

    @property
    def near(self) -> np.ndarray:
        return self.facts[NEAR]

    @property
    def far(self) -> np.ndarray:
        return self.facts[FAR]

    @property
    def parent(self) -> np.ndarray:
        return self.facts[PARENT]

    @property
    def forward(self) -> np.ndarray:
        """Whether a fact is walked from head to tail, bool (F,)."""
        return self.facts[STEP] % 2 == 0

    @property
    def hop(self) -> np.ndarray:
        """1 or 2, int64 (F,)."""
        return 1 + (self.facts[PARENT] >= 0)


def joined(near: Sequence[Neighbourhood], num_paths: int) -> Neighbourhood:
    """The candidates of several anchors, one after the other; a path that several of them have stands once.

    Args:
        num_paths: all that are known, above every number in ``path_rows``.
    """
    facts = np.concatenate([one.facts for one in near], axis=1)
    rows = np.concatenate([one.path_rows for one in near])
    sizes = np.array([[len(one), len(one.path_rows)] for one in near])
    return Neighbourhood(0, facts, _merge(facts, rows, sizes, num_paths))


@njit(cache=True)
def _merge(facts: Any, path_rows: Any, sizes: Any, num_paths: int) -> Any:
    """Renumber parents, paths and owners of joined tables in place; return the different paths."""
    place_of = np.full(num_paths, -1, dtype=np.int64)
    distinct = np.empty_like(path_rows)
    number = fact = path = 0
    for owner in range(len(sizes)):
        for row in path_rows[path : path + sizes[owner, 1]]:
            if place_of[row] < 0:
                place_of[row], distinct[number] = number, row
                number += 1
        for at in range(fact, fact + sizes[owner, 0]):
            facts[OWNER, at] = owner
            facts[PATH, at] = place_of[path_rows[path + facts[PATH, at]]]
            if facts[PARENT, at] >= 0:
                facts[PARENT, at] += fact
        fact += sizes[owner, 0]
        path += sizes[owner, 1]
    return distinct[:number].copy()


@njit(cache=True)
def candidates(around: Any, anchor: int, hops: int, limit: int) -> Any:
    """The first ``limit`` facts within ``hops`` of an anchor, and the codes of their paths, int64 (P,).

    A path's code is its last step, and 2³² · (the step before it + 1).
    """
    facts = np.zeros((7, limit), dtype=np.int64)
    num_first = number = 0
    for source in range(-1, limit):  # the anchor itself, then what the first step leads to
        if source >= num_first or (source >= 0 and hops < 2) or number >= limit:
            break
        entity = anchor if source < 0 else facts[FAR, source]
        if entity <= 0 or (source >= 0 and entity == anchor):
            continue
        is_late, place = _place(around, entity)
        if place < 0:
            continue
        rows = around.patch if is_late else around.base
        if source >= 0 and not rows.is_bridge[place]:
            continue
        for at in range(rows.indptr[place], rows.indptr[place + 1]):
            if number >= limit:
                break
            if source >= 0 and rows.far[at] == anchor:
                continue  # every edge back to the anchor is a hop-1 fact already
            facts[NEAR, number], facts[FAR, number], facts[STEP, number] = entity, rows.far[at], rows.step[at]
            facts[ORIGIN, number], facts[PARENT, number] = rows.origin[at], source
            number += 1
        if source < 0:
            num_first = number
    found = facts[:, :number].copy()
    return found, _number_paths(found)


@njit(cache=True)
def _number_paths(facts: Any) -> Any:
    """Write into each fact which path it is on; return the codes of the different paths, int64 (P,)."""
    size = 16
    while size < 2 * facts.shape[1]:
        size *= 2
    codes = np.empty(facts.shape[1], dtype=np.int64)
    places = np.full(size, -1, dtype=np.int64)  # a hash table with open addressing
    number = 0
    for row in range(facts.shape[1]):
        code = facts[STEP, row]
        if facts[PARENT, row] >= 0:
            code |= (facts[STEP, facts[PARENT, row]] + 1) << 32
        at = (code ^ (code >> 29)) * 0x9E3779B1 & (size - 1)
        while places[at] >= 0 and codes[places[at]] != code:
            at = (at + 1) & (size - 1)
        if places[at] < 0:
            places[at], codes[number] = number, code
            number += 1
        facts[PATH, row] = places[at]
    return codes[:number].copy()


@njit(cache=True)
def best_steps(around: Any, entities: Any, scores: Any) -> Any:
    """The best score of a step that can be taken from each entity, 0 where there is none, float32 (N,).

    Args:
        scores: float32 (S,) of every step.

    Returns:
        Those, and the steps met whose score is NaN.
    """
    best, is_unknown = np.zeros(len(entities), dtype=np.float32), np.zeros(len(scores), dtype=np.bool_)
    for i in range(len(entities)):
        is_late, number = _place(around, entities[i])
        rows = around.patch if is_late else around.base
        if number < 0:
            continue
        steps = rows.step[rows.indptr[number] : rows.indptr[number + 1]]
        for place, step in enumerate(steps):
            is_unknown[step] |= np.isnan(scores[step])
            best[i] = scores[step] if place == 0 else max(best[i], scores[step])
    return best, np.flatnonzero(is_unknown)


@njit(cache=True)
def _place(around: Any, entity: int) -> Any:
    """Whether an entity's row is in the patch, its number there or in the base, −1 where it has none."""
    place = np.searchsorted(around.patched, entity)
    if place < len(around.patched) and around.patched[place] == entity:
        return True, place
    return False, entity if 0 <= entity < len(around.base.is_bridge) else -1
