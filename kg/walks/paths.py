"""Paths between two sets of entities: the shortest one, all shortest ones, and all simple ones up to k edges.

A path visits no entity twice; an edge may be walked against its direction where asked. Two edges of different relations
between the same entities make different paths. Simple paths are found by depth-first search from the starts, cut
wherever the goals are farther than the edges that are left: with d(v) the distance of v from the goals, a step to v
as edge i is taken only if i + d(v) ≤ k. So no branch dies that the distance can tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from kg.errors import InputError
from kg.store.snapshot import Snapshot
from kg.walks.steps import Array, Direction, entity_array, relation_mask, row, ways


class Path(NamedTuple):
    """A path of L edges.

    Attributes:
        entities: dense numbers from start to goal, (L + 1,) int64.
        relations: the relation of each edge, (L,) int64.
        forward: whether each edge is walked from its head to its tail, (L,) bool.
    """

    entities: Array
    relations: Array
    forward: Array

    def edges(self) -> Array:
        """Return the edges as (head, relation, tail), (L, 3) int64."""
        before, after = self.entities[:-1], self.entities[1:]
        heads, tails = np.where(self.forward, before, after), np.where(self.forward, after, before)
        return np.stack([heads, self.relations, tails], axis=1)


def shortest_path(
    snapshot: Snapshot,
    starts: int | Iterable[int],
    goals: int | Iterable[int],
    *,
    relations: Iterable[int] | None = None,
    direction: Direction = "both",
    longest: int | None = None,
) -> Path | None:
    """Return a shortest path from one of ``starts`` to one of ``goals``; None where there is none.

    Breadth-first search from both ends at once, the smaller frontier first. Of several shortest paths, the choice
    depends on the graph only.

    Args:
        starts, goals: dense numbers; where one is both, the path has no edge.
        relations: the relations to follow; all by default.
        direction: ``"out"`` from head to tail, ``"in"`` against it, ``"both"`` either way at each edge.
        longest: give up beyond so many edges.

    Raises:
        InputError: an entity, a relation or a direction that can't be.
    """
    forward, backward = ways(direction)
    ends = entity_array(snapshot, starts), entity_array(snapshot, goals)
    most = 2**31 - 1 if longest is None else longest
    keep = relation_mask(snapshot, relations)
    nodes, labels, along = _meet(
        snapshot.out, snapshot.into, forward, backward, *ends, keep, most, snapshot.num_entities
    )
    return Path(nodes, labels, along) if len(nodes) else None


def simple_paths(
    snapshot: Snapshot,
    starts: int | Iterable[int],
    goals: int | Iterable[int],
    longest: int = 3,
    *,
    relations: Iterable[int] | None = None,
    direction: Direction = "both",
    limit: int = 10_000,
) -> list[Path]:
    """Return all simple paths of 1 to ``longest`` edges from ``starts`` to ``goals``, the shorter ones first.

    A path ends at the first goal that it reaches, and holds no start but its first entity.

    Args:
        limit: stop after so many paths of the length that is being searched; the shorter lengths are whole.

    Raises:
        InputError: an entity, a relation, a length or a direction that can't be.
    """
    if longest < 0 or limit < 1:
        raise InputError(f"longest is 0 or more and limit 1 or more, not {longest} and {limit}")
    forward, backward = ways(direction)
    ends = entity_array(snapshot, starts), entity_array(snapshot, goals)
    keep = relation_mask(snapshot, relations)
    nodes, labels, along, lengths = _search(
        snapshot.out, snapshot.into, forward, backward, *ends, keep, longest, limit, snapshot.num_entities
    )
    return [Path(nodes[i, : n + 1].copy(), labels[i, :n].copy(), along[i, :n].copy()) for i, n in enumerate(lengths)]


@njit(cache=True)
def _meet(
    out: Any,
    into: Any,
    forward: bool,
    backward: bool,
    starts: Array,
    goals: Array,
    keep: Array,
    most: int,
    num_entities: int,
) -> Any:
    """Breadth-first search from both ends; return the entities, relations and directions of a shortest path."""
    # side 0 grows from the starts, side 1 from the goals; an entity remembers the edge by which its side reached it
    depth = np.full((2, num_entities), -1, dtype=np.int32)
    previous = np.full((2, num_entities), -1, dtype=np.int64)
    label = np.zeros((2, num_entities), dtype=np.int32)
    along = np.zeros((2, num_entities), dtype=np.bool_)
    queue = np.empty((2, num_entities), dtype=np.int64)
    first, last, radius = np.zeros(2, np.int64), np.zeros(2, np.int64), np.zeros(2, np.int64)
    for side in range(2):
        for entity in starts if side == 0 else goals:
            if depth[side, entity] < 0:
                depth[side, entity] = 0
                queue[side, last[side]] = entity
                last[side] += 1
    best, meeting = most + 1, -1
    for entity in queue[0, : last[0]]:
        if depth[1, entity] == 0 and best > 0:
            best, meeting = 0, entity
    while best > radius[0] + radius[1] + 1 and last[0] > first[0] and last[1] > first[1]:
        side = 0 if last[0] - first[0] <= last[1] - first[1] else 1
        stop = last[side]
        for at in range(first[side], stop):
            entity = queue[side, at]
            for way in range(2):
                # side 1 looks backwards: it follows into-rows where the path walks forward
                if (way == 0 and not forward) or (way == 1 and not backward):
                    continue
                others, labels = row(out, entity) if (way == 0) == (side == 0) else row(into, entity)
                for edge in range(len(others)):
                    other = others[edge]
                    if depth[side, other] >= 0 or (len(keep) > 0 and not keep[labels[edge]]):
                        continue
                    depth[side, other] = radius[side] + 1
                    previous[side, other], label[side, other], along[side, other] = entity, labels[edge], way == 0
                    queue[side, last[side]] = other
                    last[side] += 1
                    if depth[1 - side, other] >= 0 and depth[0, other] + depth[1, other] < best:
                        best, meeting = depth[0, other] + depth[1, other], other
        first[side] = stop
        radius[side] += 1
    if meeting < 0:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.bool_)
    nodes, labels_, ways_ = np.empty(best + 1, np.int64), np.empty(best, np.int64), np.empty(best, np.bool_)
    middle = depth[0, meeting]
    nodes[middle] = meeting
    entity = meeting
    for place in range(middle - 1, -1, -1):
        labels_[place], ways_[place] = label[0, entity], along[0, entity]
        entity = previous[0, entity]
        nodes[place] = entity
    entity = meeting
    for place in range(middle, best):
        labels_[place], ways_[place] = label[1, entity], along[1, entity]
        entity = previous[1, entity]
        nodes[place + 1] = entity
    return nodes, labels_, ways_


@njit(cache=True)
def _search(
    out: Any,
    into: Any,
    forward: bool,
    backward: bool,
    starts: Array,
    goals: Array,
    keep: Array,
    longest: int,
    limit: int,
    num_entities: int,
) -> Any:
    """Depth-first search, once for every length; return the paths as padded rows, and their lengths."""
    far = _distances(out, into, forward, backward, goals, keep, longest, num_entities)
    is_start = np.zeros(num_entities, dtype=np.bool_)
    for start in starts:
        is_start[start] = True
    capacity = 64
    nodes = np.empty((capacity, longest + 1), dtype=np.int64)
    labels = np.empty((capacity, longest), dtype=np.int64)
    along = np.empty((capacity, longest), dtype=np.bool_)
    lengths = np.empty(capacity, dtype=np.int64)
    count = 0
    path, label, ahead = np.empty(longest + 1, np.int64), np.empty(longest, np.int64), np.empty(longest, np.bool_)
    way, edge = np.zeros(longest + 1, np.int64), np.zeros(longest + 1, np.int64)
    tried = np.zeros(num_entities, dtype=np.bool_)
    for length in range(1, longest + 1):
        if count >= limit:
            break
        tried[:] = False
        for start in starts:
            if tried[start] or far[start] > length or far[start] == 0:
                continue
            tried[start] = True
            depth = 0
            path[0], way[0], edge[0] = start, 0, 0
            while depth >= 0 and count < limit:
                entity = path[depth]
                if way[depth] == 2:
                    depth -= 1
                    continue
                if (way[depth] == 0 and not forward) or (way[depth] == 1 and not backward):
                    way[depth], edge[depth] = way[depth] + 1, 0
                    continue
                others, names = row(out, entity) if way[depth] == 0 else row(into, entity)
                if edge[depth] >= len(others):
                    way[depth], edge[depth] = way[depth] + 1, 0
                    continue
                other, name = others[edge[depth]], names[edge[depth]]
                edge[depth] += 1
                left = length - depth - 1
                if far[other] > left or (far[other] == 0) != (left == 0) or is_start[other]:
                    continue
                if len(keep) > 0 and not keep[name]:
                    continue
                is_new = True
                for earlier in range(depth + 1):
                    if path[earlier] == other:
                        is_new = False
                        break
                if not is_new:
                    continue
                label[depth], ahead[depth] = name, way[depth] == 0
                path[depth + 1] = other
                if left > 0:
                    depth += 1
                    way[depth], edge[depth] = 0, 0
                    continue
                if count == capacity:
                    capacity *= 2
                    nodes, labels = _more(nodes, capacity), _more(labels, capacity)
                    along = _more(along, capacity)
                    longer = np.empty(capacity, dtype=np.int64)
                    longer[:count] = lengths
                    lengths = longer
                nodes[count, : length + 1], labels[count, :length] = path[: length + 1], label[:length]
                along[count, :length] = ahead[:length]
                lengths[count] = length
                count += 1
    return nodes[:count], labels[:count], along[:count], lengths[:count]


@njit(cache=True)
def _more(rows: Array, capacity: int) -> Array:
    bigger = np.empty((capacity, rows.shape[1]), dtype=rows.dtype)
    bigger[: len(rows)] = rows
    return bigger


@njit(cache=True)
def _distances(
    out: Any, into: Any, forward: bool, backward: bool, goals: Array, keep: Array, most: int, num_entities: int
) -> Array:
    """Return every entity's distance to the nearest goal in edges, (E,) int32, 2³⁰ beyond ``most``."""
    far = np.full(num_entities, 2**30, dtype=np.int32)
    queue = np.empty(num_entities, dtype=np.int64)
    last = 0
    for goal in goals:
        if far[goal] > 0:
            far[goal] = 0
            queue[last] = goal
            last += 1
    first = 0
    while first < last:
        entity = queue[first]
        first += 1
        if far[entity] >= most:
            break
        for way in range(2):
            if (way == 0 and not forward) or (way == 1 and not backward):
                continue
            others, labels = row(into, entity) if way == 0 else row(out, entity)
            for edge in range(len(others)):
                other = others[edge]
                if far[other] == 2**30 and (len(keep) == 0 or keep[labels[edge]]):
                    far[other] = far[entity] + 1
                    queue[last] = other
                    last += 1
    return far
