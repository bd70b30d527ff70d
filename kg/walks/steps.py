"""What every walk shares: which edges it may follow, how a compiled kernel reads a row, and its random numbers."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numba import njit

from kg.errors import InputError
from kg.store.snapshot import Snapshot

Array = np.ndarray[Any, np.dtype[Any]]
Direction = Literal["out", "in", "both"]

_ALL = np.zeros(0, dtype=np.bool_)


def entity_array(snapshot: Snapshot, entities: Any) -> Array:
    """Return dense entity numbers as (K,) int64.

    Raises:
        InputError: one of them is no entity of the snapshot.
    """
    if isinstance(entities, int) and 0 <= entities < snapshot.num_entities:  # the way of a loop over entities
        return np.array((entities,), dtype=np.int64)
    wanted = np.atleast_1d(np.asarray(entities)).astype(np.int64)
    if len(wanted) and (wanted.min() < 0 or wanted.max() >= snapshot.num_entities):
        wrong = wanted[(wanted < 0) | (wanted >= snapshot.num_entities)][0]
        raise InputError(f"entity {wrong} is not in the snapshot: it has {snapshot.num_entities:,} entities")
    return wanted


def relation_mask(snapshot: Snapshot, relations: Iterable[int] | None) -> Array:
    """Return which relations may be followed, (R,) bool; an empty array for all.

    Raises:
        InputError: one of them is no relation of the snapshot.
    """
    return _ALL if relations is None else _mask(tuple(relations), snapshot.num_relations)


@functools.lru_cache(maxsize=256)
def _mask(relations: tuple[int, ...], num_relations: int) -> Array:
    mask = np.zeros(max(num_relations, 1), dtype=np.bool_)
    for relation in relations:
        if not 0 <= relation < num_relations:
            raise InputError(f"relation {relation} is not in the snapshot: it has {num_relations:,} relations")
        mask[relation] = True
    return mask


def ways(direction: Direction) -> tuple[bool, bool]:
    """Return whether edges are followed from head to tail, and from tail to head.

    Raises:
        InputError: no such direction.
    """
    if direction not in ("out", "in", "both"):
        raise InputError(f"the direction is 'out', 'in' or 'both', not '{direction}'")
    return direction != "in", direction != "out"


@njit(cache=True, inline="always")
def row(side: Any, entity: Any) -> Any:
    """Return the other ends and the relations of an entity's edges, from the patch if it has a row there."""
    if len(side.patched):
        low, high = 0, len(side.patched)
        while low < high:
            middle = (low + high) >> 1
            if side.patched[middle] < entity:
                low = middle + 1
            else:
                high = middle
        if low < len(side.patched) and side.patched[low] == entity:
            start, stop = side.patch_indptr[low], side.patch_indptr[low + 1]
            return side.patch_indices[start:stop], side.patch_relation[start:stop]
        if entity >= len(side.indptr) - 1:
            return side.patch_indices[:0], side.patch_relation[:0]
    elif entity >= len(side.indptr) - 1:
        return side.indices[:0], side.relation[:0]
    return (
        side.indices[side.indptr[entity] : side.indptr[entity + 1]],
        side.relation[side.indptr[entity] : side.indptr[entity + 1]],
    )


@njit(cache=True, inline="always")
def mixed(state: Any) -> Any:
    """Return SplitMix64's output for a state (Steele, Lea & Flood, OOPSLA 2014): the next one is state + _GOLDEN."""
    z = np.uint64(state) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, inline="always")
def below(state: Any, bound: Any) -> Any:
    """Return a number in 0 … bound − 1 from a mixed state; the bias is below bound / 2³²."""
    return np.int64(((state >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32))
