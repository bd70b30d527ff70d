from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from kg import Snapshot
from kg.errors import InputError
from kg.walks import pagerank, pageranks
from tests.kg.walks.drawn import scattered, snapshot


def exact(graph: Snapshot, seeds: dict[int, float], direction: str) -> np.ndarray:
    """networkx's answer at a precision far below our bound."""
    peer = nx.MultiDiGraph()
    peer.add_nodes_from(range(graph.num_entities))
    pairs = list(zip(graph.heads.tolist(), graph.tails.tolist()))
    if direction in ("out", "both"):
        peer.add_edges_from(pairs)
    if direction in ("in", "both"):
        peer.add_edges_from((tail, head) for head, tail in pairs)
    found = nx.pagerank(peer, alpha=0.85, personalization=seeds, tol=1e-14, max_iter=1_000)
    return np.array([found[node] for node in range(graph.num_entities)])


def test_a_walk_between_two_entities_by_hand() -> None:
    pair = snapshot([(0, 0, 1), (1, 0, 0)], 2)
    found = pagerank(pair, 0, damping=0.5, error=1e-9, direction="out")
    # x = ½ + ½ y, y = ½ x: x = 2/3, y = 1/3
    assert found.entities.tolist() == [0, 1] and found.scores == pytest.approx([2 / 3, 1 / 3], abs=1e-8)


@pytest.mark.parametrize("direction", ["out", "in", "both"])
@pytest.mark.parametrize("error", [1e-2, 1e-5])
def test_scores_are_below_networkx_by_no_more_than_the_bound(direction: str, error: float) -> None:
    graph = scattered(400, 1_200, 3, 5)  # some entities have no edge out: they jump to the seeds
    for seeds in ({7: 1.0}, {3: 2.0, 11: 1.0, 200: 1.0}):
        found = pagerank(graph, seeds, top=None, error=error, direction=direction)
        mine, wanted = np.zeros(400), exact(graph, seeds, direction)
        mine[found.entities] = found.scores
        gap = wanted - mine
        assert gap.min() > -1e-10 and 0 < found.error <= error
        assert gap.sum() == pytest.approx(found.error, abs=1e-9)


def test_the_top_is_a_prefix_and_each_seed_of_many_is_ranked_as_alone() -> None:
    graph = scattered(400, 1_200, 3, 5)
    whole = pagerank(graph, 9, top=None)
    for seed, found in zip(range(20), pageranks(graph, range(20), top=10)):
        alone = pagerank(graph, seed, top=10)
        assert np.array_equal(found.entities, alone.entities) and np.array_equal(found.scores, alone.scores)
        if seed == 9:
            assert np.array_equal(whole.entities[:10], found.entities)
    assert pagerank(graph, 9, relations=[]).entities.tolist() == [9]


def test_relations_that_may_not_be_walked_are_as_if_not_there() -> None:
    graph = scattered(100, 400, 3, 6)
    kept = graph.relations == 1
    rows = zip(graph.heads[kept], graph.relations[kept], graph.tails[kept])
    alone = pagerank(snapshot(rows, 100, 3), 4, error=1e-6)
    found = pagerank(graph, 4, error=1e-6, relations=[1])
    assert np.array_equal(found.entities, alone.entities) and np.allclose(found.scores, alone.scores)


def test_senseless_wishes_are_refused() -> None:
    graph = snapshot([(0, 0, 1)], 2)
    for seeds, options in ([], {}), ({0: 0.0}, {}), ({0: -1.0}, {}), (0, {"damping": 1.0}), (0, {"error": 0.0}):
        with pytest.raises(InputError):
            pagerank(graph, seeds, **options)
