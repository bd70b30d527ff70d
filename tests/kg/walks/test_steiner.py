from __future__ import annotations

import itertools

import numpy as np
import pytest

from kg import Snapshot
from kg.errors import InputError
from kg.walks import steiner_tree
from kg.walks.steiner import SteinerTree
from tests.kg.walks.drawn import scattered, snapshot


def test_two_prizes_are_joined_where_the_way_is_worth_it() -> None:
    line = snapshot([(0, 0, 1), (1, 0, 2), (2, 0, 3)], 4)
    joined = steiner_tree(line, {0: 4.0, 3: 3.5})
    assert joined.entities.tolist() == [0, 1, 2, 3] and joined.edges[:, [0, 2]].tolist() == [[0, 1], [1, 2], [2, 3]]
    assert (joined.prize, joined.cost) == (7.5, 3.0)
    apart = steiner_tree(line, {0: 1.0, 3: 2.0})  # three edges cost more than the smaller prize
    assert apart.entities.tolist() == [3] and (apart.prize, apart.cost, len(apart.edges)) == (2.0, 0.0, 0)


def test_a_dear_relation_is_gone_round() -> None:
    square = snapshot([(0, 0, 1), (0, 1, 2), (2, 1, 1)], 3, 2)
    around = steiner_tree(square, {0: 10.0, 1: 10.0}, {0: 5.0, 1: 2.0})
    assert around.edges.tolist() == [[0, 1, 2], [2, 1, 1]] and around.cost == 4.0
    only = steiner_tree(square, {0: 10.0, 1: 10.0}, {0: 5.0, 1: 2.0}, relations=[0])
    assert only.edges.tolist() == [[0, 0, 1]]


def check_tree(found: SteinerTree, graph: Snapshot) -> None:
    assert len(found.edges) == max(len(found.entities) - 1, 0)
    there = set(zip(graph.heads.tolist(), graph.relations.tolist(), graph.tails.tolist()))
    assert {tuple(edge) for edge in found.edges.tolist()} <= there
    reached = set(found.entities[:1].tolist())
    for _ in found.edges:
        for head, _, tail in found.edges.tolist():
            if head in reached or tail in reached:
                reached |= {head, tail}
    assert reached == set(found.entities.tolist())


def best_value(graph: Snapshot, prizes: dict[int, float], costs: np.ndarray) -> float:
    """The least c(T) + π(V ∖ T), by trying every set of entities; a minimum spanning tree joins a set."""
    least: dict[tuple[int, int], float] = {}
    for head, relation, tail in zip(graph.heads.tolist(), graph.relations.tolist(), graph.tails.tolist()):
        pair = min(head, tail), max(head, tail)
        least[pair] = min(least.get(pair, np.inf), costs[relation])
    edges = sorted((cost, *pair) for pair, cost in least.items() if pair[0] != pair[1])
    total = sum(prizes.values())
    best = total
    for size in range(1, graph.num_entities + 1):
        for members in itertools.combinations(range(graph.num_entities), size):
            cluster = {member: member for member in members}
            cost, joined = 0.0, 1
            for weight, a, b in edges:
                if a in cluster and b in cluster and cluster[a] != cluster[b]:
                    old, new = cluster[a], cluster[b]
                    cluster = {member: new if at == old else at for member, at in cluster.items()}
                    cost, joined = cost + weight, joined + 1
            if joined == size:
                best = min(best, cost + total - sum(prizes.get(member, 0.0) for member in members))
    return best


@pytest.mark.parametrize("seed", range(40))
def test_on_small_graphs_the_tree_is_within_twice_the_best(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = scattered(9, int(rng.integers(8, 22)), 3, seed)
    prizes = {int(n): float(rng.integers(1, 12)) / 2 for n in rng.permutation(9)[: int(rng.integers(2, 8))]}
    costs = rng.integers(1, 8, 3) / 2
    found = steiner_tree(graph, prizes, dict(enumerate(costs.tolist())))
    check_tree(found, graph)
    assert found.prize == pytest.approx(sum(prizes.get(n, 0.0) for n in found.entities.tolist()))
    assert found.cost == pytest.approx(costs[found.edges[:, 1]].sum())
    value, best = found.cost + sum(prizes.values()) - found.prize, best_value(graph, prizes, costs)
    assert best - 1e-9 <= value <= 2 * best + 1e-9


def test_no_prize_has_no_tree_and_negative_ones_are_refused() -> None:
    line = snapshot([(0, 0, 1)], 2)
    assert len(steiner_tree(line, {0: 0.0}).entities) == 0
    with pytest.raises(InputError, match="not negative"):
        steiner_tree(line, {0: -1.0})
    with pytest.raises(InputError, match="entity 7 is not in the snapshot"):
        steiner_tree(line, {7: 1.0})
