from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from kg.errors import InputError
from kg.walks import shortest_path, simple_paths
from tests.kg.walks.drawn import scattered, snapshot

#: 0 →a 1 →a 2 →a 3, 0 →b 3, 3 →b 4; 5 alone.
SMALL = snapshot([(0, 0, 1), (1, 0, 2), (2, 0, 3), (0, 1, 3), (3, 1, 4)], 6, 2)


def test_paths_by_hand() -> None:
    short = shortest_path(SMALL, [2, 1], [0, 4], direction="in")
    assert short is not None and short.edges().tolist() == [[0, 0, 1]] and short.forward.tolist() == [False]
    turned = shortest_path(SMALL, 2, 4, relations=[0, 1])
    assert turned is not None and turned.edges().tolist() == [[2, 0, 3], [3, 1, 4]]
    back = shortest_path(SMALL, 1, 3, longest=2)
    assert back is not None and len(back.relations) == 2
    ahead = shortest_path(SMALL, 0, 4, relations=[0], direction="out")
    assert ahead is None and shortest_path(SMALL, 0, 5) is None and shortest_path(SMALL, 0, 4, longest=1) is None
    same = shortest_path(SMALL, [2, 1], [1])
    assert same is not None and same.entities.tolist() == [1] and len(same.edges()) == 0
    found = simple_paths(SMALL, 0, 3, 3, direction="out")
    assert [path.entities.tolist() for path in found] == [[0, 3], [0, 1, 2, 3]]
    assert [path.entities.tolist() for path in simple_paths(SMALL, 4, 0, 2, direction="in")] == [[4, 3, 0]]
    assert simple_paths(SMALL, 0, 3, 3, relations=[1], limit=5)[0].relations.tolist() == [1]


@pytest.mark.parametrize("direction", ["out", "in", "both"])
def test_shortest_paths_are_as_long_as_networkx_says(direction: str) -> None:
    graph = scattered(120, 200, 3, 2)
    drawn = nx.DiGraph(zip(graph.heads.tolist(), graph.tails.tolist()))
    drawn.add_nodes_from(range(120))
    peer = {"out": drawn, "in": drawn.reverse(), "both": drawn.to_undirected()}[direction]
    there = set(zip(graph.heads.tolist(), graph.relations.tolist(), graph.tails.tolist()))
    rng = np.random.default_rng(0)
    for _ in range(60):
        starts, goals = rng.integers(0, 120, 2), rng.integers(0, 120, 2)
        lengths = [nx.shortest_path_length(peer, a, b) for a in starts for b in goals if nx.has_path(peer, a, b)]
        found = shortest_path(graph, starts, goals, direction=direction)
        assert (None if found is None else len(found.relations)) == (min(lengths) if lengths else None)
        if found is not None:
            assert {tuple(edge) for edge in found.edges().tolist()} <= there
            assert found.entities[0] in starts and found.entities[-1] in goals


@pytest.mark.parametrize("direction", ["out", "both"])
def test_all_simple_paths_are_those_of_networkx(direction: str) -> None:
    graph = scattered(25, 50, 2, 3)
    peer = nx.MultiDiGraph() if direction == "out" else nx.MultiGraph()
    peer.add_nodes_from(range(25))
    peer.add_edges_from(zip(graph.heads.tolist(), graph.tails.tolist()))
    for start, goal in [(0, 5), (3, 9), (7, 20), (11, 2), (24, 13)]:
        wanted = sorted(nx.all_simple_paths(peer, start, goal, cutoff=4))
        found = simple_paths(graph, start, goal, 4, direction=direction)
        assert sorted(path.entities.tolist() for path in found) == wanted
        lengths = [len(path.relations) for path in found]
        assert lengths == sorted(lengths)
        keys = {(*map(tuple, path.edges().tolist()), tuple(path.forward.tolist())) for path in found}
        assert len(keys) == len(found)


def test_limits_are_kept_and_senseless_ones_refused() -> None:
    graph = scattered(30, 300, 1, 4)
    assert len(simple_paths(graph, 0, 1, 3, limit=7)) == 7 and simple_paths(graph, 0, 1, 0) == []
    with pytest.raises(InputError, match="limit 1 or more"):
        simple_paths(graph, 0, 1, limit=0)
