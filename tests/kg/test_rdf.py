from __future__ import annotations

from pathlib import Path

import pytest
import rdflib
from rdflib import BNode, URIRef

from kg import KnowledgeGraph, Literal, rdf
from kg.errors import StoreMissing
from kg.records import XSD


def test_sparql_walks_two_hops_over_a_store(europe: KnowledgeGraph) -> None:
    graph = rdf.open(europe)
    query = "SELECT ?capital WHERE { <x:Italy> <x:borders> ?c . ?c <x:capital> ?capital ; rdfs:label ?name }"
    assert [str(row.capital) for row in graph.query(query)] == ["x:Paris"]
    assert graph.query('ASK { ?c rdfs:label "Italien"@de }').askAnswer
    assert not graph.query('ASK { ?c rdfs:label "Italien"@en }').askAnswer


def test_additions_and_removals_are_versions(europe: KnowledgeGraph) -> None:
    graph = rdf.open(europe, source="tool")
    fact = (URIRef("x:Rome"), URIRef("x:on"), URIRef("x:Tiber"))
    graph.add(fact)
    assert europe.version == 2 and fact in graph
    assert [s.source for s in europe.triples(relation="x:on")] == ["tool"]
    graph.remove((URIRef("x:Italy"), None, None))
    assert europe.version == 3 and not list(graph.triples((URIRef("x:Italy"), None, None)))
    assert len(list(europe.triples(head="x:Italy", version=2))) == 6
    graph.remove((URIRef("x:Italy"), None, None))
    assert europe.version == 3


def test_a_graph_added_at_once_is_one_version(europe: KnowledgeGraph) -> None:
    graph, more = rdf.open(europe), rdflib.Graph()
    more.parse(data='<x:a> <x:r> [ <x:v> 7 ; <x:n> "n"@en ] .', format="turtle")
    graph += more
    assert europe.version == 2
    assert {s.tail for s in europe.triples(relation="x:v")} == {Literal("7", XSD + "integer")}


def test_facts_of_two_sources_count_once(europe: KnowledgeGraph) -> None:
    graph = rdf.open(europe)
    assert len(graph) == 10 == len(list(graph))
    europe.add("x:Italy", "x:capital", "x:Rome", source="other")
    assert len(graph) == 10 == len(list(graph))


def test_what_is_serialised_is_what_is_stored(europe: KnowledgeGraph) -> None:
    europe.add("_:b1", "x:area", Literal("0.50", XSD + "decimal", unit="km²"), source="s")
    copy = rdflib.Graph().parse(data=rdf.open(europe).serialize(format="nt"), format="nt")
    assert len(copy) == 11
    (blank,) = copy.subjects(URIRef("x:area"))
    assert isinstance(blank, BNode) and '"0.50"' in rdf.open(europe).serialize(format="nt")
    half = rdflib.Literal("0.50", datatype=rdflib.XSD.decimal, normalize=False)
    assert (BNode("b1"), URIRef("x:area"), half) in rdf.open(europe)


def test_a_missing_store_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing):
        rdf.open(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []
