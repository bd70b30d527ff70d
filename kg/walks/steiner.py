"""A compact connected subgraph that holds the entities that matter: the prize-collecting Steiner tree.

    minimise over trees T   c(T) + π(V ∖ T),     c(T) = Σ_{e ∈ T} c_e  the cost of its edges,
                                                 π(V ∖ T) the prizes that it leaves out

Solved within a factor of 2 by growing moats (Goemans & Williamson, SIAM J. Comput. 1995) without a root, and strong
pruning (Johnson, Minkoff & Phillips, SODA 2000). Every entity with a prize grows a moat at speed 1 until the prizes
inside are used up; where the moats from both ends of an edge add up to its cost, the edge joins them. From the forest
of these edges, the subtree of the greatest Σ π − Σ c is kept. Edges count without direction.

Only what the moats reach is looked at, so a few prizes in a large graph cost little. In question answering:
G-Retriever (He et al., 2024, arXiv:2402.07630).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from kg.errors import InputError
from kg.store.snapshot import Snapshot
from kg.walks.steps import Array, entity_array, relation_mask, row

#: Sums of moats may differ from a cost by so much of it through rounding.
_ROUNDING = 1e-9


class SteinerTree(NamedTuple):
    """A tree of N entities and N − 1 edges; empty when there is no prize.

    Attributes:
        entities: dense numbers, (N,) int64, ascending.
        edges: dense numbers (head, relation, tail), (N − 1, 3) int64, ascending.
        prize: Σ π over its entities; cost: Σ c over its edges.
    """

    entities: Array
    edges: Array
    prize: float
    cost: float


def steiner_tree(
    snapshot: Snapshot,
    prizes: Mapping[int, float],
    cost: float | Mapping[int, float] = 1.0,
    *,
    relations: Iterable[int] | None = None,
) -> SteinerTree:
    """Return a tree with c(T) + π(V ∖ T) at most twice that of the best tree.

    Args:
        prizes: dense number of an entity → its prize, 0 or more; entities without one have 0.
        cost: of an edge, 0 or more: one for all, or dense number of a relation → cost (others cost 1).
        relations: which edges there are, as in ``neighbourhood``; all by default.

    Raises:
        InputError: a prize or a cost is negative or not finite, or an entity or a relation can't be.
    """
    entities = entity_array(snapshot, list(prizes))
    values = np.array([prizes[number] for number in prizes], dtype=np.float64)
    costs = np.full(max(snapshot.num_relations, 1), cost if not isinstance(cost, Mapping) else 1.0, dtype=np.float64)
    if isinstance(cost, Mapping):
        relation_mask(snapshot, cost)  # are they relations?
        costs[list(cost)] = list(cost.values())
    if not (np.isfinite(values).all() and np.isfinite(costs).all() and (values >= 0).all() and (costs >= 0).all()):
        raise InputError("prizes and costs of a Steiner tree are finite and not negative")
    if not (values > 0).any():
        return SteinerTree(np.zeros(0, np.int64), np.zeros((0, 3), np.int64), 0.0, 0.0)
    keep = relation_mask(snapshot, relations)
    forest = _grow(snapshot.out, snapshot.into, entities[values > 0], values[values > 0], costs, keep)
    prize = dict(zip(entities.tolist(), values.tolist()))
    nodes = np.unique(np.concatenate([entities[values > 0], forest[:, 0], forest[:, 2]]))
    ends = np.searchsorted(nodes, forest[:, [0, 2]])
    worth = np.array([prize.get(node, 0.0) for node in nodes.tolist()])
    in_tree, is_kept = _prune(ends, costs[forest[:, 1]], worth)
    edges = forest[is_kept]
    edges = edges[np.lexsort(edges.T[::-1])]
    return SteinerTree(nodes[in_tree], edges, float(worth[in_tree].sum()), float(costs[edges[:, 1]].sum()))


@njit(cache=True)
def _grow(out: Any, into: Any, starts: Array, prizes: Array, costs: Array, keep: Array) -> Array:
    """Grow moats until all prizes are used up; return the edges that became tight between clusters, (M, 3).

    Entities are numbered as the moats reach them. ``moat[v]`` is how much of v's moat is not its cluster's (a weighted
    union–find); a cluster's own is ``grown`` plus the time since ``since`` while it is active.
    """
    number_of: Any = {starts[0]: np.int64(0)}
    names: Any = [np.int64(0) for _ in range(0)]
    parent: Any = [np.int64(0) for _ in range(0)]
    moat, grown = [0.0 for _ in range(0)], [0.0 for _ in range(0)]
    since, budget = [0.0 for _ in range(0)], [0.0 for _ in range(0)]
    active = [False for _ in range(0)]
    following: Any = [np.int64(0) for _ in range(0)]  # a cluster's members, chained
    last: Any = [np.int64(0) for _ in range(0)]
    tight: Any = [(np.int64(0), np.int64(0), np.int64(0)) for _ in range(0)]
    # events: (time, 0, cluster, …) its prizes are used up; (time, 1, from, to, relation, way) an edge may be tight
    events: Any = [(0.0, np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0)) for _ in range(0)]
    num_active = 0
    for number in range(len(starts)):
        number_of[starts[number]] = number
        names.append(starts[number])
        parent.append(number)
        moat.append(0.0)
        grown.append(0.0)
        since.append(0.0)
        budget.append(prizes[number])
        active.append(True)
        following.append(-1)
        last.append(number)
        num_active += 1
        heapq.heappush(events, (prizes[number], np.int64(0), np.int64(number), np.int64(0), np.int64(0), np.int64(0)))
    now = 0.0
    waking: Any = [
        np.int64(number) for number in range(len(starts))
    ]  # members of clusters whose edges are to be watched
    while num_active > 0:
        for member in waking:
            entity = names[member]
            for way in range(2):
                others, labels = row(out, entity) if way == 0 else row(into, entity)
                for edge in range(len(others)):
                    label = labels[edge]
                    if (len(keep) > 0 and not keep[label]) or others[edge] == entity:
                        continue
                    other = np.int64(others[edge])
                    if other not in number_of:
                        number = len(names)
                        number_of[other] = number
                        names.append(other)
                        parent.append(number)
                        moat.append(0.0)
                        grown.append(0.0)
                        since.append(now)
                        budget.append(0.0)
                        active.append(False)
                        following.append(-1)
                        last.append(number)
                    time = _tight_at(now, member, number_of[other], costs[label], parent, moat, grown, since, active)
                    if time < np.inf:
                        event = (time, np.int64(1), np.int64(member), np.int64(number_of[other]), np.int64(label))
                        heapq.heappush(events, (*event, np.int64(way)))
        waking.clear()
        if len(events) == 0:
            break
        time, kind, first, second, label, way = heapq.heappop(events)
        now = max(now, time)
        if kind == 0:
            if parent[first] == first and active[first] and budget[first] + since[first] <= now + _ROUNDING:
                grown[first] += now - since[first]
                budget[first], active[first] = 0.0, False
                num_active -= 1
            continue
        time = _tight_at(now, first, second, costs[label], parent, moat, grown, since, active)
        if time == np.inf:
            continue
        if time > now + _ROUNDING * max(1.0, costs[label]):
            heapq.heappush(events, (time, kind, first, second, label, way))
            continue
        a, b = names[first], names[second]
        tight.append((a, label, b) if way == 0 else (b, label, a))
        one, two = _find(parent, moat, first), _find(parent, moat, second)
        for cluster in (one, two):
            if active[cluster]:
                grown[cluster] += now - since[cluster]
                budget[cluster] -= now - since[cluster]
                num_active -= 1
            since[cluster] = now
        left = max(budget[one], 0.0) + max(budget[two], 0.0)
        is_active = left > _ROUNDING
        for cluster in (one, two):
            if is_active and not active[cluster]:
                member = cluster
                while member >= 0:
                    waking.append(member)
                    member = following[member]
        parent[two] = one
        moat[two] = grown[two] - grown[one]
        following[last[one]] = two
        last[one] = last[two]
        budget[one], active[one] = left, is_active
        if is_active:
            num_active += 1
            heapq.heappush(events, (now + left, np.int64(0), one, np.int64(0), np.int64(0), np.int64(0)))
    edges = np.empty((len(tight), 3), dtype=np.int64)
    for number in range(len(tight)):
        edges[number, 0], edges[number, 1], edges[number, 2] = tight[number]
    return edges


@njit(cache=True)
def _find(parent: Any, moat: Any, member: Any) -> Any:
    """Return a member's cluster, and hang what lies on the way directly below it."""
    root, below_root = member, 0.0
    while parent[root] != root:
        below_root += moat[root]
        root = parent[root]
    while parent[member] != root and member != root:
        above, rest = parent[member], below_root - moat[member]
        parent[member], moat[member] = root, below_root
        member, below_root = above, rest
    return root


