from __future__ import annotations

import pytest

from kg import KnowledgeGraph, export
from kg.records import RDF_TYPE

pytest.importorskip("torch_geometric")


def test_types_number_their_own_entities_and_edges_go_between_them(europe: KnowledgeGraph) -> None:
    europe.add("x:Italy", RDF_TYPE, "http://x/#Country", source="s")
    europe.add("x:France", RDF_TYPE, "http://x/#Country", source="s")
    europe.add("x:Italy", "http://other/x:capital", "x:Rome", source="s")
    data = export.to_hetero(europe)
    assert data["Country"].iri == ["x:Italy", "x:France"] and data["Country"].label == ["Italy", "France"]
    assert data["entity"].iri == ["x:Rome", "x:Paris", "http://x/#Country"] and data["entity"].num_nodes == 3
    assert data["Country", "x_capital", "entity"].edge_index.tolist() == [[0, 1], [0, 1]]
    assert data["Country", "x_capital", "entity"].relation == "x:capital"
    assert data["Country", "x_capital_2", "entity"].edge_index.tolist() == [[0], [0]]
    assert data["Country", "x_borders", "Country"].edge_index.tolist() == [[0], [1]]
    assert data.validate()


def test_every_fact_between_entities_can_be_read_back(europe: KnowledgeGraph) -> None:
    data = export.to_hetero(europe, version=1)
    facts = {
        (data[edge_type[0]].iri[start], data[edge_type].relation, data[edge_type[2]].iri[end])
        for edge_type in data.edge_types
        for start, end in data[edge_type].edge_index.T.tolist()
    }
    assert facts == {s.fact for s in europe.triples() if isinstance(s.tail, str)} and len(facts) == 3


def test_an_entity_of_which_only_literals_are_said_is_a_node() -> None:
    from kg import Literal

    with KnowledgeGraph.open("sqlite://") as graph:
        graph.add("x:a", "x:v", Literal("1"), source="s")
        assert export.to_hetero(graph)["entity"].iri == ["x:a"]
