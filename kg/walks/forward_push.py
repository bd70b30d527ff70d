"""Personalised PageRank by forward push, with a bound on its error that is known when it stops.

    π = (1 − d) s + d Pᵀ π          s the distribution over the seeds, d the damping, P the random walk's steps

Push (Andersen, Chung & Lang, FOCS 2006): beside the estimate p keep a residual r, at first p = 0 and r = s. To push u
moves (1 − d) r(u) to p(u) and spreads d r(u) over the neighbours of u. At every moment

    π = p + Σ_u r(u) π_u,   hence   0 ≤ π(v) − p(v)   and   ‖π − p‖₁ = Σ_u r(u)

whatever the graph, and pushing goes on until Σ r ≤ error. As in PowerPush (Wu et al., SIGMOD 2021, arXiv:2101.03652)
the entities reached so far are swept over in turn, and one is pushed if it holds more than its share by degree,
r(u) > deg(u) Σ r / (SLACK Σ deg): small residuals wait until they have grown. An entity from which no edge leads jumps
to the seeds, as in networkx, with which this agrees within both errors.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from kg.errors import InputError
from kg.store.snapshot import Snapshot
from kg.walks.steps import Array, Direction, entity_array, relation_mask, row, ways

#: How far below its share an entity's residual may be and still be pushed. It must be above 1, or a sweep may push
#: nothing; 2 was the fastest of 1.5, 2 and 4 on FB15k-237.
SLACK = 2.0


class Ranking(NamedTuple):
    """K entities, the most relevant first.

    Attributes:
        entities: dense numbers, (K,) int64; equal scores by number.
        scores: lower bounds of their PageRank, (K,) float64.
        error: Σ_v (π(v) − p(v)) over all entities, so no score is off by more.
    """

    entities: Array
    scores: Array
    error: float


def pagerank(
    snapshot: Snapshot,
    seeds: int | Iterable[int] | Mapping[int, float],
    *,
    top: int | None = 100,
    damping: float = 0.85,
    error: float = 1e-3,
    relations: Iterable[int] | None = None,
    direction: Direction = "both",
) -> Ranking:
    """Return the entities of the highest personalised PageRank around all of ``seeds`` together.

    Args:
        seeds: dense numbers, weighted alike or by a mapping number → weight.
        top: how many entities at most; None for all with a positive score.
        damping: d, the probability to walk on rather than jump back to the seeds.
        error: bound on ‖π − p‖₁. A tenth of it takes about 1.3 times as long.
        relations, direction: which edges may be walked, as in ``neighbourhood``; parallel edges count each.

    Raises:
        InputError: no seeds, or a seed, a weight, a damping, an error, a relation or a direction that can't be.
    """
    numbers = list(seeds) if isinstance(seeds, Mapping) else seeds
    entities = entity_array(snapshot, numbers)
    weights = np.array(list(seeds.values()), dtype=float) if isinstance(seeds, Mapping) else np.ones(len(entities))
    if not len(entities) or not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
        raise InputError("PageRank needs seeds, with weights from 0 on that are not all 0")
    groups = np.array([0, len(entities)])
    return _rank(snapshot, entities, groups, weights / weights.sum(), top, damping, error, relations, direction)[0]


def pageranks(
    snapshot: Snapshot,
    seeds: Iterable[int],
    *,
    top: int | None = 100,
    damping: float = 0.85,
    error: float = 1e-3,
    relations: Iterable[int] | None = None,
    direction: Direction = "both",
) -> list[Ranking]:
    """Return the ranking around each of the seeds by itself, as ``pagerank`` gives it."""
    entities = entity_array(snapshot, seeds)
    groups, weights = np.arange(len(entities) + 1), np.ones(len(entities))
    return _rank(snapshot, entities, groups, weights, top, damping, error, relations, direction)


def _rank(
    snapshot: Snapshot,
    seeds: Array,
    groups: Array,
    weights: Array,
    top: int | None,
    damping: float,
    error: float,
    relations: Iterable[int] | None,
    direction: Direction,
) -> list[Ranking]:
    if not 0 <= damping < 1 or not 0 < error < 1 or (top is not None and top < 1):
        raise InputError(f"0 ≤ damping < 1, 0 < error < 1 and top ≥ 1, not {damping}, {error} and {top}")
    forward, backward = ways(direction)
    keep = relation_mask(snapshot, relations)
    degrees = _degrees(snapshot.out, snapshot.into, forward, backward, keep, snapshot.num_entities)
    estimate, residual = np.zeros(snapshot.num_entities), np.zeros(snapshot.num_entities)
    reached, is_reached = np.empty(snapshot.num_entities, np.int64), np.zeros(snapshot.num_entities, np.bool_)
    found = []
    for start, stop in itertools.pairwise(groups.tolist()):
        mine = seeds[start:stop], weights[start:stop]
        sides = snapshot.out, snapshot.into, forward, backward, keep, degrees
        left, count = _push(*sides, *mine, damping, error, estimate, residual, reached, is_reached)
        touched = np.sort(reached[:count])
        places, scores = _best(estimate[touched], top)
        found.append(Ranking(touched[places], scores, left))
        estimate[touched], residual[touched], is_reached[touched] = 0, 0, False
    return found


def _best(scores: Array, top: int | None) -> tuple[Array, Array]:
    """Return the numbers and values of the highest positive scores, the highest first, equal ones by number."""
    if top is not None and top < len(scores):
        least = np.partition(scores, len(scores) - top)[len(scores) - top]
        places = np.flatnonzero(scores >= max(least, np.finfo(float).tiny))
    else:
        places = np.flatnonzero(scores > 0)
    order = places[np.argsort(-scores[places], kind="stable")][:top]
    return order, scores[order]


@njit(cache=True)
def _degrees(out: Any, into: Any, forward: bool, backward: bool, keep: Array, num_entities: int) -> Array:
    """Return how many edges may be walked from each entity, (E,) int64."""
    degrees = np.zeros(num_entities, dtype=np.int64)
    for entity in range(num_entities):
        for way in range(2):
            if (way == 0 and not forward) or (way == 1 and not backward):
                continue
            labels = row(out, entity)[1] if way == 0 else row(into, entity)[1]
            if len(keep) == 0:
                degrees[entity] += len(labels)
            else:
                for label in labels:
                    degrees[entity] += keep[label]
    return degrees


@njit(cache=True)
def _push(
    out: Any,
    into: Any,
    forward: bool,
    backward: bool,
    keep: Array,
    degrees: Array,
    seeds: Array,
    weights: Array,
    damping: float,
    error: float,
    estimate: Array,
    residual: Array,
    reached: Array,
    is_reached: Array,
) -> Any:
    """Sweep over the reached entities until Σ r ≤ ``error``; return Σ r and how many were reached."""
    count, volume = 0, 0
    for number in range(len(seeds)):
        seed = seeds[number]
        residual[seed] += weights[number]
        if not is_reached[seed]:
            is_reached[seed] = True
            reached[count] = seed
            count += 1
            volume += max(degrees[seed], 1)
    while True:
        total = 0.0
        for place in range(count):
            total += residual[reached[place]]
        if total <= error:
            return total, count
        threshold = total / (SLACK * volume)
        dangling = 0.0  # given back to the seeds once a sweep
        place = 0
        while place < count:  # what a push reaches first is pushed in the same sweep
            entity = reached[place]
            place += 1
            amount, degree = residual[entity], degrees[entity]
            if amount <= threshold * degree:
                continue
            residual[entity] = 0.0
            estimate[entity] += (1 - damping) * amount
            if degree == 0:
                dangling += damping * amount
                continue
            share = damping * amount / degree
            for way in range(2):
                if (way == 0 and not forward) or (way == 1 and not backward):
                    continue
                others, labels = row(out, entity) if way == 0 else row(into, entity)
                for edge in range(len(others)):
                    if len(keep) > 0 and not keep[labels[edge]]:
                        continue
                    other = others[edge]
                    residual[other] += share
                    if not is_reached[other]:
                        is_reached[other] = True
                        reached[count] = other
                        count += 1
                        volume += max(degrees[other], 1)
        for number in range(len(seeds)):
            residual[seeds[number]] += dangling * weights[number]
