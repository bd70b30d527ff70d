"""The entities within k hops, with limits on the fan-out: the first edges of each, or a random sample.

As in GraphSAGE (Hamilton, Ying & Leskovec, 2017, arXiv:1706.02216) every entity is expanded once, by at most
``fan_out[h]`` edges at hop h. Unlike there, without a seed the first edges are taken (in the order relation, other
end), so that a graph has one answer; with a seed, edges are drawn without replacement. The draw depends on the seed,
the start and the entity only: one by one or together, the neighbourhood of an entity is the same.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from kg.errors import InputError
from kg.store.snapshot import Snapshot
from kg.walks.steps import Array, Direction, below, entity_array, mixed, relation_mask, row, ways

#: Buffers start with at most this many edges, and double.
_FIRST = 4_096
_ONE = np.array([0, 1])

#: The most edges to follow from an entity at each hop, of all relations together or of each by its dense number.
FanOut = Sequence[int] | Mapping[int, Sequence[int]]
_scratch = threading.local()


class Neighbourhood(NamedTuple):
    """N entities and M edges around some starts.

    Attributes:
        entities: dense numbers, (N,) int32 or int64, the starts first, then in the order in which they were reached.
        hops: the distance of each from the starts, (N,) int16, along the edges that were taken.
        heads, tails: places in ``entities``, (M,) int32.
        relations: dense numbers, (M,) int32. No edge comes twice.
    """

    entities: Array
    hops: Array
    heads: Array
    relations: Array
    tails: Array

    def edges(self) -> Array:
        """Return the edges as dense numbers (head, relation, tail), (M, 3) int64."""
        heads, tails = self.entities[self.heads], self.entities[self.tails]
        return np.stack([heads, self.relations, tails], axis=1).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Neighbourhoods:
    """B neighbourhoods in shared arrays; ``found[b]`` is the b-th.

    Its entities are ``entities[entity_indptr[b]:entity_indptr[b + 1]]``, its edges those of ``edge_indptr``; heads and
    tails are places in its own entities.
    """

    entities: Array
    hops: Array
    heads: Array
    relations: Array
    tails: Array
    entity_indptr: Array
    edge_indptr: Array

    def __len__(self) -> int:
        return len(self.entity_indptr) - 1

    def __getitem__(self, place: int) -> Neighbourhood:
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        place %= len(self)
        nodes = slice(int(self.entity_indptr[place]), int(self.entity_indptr[place + 1]))
        edges = slice(int(self.edge_indptr[place]), int(self.edge_indptr[place + 1]))
        parts = self.heads[edges], self.relations[edges], self.tails[edges]
        return Neighbourhood(self.entities[nodes], self.hops[nodes], *parts)

    def __iter__(self) -> Iterator[Neighbourhood]:
        return (self[place] for place in range(len(self)))


def neighbourhood(
    snapshot: Snapshot,
    entities: int | Iterable[int],
    fan_out: FanOut = (16, 16),
    *,
    relations: Iterable[int] | None = None,
    direction: Direction = "both",
    seed: int | None = None,
) -> Neighbourhood:
    """Return one neighbourhood around all of ``entities`` together.

    Args:
        entities: dense numbers; the same one twice counts once.
        fan_out: for each hop, the most edges to follow from an entity in each direction; −1 for all. By relation, those
            of each relation that is named; the others are not followed.
        relations: dense numbers of the relations to follow; all by default.
        direction: ``"out"`` from head to tail, ``"in"`` from tail to head, or ``"both"``.
        seed: draw edges at random rather than take the first ones.

    Raises:
        InputError: an entity, a relation, a fan-out or a direction that can't be.
    """
    starts = entity_array(snapshot, entities)
    groups = _ONE if len(starts) == 1 else np.array([0, len(starts)])
    return Neighbourhood(*_run(snapshot, starts, groups, fan_out, relations, direction, seed)[:5])


def neighbourhoods(
    snapshot: Snapshot,
    entities: Iterable[int],
    fan_out: FanOut = (16, 16),
    *,
    relations: Iterable[int] | None = None,
    direction: Direction = "both",
    seed: int | None = None,
) -> Neighbourhoods:
    """Return the neighbourhood of each of B entities, as ``neighbourhood`` gives it for each by itself."""
    starts = entity_array(snapshot, entities)
    groups = np.arange(len(starts) + 1)
    return Neighbourhoods(*_run(snapshot, starts, groups, fan_out, relations, direction, seed))


def _run(
    snapshot: Snapshot,
    starts: Array,
    groups: Array,
    fan_out: FanOut,
    relations: Iterable[int] | None,
    direction: Direction,
    seed: int | None,
) -> Any:
    if isinstance(fan_out, Mapping):
        limits = _limits_by_relation(snapshot, fan_out)
    else:
        limits = _limits(tuple(fan_out))
    forward, backward = ways(direction)
    keep = relation_mask(snapshot, relations)
    if getattr(_scratch, "size", -1) < snapshot.num_entities:
        _scratch.size = snapshot.num_entities
        _scratch.seen = np.zeros((snapshot.num_entities, 2), dtype=np.int64)  # (stamp of the group, place in it)
        _scratch.stamp = 0
    first = _scratch.stamp + 1
    _scratch.stamp += len(groups) - 1
    draw = np.uint64(0 if seed is None else seed & 0xFFFFFFFFFFFFFFFF)
    sides = snapshot.out, snapshot.into, forward, backward
    return _expand(*sides, starts, groups, limits, keep, seed is not None, draw, _scratch.seen, first)


@functools.lru_cache(maxsize=256)
def _limits(fan_out: tuple[int, ...]) -> Array:
    """Return the fan-outs as (H, 1) int64, −1 as a number that no degree exceeds."""
    if any(int(limit) != limit or limit < -1 for limit in fan_out):
        raise InputError(f"a fan-out is a whole number from 0 on, or -1 for all edges, not {fan_out}")
    return np.array([2**62 if limit == -1 else limit for limit in fan_out], dtype=np.int64).reshape(-1, 1)


def _limits_by_relation(snapshot: Snapshot, fan_out: Mapping[int, Sequence[int]]) -> Array:
    """Return the fan-outs as (H, R) int64, 0 for relations that are not named."""
    relation_mask(snapshot, fan_out)  # tells of relations that there are not
    hops = {len(limits) for limits in fan_out.values()}
    if len(hops) != 1:
        raise InputError(f"every relation's fan-outs must be of as many hops, not of {sorted(hops)}")
    table = np.zeros((hops.pop(), max(snapshot.num_relations, 1)), dtype=np.int64)
    for relation, limits in fan_out.items():
        table[:, relation] = _limits(tuple(limits))[:, 0]
    return table


@njit(cache=True)
def _grown(array: Array) -> Array:
    bigger = np.empty(2 * len(array), dtype=array.dtype)
    bigger[: len(array)] = array
    return bigger


@njit(cache=True, inline="always")
def _pick(labels: Array, keep: Array, limit: int, is_random: bool, state: Any, picked: Array) -> int:
    """Put the places in a row of the edges to follow into ``picked``; return how many."""
    size, count = len(labels), 0
    if len(keep) == 0:
        if not is_random or size <= limit:
            count = min(size, limit)
            for place in range(count):
                picked[place] = place
            return count
        for last in range(size - limit, size):  # Floyd's sampling (Bentley & Floyd, CACM 1987)
            state = mixed(state)
            drawn = below(state, last + 1)
            for earlier in range(count):
                if picked[earlier] == drawn:
                    drawn = last
                    break
            picked[count] = drawn
            count += 1
        return count
    matching = 0
    for place in range(size):
        if not keep[labels[place]]:
            continue
        if count < limit:
            picked[count] = place
            count += 1
        elif is_random:  # reservoir sampling, algorithm R (Vitter, 1985)
            state = mixed(state)
            drawn = below(state, matching + 1)
            if drawn < limit:
                picked[drawn] = place
        else:
            break
        matching += 1
    return count


@njit(cache=True)
def _pick_by_relation(labels: Array, keep: Array, limits: Array, is_random: bool, state: Any, picked: Array) -> int:
    """Do the same with a limit for each relation; the edges of a row are sorted by relation."""
    start, count = 0, 0
    while start < len(labels):
        label = labels[start]
        stop = start + np.searchsorted(labels[start:], label, side="right")
        if limits[label] > 0 and (len(keep) == 0 or keep[label]):
            drawn = mixed(state ^ mixed(np.uint64(label))) if is_random else state
            more = _pick(labels[start:stop], keep[:0], limits[label], is_random, drawn, picked[count:])
            picked[count : count + more] += start
            count += more
        start = stop
    return count


@njit(cache=True)
def _expand(
    out: Any,
    into: Any,
    forward: bool,
    backward: bool,
    starts: Array,
    groups: Array,
    limits: Array,
    keep: Array,
    is_random: bool,
    seed: Any,
    seen: Array,
    first_stamp: int,
) -> Any:
    """Expand every group of starts; ``seen`` (E, 2) is scratch that remembers stamps from call to call."""
    bound = 1
    width = 1
    by_relation = limits.shape[1] > 1
    for hop in range(len(limits)):
        most = 0
        for limit in limits[hop]:
            most = min(most + min(limit, _FIRST), _FIRST)
        width = min(width * most * (int(forward) + int(backward)), _FIRST)
        bound = min(bound + width, _FIRST)
    capacity = bound * (len(groups) - 1) + len(starts)
    entities = np.empty(capacity, dtype=out.indices.dtype)
    hops = np.empty(capacity, dtype=np.int16)
    heads = np.empty(capacity, dtype=np.int32)
    relations = np.empty(capacity, dtype=np.int32)
    tails = np.empty(capacity, dtype=np.int32)
    entity_indptr = np.zeros(len(groups), dtype=np.int64)
    edge_indptr = np.zeros(len(groups), dtype=np.int64)
    picked = np.empty(64, dtype=np.int64)
    both = forward and backward
    slots = np.full(256 if both else 1, -1, dtype=np.int64)  # hash table of the group's edges, by number
    num_entities, num_edges = 0, 0
    for group in range(len(groups) - 1):
        stamp, base, first_edge = first_stamp + group, num_entities, num_edges
        if both:
            slots[:] = -1
        for start in starts[groups[group] : groups[group + 1]]:
            if seen[start, 0] != stamp:
                seen[start, 0], seen[start, 1] = stamp, num_entities - base
                entities[num_entities], hops[num_entities] = start, 0
                num_entities += 1
        key = seed
        if is_random and num_entities > base:
            key = mixed(seed ^ mixed(np.uint64(entities[base])))
        frontier, hop = base, 0
        for limits_now in limits:
            hop += 1
            limit = limits_now[0]
            stop = num_entities
            for at in range(frontier, stop):
                entity = entities[at]
                for way in range(2):
                    if (way == 0 and not forward) or (way == 1 and not backward):
                        continue
                    others, labels = row(out, entity) if way == 0 else row(into, entity)
                    most = len(labels) if by_relation else min(len(labels), limit)
                    if most > len(picked):
                        picked = np.empty(2 * most, dtype=np.int64)
                    state = key
                    if is_random:
                        state = mixed(key ^ mixed(np.uint64(2 * entity + way)))
                    if by_relation:
                        count = _pick_by_relation(labels, keep, limits_now, is_random, state, picked)
                    else:
                        count = _pick(labels, keep, limit, is_random, state, picked)
                    while num_edges + count > len(heads):
                        heads, relations, tails = _grown(heads), _grown(relations), _grown(tails)
                    while num_entities + count > len(entities):
                        entities, hops = _grown(entities), _grown(hops)
                    for number in range(count):
                        other, label = others[picked[number]], labels[picked[number]]
                        if seen[other, 0] != stamp:
                            seen[other, 0], seen[other, 1] = stamp, num_entities - base
                            entities[num_entities], hops[num_entities] = other, hop
                            num_entities += 1
                        place = seen[other, 1]
                        head, tail = (at - base, place) if way == 0 else (place, at - base)
                        heads[num_edges], relations[num_edges], tails[num_edges] = head, label, tail
                        if both:
                            if 2 * (num_edges - first_edge + 1) > len(slots):
                                slots = np.full(2 * len(slots), -1, dtype=np.int64)
                                for edge in range(first_edge, num_edges):
                                    slots[_slot(slots, heads, relations, tails, edge)] = edge
                            slot = _slot(slots, heads, relations, tails, num_edges)
                            if slots[slot] >= 0:
                                continue
                            slots[slot] = num_edges
                        num_edges += 1
            frontier = stop
        entity_indptr[group + 1], edge_indptr[group + 1] = num_entities, num_edges
    nodes, edges = slice(0, num_entities), slice(0, num_edges)
    return entities[nodes], hops[nodes], heads[edges], relations[edges], tails[edges], entity_indptr, edge_indptr


@njit(cache=True, inline="always")
def _slot(slots: Array, heads: Array, relations: Array, tails: Array, edge: Any) -> Any:
    """Return the place of an edge in the hash table: where an equal one is, or the free one for it."""
    head, relation, tail = heads[edge], relations[edge], tails[edge]
    mask = len(slots) - 1
    spread = np.uint64(head) * np.uint64(0x1000003) ^ (np.uint64(tail) << np.uint64(21)) ^ np.uint64(relation)
    slot = np.int64(mixed(spread) & np.uint64(mask))
    while slots[slot] >= 0:
        other = slots[slot]
        if heads[other] == head and tails[other] == tail and relations[other] == relation:
            break
        slot = (slot + 1) & mask
    return slot
