from __future__ import annotations

import pytest

from kg import KnowledgeGraph
from kg.errors import UnknownEntity
from kg.walks.named import Edge, Step


def test_walks_speak_in_iris_and_see_the_last_edit(europe: KnowledgeGraph) -> None:
    assert europe.walks.shortest_path("x:Rome", "x:Paris") == (
        Step("x:Italy", "x:capital", "x:Rome", False),
        Step("x:Italy", "x:borders", "x:France", True),
        Step("x:France", "x:capital", "x:Paris", True),
    )
    europe.add("x:Rome", "x:twin", "x:Paris", source="cities")
    assert europe.walks.shortest_path("x:Rome", "x:Paris") == (Step("x:Rome", "x:twin", "x:Paris", True),)
    assert len(europe.walks.simple_paths("x:Rome", ["x:Paris"])) == 2
    europe.retract("x:Rome", "x:twin")
    assert len(europe.walks.simple_paths("x:Rome", ["x:Paris"])) == 1
    assert europe.walks.shortest_path("x:Rome", "x:Paris", relations=["x:capital"]) is None


def test_walks_of_a_past_version_see_what_was_there_then(europe: KnowledgeGraph) -> None:
    europe.retract("x:Italy", "x:borders")
    assert europe.walks.shortest_path("x:Rome", "x:Paris") is None
    past = europe.walks.at(1)
    assert len(past.shortest_path("x:Rome", "x:Paris") or ()) == 3 == len(past.simple_paths("x:Rome", "x:Paris")[0])
    assert past.neighbourhood("x:Rome", (16, 16)).distance["x:France"] == 2
    assert past.steiner_tree({"x:Rome": 2.0, "x:France": 2.0}).entities == ("x:Italy", "x:Rome", "x:France")
    assert set(past.pagerank("x:Rome")) == {"x:Rome", "x:Italy", "x:France", "x:Paris"}
    assert past.random_walks("x:Paris", 1, seed=0) == [("x:Paris", "x:France")]
    with pytest.raises(UnknownEntity, match="'x:Rome' is no entity at version 0"):
        europe.walks.at(0).pagerank("x:Rome")


def test_each_walk_by_hand(europe: KnowledgeGraph) -> None:
    around = europe.walks.neighbourhood("x:Rome", (16, 16))
    assert set(around.edges) == {Edge("x:Italy", "x:capital", "x:Rome"), Edge("x:Italy", "x:borders", "x:France")}
    assert around.distance == {"x:Rome": 0, "x:Italy": 1, "x:France": 2}
    assert list(europe.walks.pagerank("x:Rome", top=2, error=1e-6)) == ["x:Italy", "x:Rome"]
    weighted = europe.walks.pagerank({"x:Rome": 1.0, "x:Paris": 3.0})
    assert weighted["x:Paris"] > weighted["x:Rome"] and sum(weighted.values()) == pytest.approx(1, abs=1e-3)
    assert europe.walks.random_walks("x:Rome", 2, seed=0, direction="in") == [("x:Rome", "x:Italy")]
    tree = europe.walks.steiner_tree({"x:Rome": 2.0, "x:France": 2.0}, cost={"x:capital": 0.5})
    assert tree.entities == ("x:Italy", "x:Rome", "x:France") and (tree.prize, tree.cost) == (4.0, 1.5)


def test_an_unknown_name_says_what_is_near(europe: KnowledgeGraph) -> None:
    with pytest.raises(UnknownEntity, match="x:Rom"):
        europe.walks.pagerank("x:Rom")
    with pytest.raises(UnknownEntity, match="no relation is 'x:capitol'"):
        europe.walks.neighbourhood("x:Rome", relations=["x:capitol"])
