from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kg import KnowledgeGraph, Literal, Picture, Statement
from kg.errors import InputError, StoreError, UnknownEntity
from kg.store import bulk
from tests.kg.conftest import LABEL


@pytest.fixture(params=[0, 10**9], ids=["segments", "rows"])
def places(request: pytest.FixtureRequest, graph: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch) -> KnowledgeGraph:
    """Roma –in→ Italy and Rome –in→ Italy, Rome –has→ "7" hills; one load, as a segment and as rows."""
    monkeypatch.setattr(bulk, "SMALL", request.param)
    facts = [("Roma", "in", "Italy"), ("Rome", "in", "Italy"), ("Rome", "hills", Literal("7")), ("x", "near", "Roma")]
    assert bulk.load(graph, facts, source="atlas").version == 1
    return graph


def facts(graph: KnowledgeGraph, version: int | None = None) -> set[tuple[object, ...]]:
    return {statement.fact for statement in graph.triples(version=version)}


def test_two_entities_become_one_and_undo_makes_them_two(places: KnowledgeGraph) -> None:
    before = facts(places)
    assert places.merge("Rome", "Roma", source="editor") == 2
    assert facts(places) == {("Rome", "in", "Italy"), ("Rome", "hills", Literal("7")), ("x", "near", "Rome")}
    assert {s.source for s in places.triples()} == {"atlas"} and places.count_facts() == 3
    assert places.undo() == 3 and facts(places) == before == facts(places, 1)
    # The undoing of the merge stated two facts anew: they are version 3's, not version 1's.
    assert places.undo(1) == 4 and facts(places) == {("Roma", "in", "Italy"), ("x", "near", "Roma")}
    assert places.undo(4) == 5 and facts(places) == before
    assert [row["action"] for row in places.log()] == ["load", "merge", "undo", "undo", "undo"]


def test_what_can_not_be_merged_or_undone_says_why(places: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match="can't be merged into itself"):
        places.merge("Rome", "Rome")
    with pytest.raises(UnknownEntity, match="no entity is called 'Rom'"):
        places.merge("Rome", "Rom")
    with pytest.raises(InputError, match="has no version 2 to undo"):
        places.undo(2)
    places.undo()
    with pytest.raises(StoreError, match="nothing that version 1 did holds any more"):
        places.undo(1)
    assert places.version == 2


def test_what_an_entity_was_called_can_be_read_at_every_version(places: KnowledgeGraph) -> None:
    places.add("Rome", LABEL, Literal("Rome"), source="editor")
    places.add_pictures([Picture("rome.jpg", "Rome")], source="editor")
    places.retract("Rome", LABEL)
    places.add("Rome", LABEL, Literal("Eternal City"), source="editor")
    assert [places.describe("Rome", version=v).label for v in range(1, 6)] == ["Rome"] * 4 + ["Eternal City"]
    assert places.labels(["Rome"], version=2) == {"Rome": "Rome"} and places.labels(["Rome"])["Rome"] == "Eternal City"
    assert [len(places.pictures(version=v)) for v in (2, 3)] == [0, 1]
    assert [len(places.describe("Rome", version=v).pictures) for v in (2, 3)] == [0, 1]
    assert places.entity_ids(0).size == 0
    with pytest.raises(InputError, match="has no version 6"):
        places.describe("Rome", version=6)


def test_versions_are_dated_in_utc_wherever_the_server_stands(places: KnowledgeGraph) -> None:
    if not places.database.is_sqlite:
        abroad = "&options=-ctimezone%3DAsia/Tokyo" if "?" in places.url else "?options=-ctimezone%3DAsia/Tokyo"
        with KnowledgeGraph.open(places.url + abroad) as elsewhere:
            elsewhere.add("Rome", "in", "Lazio", source="editor")
    written = datetime.fromisoformat(places.log()[-1]["time"])
    assert abs(written - datetime.now(UTC).replace(tzinfo=None)) < timedelta(minutes=5)
    assert written.microsecond == 0


def test_a_difference_is_what_one_version_says_and_the_other_does_not(places: KnowledgeGraph) -> None:
    places.retract("Roma", "in")
    places.add("Roma", "in", "Lazio", source="editor")
    places.add("Roma", "in", "Italy", source="editor")
    added, retracted = places.diff(1)
    assert [s.fact for s in added] == [("Roma", "in", "Lazio"), ("Roma", "in", "Italy")]
    assert retracted == [Statement("Roma", "in", "Italy", "atlas", 1, 2)]
    assert places.diff(3, 1) == ([Statement("Roma", "in", "Italy", "atlas", 1, 2)], added[:1])
    assert places.diff(4, 4) == ([], [])
    with pytest.raises(InputError, match="has no version 9"):
        places.diff(1, 9)


def test_blame_tells_every_time_that_a_fact_was_stated(places: KnowledgeGraph) -> None:
    places.retract("Rome", "in", "Italy")
    places.add("Rome", "in", "Italy", source="editor")
    assert places.blame("Rome", "in", "Italy") == [
        Statement("Rome", "in", "Italy", "atlas", 1, 2),
        Statement("Rome", "in", "Italy", "editor", 3, None),
    ]
    assert places.blame("Rome", "in", "France") == []


def test_qualifiers_come_back_with_their_statement_and_go_with_it(graph: KnowledgeGraph) -> None:
    said = (("since", Literal("1990")), ("until", Literal("1998")), ("with", "Berlin"))
    for small in (0, 10**9):
        bulk.SMALL, before = small, bulk.SMALL
        try:
            loaded = bulk.load(graph, [("a", "in", "b", said[:2]), ("c", "in", "b")], source=f"s{small}")
        finally:
            bulk.SMALL = before
        assert loaded.triples == 2
    with graph.edit(source="s0") as edit:
        assert edit.add("a", "in", "b", qualifiers=said[2:]) and not edit.add("a", "in", "b", qualifiers=said[:1])
    found = {s.source: s.qualifiers for s in graph.triples(head="a")}
    assert found == {"s0": said, f"s{10**9}": said[:2]}
    assert next(graph.triples(head="c")).qualifiers == ()
    graph.retract("a", "in", "b")
    graph.add("a", "in", "b", source="s0")
    assert next(graph.triples(head="a")).qualifiers == ()
    assert {s.source: len(s.qualifiers) for s in graph.triples(head="a", version=3)} == {"s0": 3, f"s{10**9}": 2}


def test_the_past_can_be_asked_as_the_present(places: KnowledgeGraph) -> None:
    places.retract("x", "near")
    assert [s.fact for s in places.neighbours("Roma", version=1)] == [("Roma", "in", "Italy"), ("x", "near", "Roma")]
    assert [s.fact for s in places.neighbours("Roma")] == [("Roma", "in", "Italy")]
    assert places.subgraph(["x"], version=1).distance == {"x": 0, "Roma": 1}
    assert (places.count_facts(1), places.count_facts()) == (4, 3)


def test_edges_out_of_entities_are_followed_hop_by_hop(places: KnowledgeGraph) -> None:
    ids = places.ids(["x", "near", "Roma", "in", "Italy"])
    for _ in range(2):  # from columns alone, then with a row beside them
        one, two = places.fan_out([ids["x"]], hops=2)
        assert [c.tolist() for c in one] == [[ids["x"]], [ids["near"]], [ids["Roma"]]]
        assert [c.tolist() for c in two] == [[ids["Roma"]], [ids["in"]], [ids["Italy"]]]
        assert len(places.fan_out([ids["x"]], hops=3)[2][0]) == 0
        places.add("y", "near", "x", source="s")
