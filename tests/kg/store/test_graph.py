from __future__ import annotations

import threading
from pathlib import Path

import pytest

from kg import KnowledgeGraph, Literal, Picture, Statement
from kg.errors import InputError, StoreError, UnknownEntity
from kg.records import XSD


def facts(graph: KnowledgeGraph, **ends: object) -> list[tuple[object, ...]]:
    return [statement.fact for statement in graph.triples(**ends)]


def test_every_addition_is_a_version_and_a_repeated_one_is_none(graph: KnowledgeGraph) -> None:
    assert graph.version == 0
    assert graph.add("Italy", "capital", "Turin", source="atlas") == 1
    assert graph.add("Italy", "capital", "Turin", source="atlas") == 1
    assert graph.add("Italy", "capital", "Turin", source="other") == 2
    assert [s.source for s in graph.triples(head="Italy")] == ["atlas", "other"]


def test_any_past_version_can_be_read_after_edits(graph: KnowledgeGraph) -> None:
    graph.add("Italy", "capital", "Florence", source="atlas")
    graph.retract("Italy", "capital")
    graph.add("Italy", "capital", "Rome", source="atlas")
    assert facts(graph) == [("Italy", "capital", "Rome")]
    assert facts(graph, version=1) == [("Italy", "capital", "Florence")]
    assert facts(graph, version=2) == []
    assert facts(graph, version=0) == []
    assert facts(graph, head="Italy", version=1) == [("Italy", "capital", "Florence")]
    with pytest.raises(InputError, match="the store is at version 3: it has no version 4"):
        graph.triples(version=4)


def test_a_retracted_fact_can_be_stated_again(graph: KnowledgeGraph) -> None:
    for _ in range(2):
        graph.add("a", "b", "c", source="s")
        graph.retract("a", "b", "c")
    assert [(s.added, s.retracted) for s in graph.triples(version=1)] == [(1, 2)]
    assert [(s.added, s.retracted) for s in graph.triples(version=3)] == [(3, 4)]


def test_literals_keep_value_datatype_language_and_unit(graph: KnowledgeGraph) -> None:
    said = [
        Literal("301336", XSD + "decimal", unit="km²"),
        Literal("301336", XSD + "decimal"),
        Literal("Italy", language="en"),
        Literal("Italy", language="it"),
        Literal("Italy"),
        Literal(""),
    ]
    for literal in said:
        graph.add("Italy", "said", literal, source="s")
    graph.add("Italy", "said", "Italy", source="s")  # the entity, not the word
    assert [s.tail for s in graph.triples(relation="said")] == [*said, "Italy"]
    assert facts(graph, tail=said[0]) == [("Italy", "said", said[0])]


def test_retract_takes_all_that_match_and_only_that(graph: KnowledgeGraph) -> None:
    for tail, source in (("it", "a"), ("de", "a"), ("it", "b")):
        graph.add("CH", "language", tail, source=source)
    graph.retract("CH", "language", "it", source="b")
    assert [(s.tail, s.source) for s in graph.triples()] == [("it", "a"), ("de", "a")]
    version = graph.retract("CH", "language")
    assert facts(graph) == [] and version == 5


def test_retracting_what_is_not_there_says_what_is(graph: KnowledgeGraph) -> None:
    graph.add("Italy", "capital", "Rome", source="atlas")
    with pytest.raises(StoreError, match=r"no active fact <capital> 'Paris'; it has 'Rome' \(source 'atlas'\)"):
        graph.retract("Italy", "capital", "Paris")
    with pytest.raises(StoreError, match="no active fact <borders>; it has <capital>"):
        graph.retract("Italy", "borders")
    with pytest.raises(UnknownEntity, match=r"no entity is called 'Itly'; did you mean 'Italy'\?"):
        graph.retract("Itly", "capital")
    assert graph.version == 1


@pytest.mark.parametrize(
    "fact", [("", "r", "t"), ("h", None, "t"), ("h", "r", ""), ("h", "r", 3), (Literal("h"), "r", "t")]
)
def test_what_cannot_be_a_fact_is_refused(fact: tuple) -> None:
    with KnowledgeGraph.open("sqlite://") as graph:
        with pytest.raises(InputError, match="of a fact must be an IRI"):
            graph.add(*fact, source="s")
        with pytest.raises(InputError, match="not valid Unicode"):
            graph.add("h", "r", Literal("half a pair: \ud800"), source="s")
        assert graph.version == 0 and graph.stats()["triples"] == 0


