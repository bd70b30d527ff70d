from __future__ import annotations

from pathlib import Path

import networkx
import pytest

from kg import KnowledgeGraph, Literal, ingest
from kg.errors import FormatError
from kg.ingest.networkx_graphs import from_networkx, to_networkx
from kg.records import RDFS, XSD
from kg.store import bulk


def test_attributes_are_literals_and_edges_facts() -> None:
    graph = networkx.MultiDiGraph()
    graph.add_node("Rome", label="Rome", population=2_800_000, old=True, height=21.5)
    graph.add_edge("Italy", "Rome", relation="capital")
    graph.add_edge("Italy", "Rome", key="contains")
    graph.add_edge(1, 2)
    assert set(from_networkx(graph)) == {
        ("Rome", RDFS + "label", Literal("Rome")),
        ("Rome", "population", Literal("2800000", XSD + "integer")),
        ("Rome", "old", Literal("true", XSD + "boolean")),
        ("Rome", "height", Literal("21.5", XSD + "double")),
        ("Italy", "capital", "Rome"),
        ("Italy", "contains", "Rome"),
        ("1", "related", "2"),
    }


def test_undirected_edges_go_both_ways() -> None:
    graph = networkx.Graph()
    graph.add_edge("a", "b", label="borders")
    assert list(from_networkx(graph)) == [("a", "borders", "b"), ("b", "borders", "a")]


def test_a_store_comes_back_from_networkx_as_it_was(europe: KnowledgeGraph) -> None:
    drawn = to_networkx(europe)
    assert drawn.edges["x:Italy", "x:Rome", "x:capital"]["source"] == "atlas"
    with KnowledgeGraph.open("sqlite://") as copy:
        bulk.load(copy, from_networkx(drawn), source="copy")
        assert {s.fact for s in copy.triples()} == {s.fact for s in europe.triples()}
    europe.retract("x:Italy", "x:borders")
    assert not to_networkx(europe).has_edge("x:Italy", "x:France")
    assert to_networkx(europe, version=1).has_edge("x:Italy", "x:France")


def test_graphml_is_read(tmp_path: Path) -> None:
    graph = networkx.DiGraph()
    graph.add_node("a", label="Anna", age=7)
    graph.add_edge("a", "b", relation="knows")
    graph.add_edge("b", "a")
    networkx.write_graphml(graph, tmp_path / "g.graphml")
    with KnowledgeGraph.open("sqlite://") as store:
        assert ingest.load(tmp_path / "g.graphml", into=store).triples == 4
        assert store.relations() == {RDFS + "label": 1, "age": 1, "knows": 1, "related": 1}


@pytest.mark.parametrize("content", ["<graphml><oops", "<html></html>", ""])
def test_what_is_no_graphml_is_a_format_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "g.graphml").write_text(content)
    with KnowledgeGraph.open("sqlite://") as store, pytest.raises(FormatError, match=r"g\.graphml"):
        ingest.load(tmp_path / "g.graphml", into=store)
