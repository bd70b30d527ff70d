from __future__ import annotations

import numpy as np
import pytest

from kg import KnowledgeGraph, Literal
from kg.errors import InputError


def named(graph: KnowledgeGraph, version: int | None = None) -> list[tuple[str, ...]]:
    edges = graph.edges(version)
    columns = (edges.heads, edges.relations, edges.tails)
    names = graph.iris(np.unique(np.concatenate(columns)))
    return [tuple(names[end] for end in row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def test_edges_are_the_distinct_statements_between_entities_at_a_version(graph: KnowledgeGraph) -> None:
    graph.add("a", "r", "b", source="one")
    graph.add("a", "r", "b", source="other")
    graph.add("a", "name", Literal("b"), source="one")
    graph.add("b", "r", "a", source="one")
    graph.retract("a", "r", "b")
    assert named(graph, 3) == [("a", "r", "b")]
    assert named(graph, 4) == [("a", "r", "b"), ("b", "r", "a")]
    assert named(graph) == [("b", "r", "a")] and graph.edges().version == 5
    assert len(graph.edges(0)) == 0
    with pytest.raises(InputError, match="it has no version 6"):
        graph.edges(6)