def test_many_edits_are_one_version(graph: KnowledgeGraph) -> None:
    graph.add("a", "b", "c", source="s")
    with graph.edit(source="s", note="swap", author="ann") as edit:
        edit.retract("a", "b")
        edit.add("a", "b", "d")
        edit.add("a", "b", "e")
    assert graph.version == 2
    assert facts(graph) == [("a", "b", "d"), ("a", "b", "e")]
    assert [(row["id"], row["action"], row["author"], row["note"]) for row in graph.log()] == [
        (1, "add", "", ""),
        (2, "edit", "ann", "swap"),
    ]


def test_an_edit_that_fails_leaves_nothing(graph: KnowledgeGraph) -> None:
    graph.add("a", "b", "c", source="s")
    with pytest.raises(ZeroDivisionError), graph.edit(source="s") as edit:
        edit.retract("a", "b")
        edit.add("a", "b", "d")
        _ = 1 / 0
    assert graph.version == 1 and facts(graph) == [("a", "b", "c")]
    assert graph.ids(["d"]) == {}


def test_an_edit_inside_an_edit_is_refused_at_once(graph: KnowledgeGraph) -> None:
    with pytest.raises(StoreError, match="an edit is under way in this thread"), graph.edit(source="s") as edit:
        edit.add("a", "b", "c")
        graph.add("a", "b", "d", source="s")
    assert graph.version == 0


def test_changes_since_a_version_are_what_came_and_went(graph: KnowledgeGraph) -> None:
    graph.add("a", "r", "1", source="s")
    graph.add("a", "r", "2", source="s")
    graph.retract("a", "r", "1")
    with graph.edit(source="s") as edit:  # comes and goes within one version
        edit.add("a", "r", "3")
        edit.retract("a", "r", "3")
    assert graph.changes(1) == [Statement("a", "r", "1", "s", 1, 3), Statement("a", "r", "2", "s", 2, None)]
    assert graph.changes(4) == []


