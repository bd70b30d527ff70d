"""A store of one fact, which what can't be read leaves as it is."""

from __future__ import annotations

import pytest

from kg import KnowledgeGraph, Literal


@pytest.fixture
def store() -> KnowledgeGraph:
    graph = KnowledgeGraph.open("sqlite://")
    graph.add("x:before", "x:r", Literal("kept"), source="s")
    return graph
