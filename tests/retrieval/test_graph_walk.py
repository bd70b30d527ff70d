"""Walking the small world: which facts are candidates, in which direction, through which parent, at which version."""

from __future__ import annotations

import numpy as np
import pytest

from kg import KnowledgeGraph, Literal
from kg.records import Statement
from retrieval.index.graph_walk import GraphWalk
from retrieval.index.neighbourhood import Neighbourhood
from tests.retrieval.small_world import HashedWords


def stated(walk: GraphWalk, near: Neighbourhood) -> list[Statement]:
    """All candidates as statements."""
    return walk.statements(near, np.arange(len(near)))


def readings(walk: GraphWalk, anchor: str, hop: int) -> set[tuple[str, str, str, bool]]:
    """(head, relation, tail, forward) of the facts at one hop."""
    near = walk.candidates(anchor)
    rows = zip(stated(walk, near), near.forward.tolist(), near.hop.tolist(), strict=True)
    return {(s.head, s.relation, str(s.tail), forward) for s, forward, far in rows if far == hop}


@pytest.fixture
def walk(graph: KnowledgeGraph, text: HashedWords) -> GraphWalk:
    made = GraphWalk(graph, text.embed)
    made.refresh()
    return made


def test_one_hop_goes_both_ways_and_leaves_names_out(walk: GraphWalk) -> None:
    assert readings(walk, "c:fr", 1) == {
        ("c:fr", "r:capital", "p:paris", True),
        ("c:fr", "r:borders", "c:it", True),
        ("c:fr", "r:currency", "m:euro", True),
        ("c:it", "r:borders", "c:fr", False),
    }


def test_two_hops_follow_every_bridge_but_never_back_to_the_anchor(walk: GraphWalk) -> None:
    assert readings(walk, "c:ch", 2) == {  # its only bridge is Italy, which borders it; Bern leads nowhere
        ("c:it", "r:capital", "p:rome", True),
        ("c:it", "r:borders", "c:fr", True),
        ("c:fr", "r:borders", "c:it", False),
        ("c:it", "r:currency", "m:euro", True),
        ("c:it", "r:population", "58940000", True),
    }


def test_a_parent_stands_before_its_child_and_joins_it(walk: GraphWalk) -> None:
    near = walk.candidates("c:it")
    statements = stated(walk, near)
    children = [i for i in range(len(near)) if near.hop[i] == 2]
    assert len(children) == 6  # Paris and euro by each of France's two borders, Bern, and France by the euro
    for child in children:
        parent = near.parent[child]
        assert 0 <= parent < child and near.hop[parent] == 1
        assert near.far[parent] == near.near[child]
        bridge = statements[parent].tail if near.forward[parent] else statements[parent].head
        assert bridge in (statements[child].head, statements[child].tail)


def test_the_inverse_is_capped_by_relation(graph: KnowledgeGraph, text: HashedWords) -> None:
    with graph.edit(source="atlas") as edit:
        for i in range(5):
            edit.add(f"c:{i}", "r:currency", "m:euro")
            edit.add(f"x:{i}", "r:likes", "m:euro")
    walk = GraphWalk(graph, text.embed, hops=1, inverse_limit=3)
    walk.refresh()
    relations = [s.relation for s in stated(walk, walk.candidates("m:euro"))]
    assert sorted(relations) == ["r:currency"] * 3 + ["r:likes"] * 3


def test_no_second_step_is_taken_from_a_hub(graph: KnowledgeGraph, text: HashedWords) -> None:
    walk = GraphWalk(graph, text.embed, bridge_limit=5)  # Italy has six facts, France four
    walk.refresh()
    assert readings(walk, "c:ch", 2) == set()
    assert ("c:fr", "r:capital", "p:paris", True) in readings(walk, "m:euro", 2)


def test_an_edit_is_seen_at_once_and_nothing_is_read_again_without_one(
    graph: KnowledgeGraph, text: HashedWords
) -> None:
    walk = GraphWalk(graph, text.embed)
    assert walk.refresh() == 1
    before = walk.candidates("c:it")
    walk.refresh()
    assert walk.candidates("c:it") is before
    graph.retract("c:it", "r:capital")
    graph.add("c:it", "r:capital", "p:turin", source="user")
    assert walk.refresh() == 3
    capitals = {(s.tail, s.source, s.added) for s in stated(walk, walk.candidates("c:it")) if s.relation == "r:capital"}
    assert ("p:turin", "user", 3) in capitals and "p:rome" not in {tail for tail, _, _ in capitals}


def test_a_path_is_embedded_once(walk: GraphWalk, text: HashedWords) -> None:
    walk.candidates("c:fr")
    known = text.num_embedded
    walk.candidates("c:fr")
    assert text.num_embedded == known == len(walk.paths.vectors)
    rows = walk.paths.rows(["capital", "capital of borders", "is borders of"])
    assert text.num_embedded == known
    assert rows.tolist() == walk.paths.rows(["capital", "capital of borders", "is borders of"]).tolist()


def test_an_entity_without_facts_has_no_candidates(graph: KnowledgeGraph, walk: GraphWalk) -> None:
    graph.add("c:xx", "http://www.w3.org/2000/01/rdf-schema#label", Literal("Nowhere"), source="atlas")
    walk.refresh()
    assert len(walk.candidates("c:xx")) == 0
    assert len(walk.candidates("c:never-heard-of")) == 0


def test_the_least_recently_used_neighbourhood_goes_first(graph: KnowledgeGraph, text: HashedWords) -> None:
    walk = GraphWalk(graph, text.embed, hops=1, cache_limit=8)
    walk.refresh()
    italy, france = walk.candidates("c:it"), walk.candidates("c:fr")  # 6 + 4 facts: Italy goes
    assert walk.candidates("c:fr") is france
    assert walk.candidates("c:it") is not italy
