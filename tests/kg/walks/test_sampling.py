from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from kg.errors import InputError
from kg.walks import neighbourhood, neighbourhoods
from tests.kg.walks.drawn import scattered, snapshot

#: 0 →a 1, 2, 3; 1 →b 4; 4 →a 0; 5 →b 0.
SMALL = snapshot([(0, 0, 1), (0, 0, 2), (0, 0, 3), (1, 1, 4), (4, 0, 0), (5, 1, 0)], 6, 2)


def test_hops_directions_and_filters_by_hand() -> None:
    out = neighbourhood(SMALL, 0, (16, 16), direction="out")
    assert out.entities.tolist() == [0, 1, 2, 3, 4] and out.hops.tolist() == [0, 1, 1, 1, 2]
    assert out.edges().tolist() == [[0, 0, 1], [0, 0, 2], [0, 0, 3], [1, 1, 4]]
    assert neighbourhood(SMALL, 0, (16,), direction="in").edges().tolist() == [[4, 0, 0], [5, 1, 0]]
    both = neighbourhood(SMALL, 0, (16, 16))
    assert sorted(map(tuple, both.edges().tolist())) == sorted(
        zip(SMALL.heads.tolist(), SMALL.relations.tolist(), SMALL.tails.tolist())
    )
    assert neighbourhood(SMALL, 0, (16, 16), relations=[1]).edges().tolist() == [[5, 1, 0]]


def test_without_a_seed_the_first_edges_are_taken_and_fan_outs_differ_by_hop() -> None:
    assert neighbourhood(SMALL, 0, (2,), direction="out").edges().tolist() == [[0, 0, 1], [0, 0, 2]]
    assert neighbourhood(SMALL, 0, (1, 16), direction="out").edges().tolist() == [[0, 0, 1], [1, 1, 4]]
    assert neighbourhood(SMALL, [0, 1, 0], (0,)).entities.tolist() == [0, 1]


def test_minus_one_follows_all_edges_as_a_plain_search_does() -> None:
    graph = scattered(300, 900, 4, 0)
    edges = list(zip(graph.heads.tolist(), graph.relations.tolist(), graph.tails.tolist()))
    for start in range(0, 300, 29):
        near, wanted = {start}, set()
        for _ in range(3):
            fresh = {edge for edge in edges if edge[0] in near or edge[2] in near}
            wanted |= fresh
            near |= {end for edge in fresh for end in (edge[0], edge[2])}
        found = neighbourhood(graph, start, (-1, -1, -1))
        rows = list(map(tuple, found.edges().tolist()))
        assert set(rows) == wanted and len(rows) == len(wanted) and set(found.entities.tolist()) == near


@pytest.mark.parametrize("direction", ["out", "in", "both"])
@pytest.mark.parametrize("relations", [None, [1, 2]])
@pytest.mark.parametrize("seed", [None, 5])
def test_one_by_one_and_together_are_the_same(direction: str, relations: list[int] | None, seed: int | None) -> None:
    graph = scattered(200, 3_000, 4, 1)
    options = {"direction": direction, "relations": relations, "seed": seed}
    together = neighbourhoods(graph, range(200), (5, 3), **options)
    assert len(together) == 200
    for entity, found in enumerate(together):
        alone = neighbourhood(graph, entity, (5, 3), **options)
        assert all(np.array_equal(a, b) for a, b in zip(found, alone))
        assert len(np.unique(found.edges(), axis=0)) == len(found.relations)
        ends = Counter(found.entities[found.heads].tolist()) if direction == "out" else {}
        assert max(ends.values(), default=0) <= 5


@pytest.mark.parametrize("relations", [None, [0]])
def test_random_edges_are_drawn_evenly_and_none_twice(relations: list[int] | None) -> None:
    star = snapshot([(0, 0, tail) for tail in range(1, 21)], 21)
    drawn: Counter[int] = Counter()
    for seed in range(2_000):
        found = neighbourhood(star, 0, (5,), seed=seed, relations=relations, direction="out")
        assert len(set(found.entities.tolist())) == 6
        drawn.update(found.entities[1:].tolist())
    # 500 expected of each, standard deviation √(2000 · ¼ · ¾) = 19.4; five of them allowed
    assert len(drawn) == 20 and all(abs(count - 500) < 97 for count in drawn.values())


def test_what_is_not_in_the_snapshot_is_refused() -> None:
    with pytest.raises(InputError, match="entity 6 is not in the snapshot"):
        neighbourhood(SMALL, 6)
    with pytest.raises(InputError, match="relation 2 is not in the snapshot"):
        neighbourhood(SMALL, 0, relations=[2])
    with pytest.raises(InputError, match="'out', 'in' or 'both', not 'up'"):
        neighbourhood(SMALL, 0, direction="up")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="-1 for all edges"):
        neighbourhood(SMALL, 0, (-2,))