@njit(cache=True)
def _tight_at(
    now: float, first: Any, second: Any, cost: float, parent: Any, moat: Any, grown: Any, since: Any, active: Any
) -> float:
    """Return when an edge's moats reach its cost if nothing else happens; ∞ inside a cluster or between idle ones."""
    one, two = _find(parent, moat, first), _find(parent, moat, second)
    speed = np.float64(active[one]) + np.float64(active[two])
    if one == two or speed == 0.0:
        return np.inf
    filled = 0.0
    for member, root in ((first, one), (second, two)):
        filled += grown[root] + (moat[member] if member != root else 0.0)
        if active[root]:
            filled += now - since[root]
    return now + max(cost - filled, 0.0) / speed


@njit(cache=True)
def _prune(ends: Array, costs: Array, prizes: Array) -> Any:
    """Return which nodes and edges of a forest form its subtree of the greatest Σ prizes − Σ costs, (N,), (M,) bool."""
    num_nodes, num_edges = len(prizes), len(ends)
    indptr = np.zeros(num_nodes + 1, dtype=np.int64)
    for edge in range(num_edges):
        indptr[ends[edge, 0] + 1] += 1
        indptr[ends[edge, 1] + 1] += 1
    indptr = np.cumsum(indptr)
    fill, incident = indptr[:-1].copy(), np.empty(2 * num_edges, dtype=np.int64)
    for edge in range(num_edges):
        for end in range(2):
            incident[fill[ends[edge, end]]] = edge
            fill[ends[edge, end]] += 1
    above = np.full(num_nodes, -2, dtype=np.int64)  # the edge towards the root, −1 at the root
    order = np.empty(num_nodes, dtype=np.int64)
    count = 0
    for root in range(num_nodes):
        if above[root] != -2:
            continue
        above[root], order[count] = -1, root
        place = count
        count += 1
        while place < count:
            node = order[place]
            place += 1
            for edge in incident[indptr[node] : indptr[node + 1]]:
                other = ends[edge, 0] + ends[edge, 1] - node
                if edge != above[node]:
                    above[other], order[count] = edge, other
                    count += 1
    worth = prizes.copy()  # of the best subtree that hangs from a node; the best tree hangs from its highest node
    for place in range(num_nodes - 1, -1, -1):
        node = order[place]
        edge = above[node]
        if edge >= 0 and worth[node] > costs[edge]:
            worth[ends[edge, 0] + ends[edge, 1] - node] += worth[node] - costs[edge]
    best = np.argmax(worth)
    in_tree, is_kept = np.zeros(num_nodes, dtype=np.bool_), np.zeros(num_edges, dtype=np.bool_)
    in_tree[best] = True
    for place in range(num_nodes):
        node = order[place]
        edge = above[node]
        if edge >= 0 and node != best and in_tree[ends[edge, 0] + ends[edge, 1] - node] and worth[node] > costs[edge]:
            in_tree[node], is_kept[edge] = True, True
    return in_tree, is_kept
