"""The connected set of at most k facts that is worth most: a prize-collecting Steiner tree.

    value(T) = Σ_{v ∈ T} π_v + Σ_{f ∈ T} (π_f − c_f),   T connected, |T| ≤ k facts

Each entity has a prize π_v, each fact a prize π_f and a cost c_f. A fact becomes a node between its two ends, so that
its prize counts as a node's: half its net cost lies on either side, or, where the prize is higher, nothing does and the
node keeps the difference (as in G-Retriever, He et al., 2024, arXiv:2402.07630). Moats grow around the prizes until
they are used up (Goemans and Williamson, 1995, SIAM J. Comput. 24), and of the forest where they met, the best subtree
of at most k facts is found exactly, by dynamic programming (strong pruning, Johnson et al., SODA 2000).

Guarantee: as long as k does not bind, what the tree costs and what it forgoes together are at most 2 − 1/(n − 1) times
the least possible, for n nodes. With k binding, the answer is the best within the forest, which promises nothing about
the best of all; `tests/retrieval/test_steiner.py` compares it with all subsets of small graphs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from retrieval.evidence import Evidence, EvidenceFact

COST = 0.1  # of a fact: one believed less is taken only on the way to others


def best_connected(
    ends: Sequence[tuple[Any, Any]],
    fact_prizes: Sequence[float],
    entity_prizes: Mapping[Any, float],
    k: int,
    cost: float = COST,
) -> list[int]:
    """The facts of the tree, as rows of ``ends``, ascending; none where one entity alone is worth more than any.

    Args:
        ends: head and tail of each of F facts; those that are equal are one entity.
        fact_prizes: (F,), not negative.
        entity_prizes: entity → prize, not negative; 0 for the others.
        cost: of every fact.
    """
    if not len(ends) or k < 1:
        return []
    number: dict[Any, int] = {}
    for pair in ends:
        for end in pair:
            number.setdefault(end, len(number))
    count = len(ends)  # nodes 0 … F − 1 are facts, the entities follow
    net = cost - np.asarray(fact_prizes, dtype=np.float64)  # (F,)
    of_entities = [entity_prizes.get(end, 0.0) for end in number]
    prizes = np.concatenate([np.maximum(-net, 0.0), np.asarray(of_entities, dtype=np.float64)])
    near = np.arange(count)
    heads, tails = (np.array([number[pair[side]] for pair in ends]) + count for side in (0, 1))
    edges = np.stack([np.tile(near, 2), np.concatenate([heads, tails])], axis=1)  # (2F, 2)
    halves = np.tile(np.maximum(net, 0.0) / 2, 2)
    forest = _grow(edges, halves, prizes)
    chosen = _best_subtree(edges[forest], halves[forest], prizes, count, k)
    facts = {node for node in chosen if node < count}
    touched = {end for row in facts for end in (heads[row], tails[row])}
    for row in np.argsort(net, kind="stable").tolist():  # a fact beside the tree's, between or at its entities
        if net[row] < 0 and len(facts) < k and row not in facts and {heads[row], tails[row]} & touched:
            facts.add(row)
            touched |= {heads[row], tails[row]}
    return sorted(facts)


def connected(evidence: Evidence, k: int, cost: float = COST) -> Evidence:
    """Of an evidence, the best connected facts, prizes being the facts' scores and the anchors' beliefs.

    Facts that no anchor reaches within the choice are left out. Hops and parents are those of the shortest ways from
    the anchors, so a hop may be above 2.
    """
    ends = [_ends(fact, place) for place, fact in enumerate(evidence.facts)]
    beliefs: dict[Any, float] = {}
    for link in evidence.anchors:
        beliefs[link.entity] = max(link.score, beliefs.get(link.entity, 0.0))
    rows = best_connected(ends, [fact.score for fact in evidence.facts], beliefs, k, cost)
    reached: dict[Any, tuple[int, int, int]] = {}  # entity → anchor, hop, place of the fact that leads to it
    for place, link in enumerate(evidence.anchors):
        reached.setdefault(link.entity, (place, 0, -1))
    facts: list[EvidenceFact] = []
    waiting = sorted(rows, key=lambda row: -evidence.facts[row].score)
    hop = 0
    while waiting:
        hop += 1
        at_hop = [row for row in waiting if any(reached.get(end, (0, hop))[1] < hop for end in ends[row])]
        if not at_hop:
            break
        for row in at_hop:
            head, tail = ends[row]
            forward = reached.get(head, (0, hop))[1] <= reached.get(tail, (0, hop))[1]
            start, far = (head, tail) if forward else (tail, head)
            anchor, _, parent = reached[start]
            reached.setdefault(far, (anchor, hop, len(facts)))
            fact = evidence.facts[row]
            facts.append(replace(fact, forward=forward, hop=hop, anchor=anchor, parent=parent))
        waiting = [row for row in waiting if row not in set(at_hop)]
    return replace(evidence, facts=tuple(facts))


def _ends(fact: EvidenceFact, place: int) -> tuple[Any, Any]:
    """A literal is one entity with no other, even of the same value: nothing is connected through "1"."""
    tail = fact.statement.tail
    return fact.statement.head, tail if isinstance(tail, str) else (place, tail)


def _grow(edges: np.ndarray, costs: np.ndarray, prizes: np.ndarray) -> list[int]:
    """The edges at which moats met, as rows; they form a forest.

    Every cluster of nodes with prize left widens its moat at the same speed. Where the moats of an edge's two ends fill
    it, their clusters become one, with the prizes left to both; a cluster without any left stands still.
    """
    cluster = np.arange(len(prizes))
    left = prizes.astype(np.float64).copy()  # of each cluster, under its number
    filled = np.zeros(len(prizes))  # width of the moats around each node
    forest: list[int] = []
    open_edges = np.arange(len(edges))
    while len(open_edges) and (left > 1e-12).any():
        ends = cluster[edges[open_edges]]
        across = ends[:, 0] != ends[:, 1]
        open_edges, ends = open_edges[across], ends[across]
        active = left > 1e-12
        speed = active[ends].sum(axis=1)
        room = costs[open_edges] - filled[edges[open_edges]].sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            until = np.where(speed > 0, np.maximum(room, 0.0) / speed, np.inf)
        first = int(until.argmin()) if len(until) else -1
        dies = float(left[active].min())
        meets = float(until[first]) if first >= 0 else np.inf
        step = min(dies, meets)
        filled += step * active[cluster]
        left[active] -= step
        if meets <= dies:
            one, other = ends[first].tolist()
            forest.append(int(open_edges[first]))
            cluster[cluster == other] = one
            left[one] += left[other]
            left[other] = 0.0
        left[left <= 1e-12] = 0.0
    return forest


def _best_subtree(edges: np.ndarray, costs: np.ndarray, prizes: np.ndarray, num_facts: int, k: int) -> set[int]:
    """The nodes of the best connected part of a forest with at most ``k`` nodes below ``num_facts``, its facts.

    best[v][j], the most that the part of v's subtree with v and j facts is worth, from its children's one by one.
    """
    beside: dict[int, list[tuple[int, float]]] = {int(v): [] for v in np.flatnonzero(prizes > 0)}
    for (one, other), price in zip(edges.tolist(), costs.tolist(), strict=True):
        beside.setdefault(one, []).append((other, price))
        beside.setdefault(other, []).append((one, price))
    best: dict[int, np.ndarray] = {}
    merges: dict[int, list[tuple[int, np.ndarray]]] = {}  # v → (child, facts given to it for every j, −1 for none)
    top, top_node, top_count = 0.0, -1, 0
    done: set[int] = set()
    for root in beside:
        if root in done:
            continue
        order, parent = [root], {root: -1}
        for node in order:
            for other, _ in beside[node]:
                if other not in parent:
                    parent[other] = node
                    order.append(other)
        done |= parent.keys()
        for node in reversed(order):
            value = np.full(k + 1, -np.inf)
            value[1 if node < num_facts else 0] = prizes[node]
            merges[node] = []
            for child, price in beside[node]:
                if parent.get(child) != node:
                    continue
                below, taken = best[child] - price, np.full(k + 1, -1)
                merged = value.copy()
                for given in np.flatnonzero(below > -np.inf).tolist():
                    candidate = np.full(k + 1, -np.inf)
                    candidate[given:] = value[: k + 1 - given] + below[given]
                    better = candidate > merged
                    merged[better], taken[better] = candidate[better], given
                value = merged
                merges[node].append((child, taken))
            best[node] = value
            count = int(value.argmax())
            if value[count] > top + 1e-12:
                top, top_node, top_count = float(value[count]), node, count
    chosen: set[int] = set()
    stack = [(top_node, top_count)] if top_node >= 0 else []
    while stack:
        node, count = stack.pop()
        chosen.add(node)
        for child, taken in reversed(merges[node]):
            given = int(taken[count])
            if given >= 0:
                stack.append((child, given))
                count -= given
    return chosen