def test_another_process_s_edits_count_at_once(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with KnowledgeGraph.open(path) as one, KnowledgeGraph.open(path, create=False) as other:
        one.add("a", "label", Literal("Anna"), source="s")
        assert other.version == 1 and other.describe("a").label == "Anna"
        assert one.uuid == other.uuid


def test_reading_goes_on_while_facts_are_added(graph: KnowledgeGraph) -> None:
    with graph.edit(source="s") as edit:
        for number in range(1_500):  # more than one page
            edit.add("a", "r", str(number))
    seen = 0
    for statement in graph.triples(head="a"):
        seen += 1
        if seen < 3:
            graph.add("a", "r", f"new {statement.tail}", source="s")
    assert seen == 1_500 and graph.stats()["triples"] == 1_502


def test_threads_can_edit_and_read_at_the_same_time(graph: KnowledgeGraph) -> None:
    def work(name: str) -> None:
        for number in range(10):
            graph.add(name, "r", str(number), source="s")
            assert len(graph.neighbours(name)) == number + 1

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert graph.version == 30 and graph.stats()["triples"] == 30


def test_neighbours_are_all_out_and_so_many_in(graph: KnowledgeGraph) -> None:
    with graph.edit(source="s") as edit:
        edit.add("hub", "to", "x")
        edit.add("hub", "self", "hub")
        for number in range(10):
            edit.add(f"n{number}", "to", "hub")
    assert {s.fact for s in graph.neighbours("hub", limit=0)} == {("hub", "to", "x"), ("hub", "self", "hub")}
    assert len(graph.neighbours("hub", limit=4)) in (5, 6)  # the loop may be one of the four
    assert len(graph.neighbours("hub")) == 12
    assert graph.neighbours("nobody") == []


def test_a_two_hop_subgraph_as_drawn_by_hand(europe: KnowledgeGraph) -> None:
    one = europe.subgraph(["x:Rome"], hops=1)
    assert one.distance == {"x:Rome": 0, "x:Italy": 1}
    assert {s.fact[1:] for s in one.statements if s.head == "x:Italy"} == {("x:capital", "x:Rome")}
    two = europe.subgraph(["x:Rome"], hops=2)
    assert two.distance == {"x:Rome": 0, "x:Italy": 1, "x:France": 2}
    edges = {s.fact for s in two.statements if isinstance(s.tail, str)}
    assert edges == {("x:Italy", "x:capital", "x:Rome"), ("x:Italy", "x:borders", "x:France")}
    assert europe.subgraph(["x:Rome"], hops=3).distance["x:Paris"] == 3
    assert europe.subgraph(["nobody"]).statements == ()


def test_an_entity_is_described_by_its_best_label(europe: KnowledgeGraph) -> None:
    italy = europe.describe("x:Italy")
    assert italy.label == "Italy" and italy.aliases == ("Italien", "Italian Republic")
    assert italy.description == "A country with the shape of a boot."
    assert europe.describe("x:Paris").label == "x:Paris"
    assert europe.labels(["x:Italy", "http://new/countryOfOrigin"]) == {
        "x:Italy": "Italy",
        "http://new/countryOfOrigin": "country of origin",
    }
    with pytest.raises(UnknownEntity, match="did you mean 'France'"):
        europe.describe("http://x/Frankce")


def test_entities_come_in_id_order_with_the_ids_that_stay(europe: KnowledgeGraph) -> None:
    before = {entity.iri: entity.id for entity in europe.entities()}
    assert list(before) == ["x:Italy", "x:Rome", "x:France", "x:Paris"]
    assert list(before.values()) == sorted(before.values())
    europe.retract("x:Italy", "x:borders")
    europe.add("x:Spain", "x:borders", "x:France", source="s")
    after = {entity.iri: entity.id for entity in europe.entities()}
    assert before.items() <= after.items()
    assert europe.iris(after.values()) == {number: iri for iri, number in after.items()}
    for entity in europe.entities():
        assert entity == europe.describe(entity.iri)


def test_a_relation_with_a_label_is_no_entity_but_a_related_one_is(europe: KnowledgeGraph) -> None:
    from kg.records import RDFS

    europe.add("x:capital", RDFS + "label", Literal("capital"), source="s")
    assert "x:capital" not in {entity.iri for entity in europe.entities()}
    europe.add("x:capital", "x:inverse", "x:capitalOf", source="s")
    assert {"x:capital", "x:capitalOf"} <= {entity.iri for entity in europe.entities()}


def test_a_name_is_resolved_by_iri_then_label_then_alias(europe: KnowledgeGraph) -> None:
    assert europe.resolve("x:Paris") == "x:Paris"
    assert europe.resolve("ITALY") == "x:Italy"
    assert europe.resolve("eternal  city") == "x:Rome"
    with pytest.raises(UnknownEntity, match=r"no entity is called 'Itally'; did you mean '(Italy|Italien)'"):
        europe.resolve("Itally")
    with pytest.raises(UnknownEntity, match="no entity is called ''"):
        europe.resolve("")
    europe.add("x:Rome_Georgia", "http://www.w3.org/2000/01/rdf-schema#label", Literal("Rome"), source="s")
    with pytest.raises(UnknownEntity, match=r"2 entities are called 'rome': give the IRI \(x:Rome, x:Rome_Georgia\)"):
        europe.resolve("rome")


def test_search_finds_beginnings_before_insides(europe: KnowledgeGraph) -> None:
    assert [e.iri for e in europe.search("ital")] == ["x:Italy"]
    assert [e.iri for e in europe.search("city")] == ["x:Rome"]
    assert europe.search("100%") == [] and europe.search(" ") == []


def test_the_counts_add_up(europe: KnowledgeGraph) -> None:
    europe.add("x:Italy", "x:capital", "x:Rome", source="other")
    assert europe.stats() == {
        "triples": 11,
        "literals": 7,
        "entities": 4,
        "relations": 5,
        "sources": {"atlas": 10, "other": 1},
        "pictures": 0,
        "version": 2,
    }
    assert europe.relations()["x:capital"] == 3
    assert europe.degrees()[europe.ids(["x:France"])["x:France"]] == 3
    assert europe.count_facts() == 10


def test_pictures_belong_to_known_entities_and_come_once(europe: KnowledgeGraph) -> None:
    shots = [Picture("a.jpg", "x:Rome", "train"), Picture("b.jpg", "x:Rome", "val"), Picture("c.jpg", "x:Italy")]
    assert europe.add_pictures(shots, source="photos") == 2
    assert europe.add_pictures(shots, source="photos") == 2
    assert [p.path for p in europe.pictures("x:Rome")] == ["a.jpg", "b.jpg"]
    assert [p.path for p in europe.pictures(split="val")] == ["b.jpg"]
    assert europe.describe("x:Italy").pictures == (Picture("c.jpg", "x:Italy", source="photos"),)
    with pytest.raises(UnknownEntity, match="no entity <x:Nowhere>"):
        europe.add_pictures([Picture("d.jpg", "x:Rome"), Picture("e.jpg", "x:Nowhere")])
    assert len(europe.pictures()) == 3
