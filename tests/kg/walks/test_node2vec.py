from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from kg.errors import InputError
from kg.walks import random_walks
from tests.kg.walks.drawn import scattered, snapshot


def test_walks_follow_edges_and_the_same_seed_repeats_them() -> None:
    graph = scattered(50, 200, 3, 7)
    there = set(zip(graph.heads.tolist(), graph.relations.tolist(), graph.tails.tolist()))
    found = random_walks(graph, range(50), 12, seed=1)
    assert found.entities.shape == (50, 13)
    steps = 0
    for nodes, labels, ahead in zip(*found):
        for at in np.flatnonzero(labels >= 0):
            a, b = int(nodes[at]), int(nodes[at + 1])
            assert ((a, labels[at], b) if ahead[at] else (b, labels[at], a)) in there
            steps += 1
    assert steps > 500
    assert all(np.array_equal(a, b) for a, b in zip(found, random_walks(graph, range(50), 12, seed=1)))
    assert not np.array_equal(found.entities, random_walks(graph, range(50), 12, seed=2).entities)


def test_a_walk_ends_where_no_edge_leads_on() -> None:
    line = snapshot([(0, 0, 1), (1, 1, 2)], 3, 2)
    assert random_walks(line, 0, 4, seed=0, direction="out").entities.tolist() == [[0, 1, 2, -1, -1]]
    assert random_walks(line, 0, 4, seed=0, direction="out", relations=[0]).entities.tolist() == [[0, 1, -1, -1, -1]]


def test_steps_have_the_probabilities_of_node2vec() -> None:
    # 0 – 1 – 2 and 1 – 3, with 0 – 2: come from 0 to 1, the weights are 1/p back, 1 to 2 (a neighbour of 0), 1/q to 3
    graph = snapshot([(0, 0, 1), (1, 0, 2), (1, 0, 3), (0, 0, 2)], 4)
    p, q, count = 4.0, 0.5, 40_000
    found = random_walks(graph, [0] * count, 2, seed=3, p=p, q=q).entities
    third = Counter(found[found[:, 1] == 1, 2].tolist())
    total = sum(third.values())
    assert total > count * 0.45
    for entity, weight in ((0, 1 / p), (2, 1.0), (3, 1 / q)):
        share = weight / (1 / p + 1 + 1 / q)
        assert abs(third[entity] / total - share) < 5 * np.sqrt(share * (1 - share) / total)


def test_senseless_parameters_are_refused() -> None:
    with pytest.raises(InputError, match="p and q are positive"):
        random_walks(snapshot([(0, 0, 1)], 2), 0, 1, seed=0, p=0.0)
