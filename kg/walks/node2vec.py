"""Random walks: uniform over the edges, or second-order as node2vec's.

    P(next = x | at v, came from t) ∝ 1/p if x = t,  1 if x is a neighbour of t,  1/q otherwise

node2vec: Grover & Leskovec, 2016, arXiv:1607.00653; p = q = 1 is the uniform walk of DeepWalk. Instead of its alias
tables, which take memory of the order of Σ degree², a step is drawn by rejection (as in KnightKing, Yang et al., SOSP
2019): draw an edge uniformly, accept it with its weight over the greatest. The distribution is the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from kg.errors import InputError
from kg.store.snapshot import Snapshot
from kg.walks.steps import Array, Direction, below, entity_array, mixed, relation_mask, row, ways


class RandomWalks(NamedTuple):
    """B walks of at most L steps.

    Attributes:
        entities: dense numbers, (B, L + 1) int64; −1 after a walk's end, where no edge led on.
        relations: (B, L) int64, −1 likewise.
        forward: whether each step went from head to tail, (B, L) bool.
    """

    entities: Array
    relations: Array
    forward: Array


def random_walks(
    snapshot: Snapshot,
    starts: int | Iterable[int],
    length: int,
    *,
    seed: int,
    p: float = 1.0,
    q: float = 1.0,
    relations: Iterable[int] | None = None,
    direction: Direction = "both",
) -> RandomWalks:
    """Return one walk from each of B starts, of ``length`` steps; the same seed gives the same walks.

    Args:
        starts: dense numbers, (B,); repeat one for several walks from it.
        p: return parameter: above 1 a walk rather doesn't go back where it came from.
        q: in-out parameter: above 1 a walk stays near, below 1 it explores.
        relations, direction: which edges may be walked, as in ``neighbourhood``.

    Raises:
        InputError: p or q isn't positive, or a start, a relation, a length or a direction that can't be.
    """
    if not (p > 0 and q > 0 and np.isfinite(p) and np.isfinite(q)) or length < 0:
        raise InputError(f"p and q are positive and the length is 0 or more, not {p}, {q} and {length}")
    forward, backward = ways(direction)
    entities = entity_array(snapshot, starts)
    keep = relation_mask(snapshot, relations)
    draw = np.uint64(seed & 0xFFFFFFFFFFFFFFFF)
    sides = snapshot.out, snapshot.into, forward, backward
    return RandomWalks(*_walk(*sides, entities, length, keep, 1 / p, 1 / q, draw))


@njit(cache=True)
def _walk(
    out: Any,
    into: Any,
    forward: bool,
    backward: bool,
    starts: Array,
    length: int,
    keep: Array,
    back: float,
    away: float,
    seed: Any,
) -> Any:
    nodes = np.full((len(starts), length + 1), -1, dtype=np.int64)
    labels = np.full((len(starts), length), -1, dtype=np.int64)
    along = np.zeros((len(starts), length), dtype=np.bool_)
    greatest = max(1.0, max(back, away))
    for walk in range(len(starts)):
        state = mixed(seed ^ mixed(np.uint64(walk)))
        nodes[walk, 0] = starts[walk]
        for step in range(length):
            entity = nodes[walk, step]
            ahead, ahead_labels = row(out, entity)
            behind, behind_labels = row(into, entity)
            first = len(ahead) if forward else 0
            total = first + (len(behind) if backward else 0)
            allowed = total
            if len(keep) > 0:
                allowed = 0
                for edge in range(first):
                    allowed += keep[ahead_labels[edge]]
                for edge in range(total - first):
                    allowed += keep[behind_labels[edge]]
            if allowed == 0:
                break
            while True:
                state = mixed(state)
                drawn = below(state, total)
                is_ahead = drawn < first
                other = ahead[drawn] if is_ahead else behind[drawn - first]
                label = ahead_labels[drawn] if is_ahead else behind_labels[drawn - first]
                if len(keep) > 0 and not keep[label]:
                    continue
                if step > 0 and (back != 1.0 or away != 1.0):
                    came_from = nodes[walk, step - 1]
                    if other == came_from:
                        weight = back
                    elif _is_linked(out, into, forward, backward, came_from, other, keep):
                        weight = 1.0
                    else:
                        weight = away
                    state = mixed(state)
                    if np.float64(state >> np.uint64(11)) * 2.0**-53 * greatest >= weight:
                        continue
                break
            nodes[walk, step + 1], labels[walk, step], along[walk, step] = other, label, is_ahead
    return nodes, labels, along


@njit(cache=True)
def _is_linked(out: Any, into: Any, forward: bool, backward: bool, entity: Any, other: Any, keep: Array) -> bool:
    """Whether an edge that may be walked leads from ``entity`` to ``other``, by the end with fewer edges."""
    for way in range(2):
        if (way == 0 and not forward) or (way == 1 and not backward):
            continue
        mine, mine_labels = row(out, entity) if way == 0 else row(into, entity)
        theirs, their_labels = row(into, other) if way == 0 else row(out, other)
        if len(mine) <= len(theirs):
            for edge in range(len(mine)):
                if mine[edge] == other and (len(keep) == 0 or keep[mine_labels[edge]]):
                    return True
        else:
            for edge in range(len(theirs)):
                if theirs[edge] == entity and (len(keep) == 0 or keep[their_labels[edge]]):
                    return True
    return False
