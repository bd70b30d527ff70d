from __future__ import annotations

from pathlib import Path

import pytest
import rdflib
from rdflib import BNode, URIRef

from kg import KnowledgeGraph, Literal, rdf
from kg.errors import InputError, StoreError, StoreMissing
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


X = rdflib.Namespace("x:")


def test_all_changes_inside_an_edit_are_one_version_and_seen_at_once(europe: KnowledgeGraph) -> None:
    graph = rdf.open(europe)
    with graph.edit(author="ada", note="moved"):
        graph.remove((X.Italy, X.capital, None))
        graph.add((X.Italy, X.capital, X.Turin))
        graph.add((X.Turin, X.on, X.Po))
        assert set(graph.objects(X.Italy, X.capital)) == {X.Turin} and len(graph) == 11
        assert graph.query("ASK { <x:Italy> <x:capital>/<x:on> <x:Po> }").askAnswer
        assert europe.version == 1
    assert europe.version == 2 and (europe.log()[-1]["author"], europe.log()[-1]["note"]) == ("ada", "moved")
    assert set(graph.objects(X.Italy, X.capital)) == {X.Turin} and len(graph) == 11


def test_an_edit_that_raises_changes_nothing(europe: KnowledgeGraph) -> None:
    graph = rdf.open(europe)
    with pytest.raises(ZeroDivisionError), graph.edit():
        graph.remove((None, None, None))
        graph.add((X.a, X.b, X.c))
        raise ZeroDivisionError
    assert europe.version == 1 and len(graph) == 10


def test_a_file_that_ends_in_a_fault_is_not_read_at_all(europe: KnowledgeGraph) -> None:
    graph = rdf.open(europe)
    with pytest.raises(Exception, match="at line 1"):
        graph.parse(data="<x:a> <x:b> <x:c> . <x:a> <x:b> ( .", format="turtle")
    assert europe.version == 1


def test_a_parsed_file_an_update_and_a_difference_are_one_version_each(europe: KnowledgeGraph) -> None:
    graph = rdf.open(europe)
    graph.parse(data="@prefix y: <http://y.org/> . <x:Rome> y:on y:Tiber ; y:age 2778 .", format="turtle")
    assert europe.version == 2 and graph.store.prefix(URIRef("http://y.org/")) == "y"
    graph.update(
        "DELETE { ?c <x:capital> ?t } INSERT { ?t <x:capitalOf> ?c } WHERE { ?c <x:capital> ?t } ; "
        "INSERT { ?t <x:is> <x:Seat> } WHERE { ?t <x:capitalOf> ?c }"
    )
    assert europe.version == 3
    assert set(graph.subjects(X["is"], X.Seat)) == {X.Rome, X.Paris} and not list(graph.subject_objects(X.capital))
    graph -= list(graph.triples((None, X["is"], None)))
    assert europe.version == 4 and not list(graph.subject_objects(X["is"]))
    graph.set((X.Rome, X.capitalOf, X.Lazio))
    assert europe.version == 5 and list(graph.objects(X.Rome, X.capitalOf)) == [X.Lazio]


def test_a_load_of_thousands_is_one_version(europe: KnowledgeGraph) -> None:
    graph = rdf.open(europe)
    graph += [(X[f"n{i}"], X.next, X[f"n{i + 1}"]) for i in range(3_000)]
    assert europe.version == 2 and len(graph) == 3_010


def test_a_past_version_can_be_read_and_asked_but_not_changed(europe: KnowledgeGraph) -> None:
    europe.retract("x:Italy", "x:capital")
    then, now = rdf.open(europe, version=1), rdf.open(europe)
    ask = "SELECT ?t WHERE { ?c <x:capital> ?t } ORDER BY ?t"
    assert [[str(t) for (t,) in graph.query(ask)] for graph in (then, now)] == [["x:Paris", "x:Rome"], ["x:Paris"]]
    assert (len(then), len(now)) == (10, 9)
    with pytest.raises(StoreError, match="shows version 1"):
        then.add((X.a, X.b, X.c))
    with pytest.raises(InputError, match="no version 3"):
        rdf.open(europe, version=3)


def test_a_value_keeps_its_unit_and_still_counts_as_a_number(europe: KnowledgeGraph) -> None:
    for grams in ("5.0", "7.5"):
        europe.add(f"x:bar{grams}", "x:sugar", Literal(grams, XSD + "decimal", unit="g"), source="label")
    graph = rdf.open(europe)
    rows = list(graph.query("SELECT ?s WHERE { ?b <x:sugar> ?s FILTER(?s > 6) }"))
    assert [(str(s), s.unit) for (s,) in rows] == [("7.5", "g")]
    assert [str(n) for (n,) in graph.query("SELECT (SUM(?s) AS ?n) WHERE { ?b <x:sugar> ?s }")] == ["12.5"]
    assert (X["bar5.0"], X.sugar, rdflib.Literal("5.0", datatype=rdflib.XSD.decimal)) in graph
    copy = rdf.open("sqlite://", create=True)
    copy += graph.triples((None, X.sugar, None))
    assert {s.tail for s in copy.knowledge.triples()} == {s.tail for s in europe.triples(relation="x:sugar")}


def test_text_of_type_string_is_plain_text(europe: KnowledgeGraph) -> None:
    graph = rdf.open(europe)
    alias = rdflib.Literal("Italian Republic", datatype=rdflib.XSD.string)
    assert (X.Italy, None, alias) in graph
    graph.add((X.Rome, X.motto, rdflib.Literal("SPQR", datatype=rdflib.XSD.string)))
    assert [s.tail for s in europe.triples("x:Rome", "x:motto")] == [Literal("SPQR")]
