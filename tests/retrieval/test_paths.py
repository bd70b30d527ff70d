"""The paths an index embeds beforehand."""

from __future__ import annotations

from kg import KnowledgeGraph
from retrieval.index.graph_walk import GraphWalk
from retrieval.paths import common_paths
from tests.retrieval.small_world import HashedWords


def test_every_path_that_a_walk_meets_is_foreseen(graph: KnowledgeGraph, text: HashedWords) -> None:
    walk = GraphWalk(graph, text.embed)
    paths = common_paths(graph)
    walk.paths.learn(paths, text.embed(paths))
    text.num_embedded = 0
    walk.refresh()
    for entity in graph.entities():
        walk.candidates(entity.iri)
    assert text.num_embedded == 0


def test_the_two_step_paths_through_the_most_entities_come_first(graph: KnowledgeGraph) -> None:
    singles = {f"{r}" for r in ("capital", "borders", "currency", "population")}
    singles |= {f"is {r} of" for r in singles}
    paths = common_paths(graph, limit=4)
    assert set(paths[:8]) == singles and len(paths) == 12
    # Over a border one comes to Italy, France and Switzerland, each with a capital; all other pairs lead through two.
    assert paths[8] == "capital of borders"
    assert "is capital of capital" not in common_paths(graph)  # straight back over the same edge
