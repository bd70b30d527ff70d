from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kg import KnowledgeGraph, Literal, Snapshot
from kg.errors import InputError, StoreError
from kg.store import bulk
from kg.walks import neighbourhood
from tests.kg.conftest import ALIAS, LABEL


def edges(snapshot: Snapshot, graph: KnowledgeGraph) -> set[tuple[str, ...]]:
    entities, relations = graph.iris(snapshot.entity_ids), graph.iris(snapshot.relation_ids)
    rows = zip(snapshot.heads, snapshot.relations, snapshot.tails, strict=True)
    return {
        (entities[snapshot.entity_ids[h]], relations[snapshot.relation_ids[r]], entities[snapshot.entity_ids[t]])
        for h, r, t in rows
    }


DRAWN = {
    ("x:Italy", "x:capital", "x:Rome"),
    ("x:Italy", "x:borders", "x:France"),
    ("x:France", "x:capital", "x:Paris"),
}


def test_a_snapshot_holds_the_edges_between_entities(europe: KnowledgeGraph) -> None:
    snapshot = europe.snapshot()
    assert (snapshot.num_entities, snapshot.num_relations, snapshot.num_edges) == (4, 2, 3)
    assert edges(snapshot, europe) == DRAWN
    assert snapshot.version == 1 and snapshot.store == europe.uuid
    assert [e.id for e in europe.entities()] == snapshot.entity_ids.tolist()


def test_both_groupings_give_the_edges_of_an_entity(europe: KnowledgeGraph) -> None:
    snapshot = europe.snapshot()
    italy, rome, france, paris = snapshot.index_of(
        [europe.ids([f"x:{n}"])[f"x:{n}"] for n in ("Italy", "Rome", "France", "Paris")]
    )
    assert set(snapshot.out.of(italy)[0]) == {rome, france}
    assert snapshot.into.of(paris)[0].tolist() == [france] and snapshot.into.of(italy)[0].size == 0
    assert snapshot.index_of([10**9]).tolist() == [-1]


def test_one_fact_of_two_sources_is_one_edge_and_a_retracted_one_none(europe: KnowledgeGraph) -> None:
    europe.add("x:Italy", "x:capital", "x:Rome", source="other")
    assert europe.snapshot().num_edges == 3
    europe.retract("x:Italy", "x:borders")
    assert edges(europe.snapshot(), europe) == DRAWN - {("x:Italy", "x:borders", "x:France")}


def test_a_saved_snapshot_is_mapped_as_it_was(europe: KnowledgeGraph, tmp_path: Path) -> None:
    taken = europe.snapshot()
    for _ in range(2):  # the second time over the first
        taken.save(tmp_path / "snapshot")
    opened = Snapshot.open(tmp_path / "snapshot")
    assert not opened.out.indices.flags.writeable and not opened.into.relation.flags.owndata
    assert edges(opened, europe) == DRAWN and opened.version == 1
    assert np.array_equal(opened.into.indptr, taken.into.indptr)
    assert [p.name for p in tmp_path.iterdir()] == ["snapshot"]


def test_an_empty_store_has_an_empty_snapshot() -> None:
    with KnowledgeGraph.open("sqlite://") as graph:
        snapshot = graph.snapshot()
    assert (snapshot.num_entities, snapshot.num_edges) == (0, 0) and snapshot.out.indptr.tolist() == [0]


def test_what_is_no_snapshot_is_neither_read_nor_replaced(europe: KnowledgeGraph, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no snapshot can be read"):
        Snapshot.open(tmp_path)
    (tmp_path / "precious.txt").write_text("keep me")
    with pytest.raises(StoreError, match="something else than a snapshot"):
        europe.snapshot().save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["precious.txt"]


def one_more(graph: KnowledgeGraph) -> list[tuple[str, Callable[[], object]]]:
    """Edits of every kind, in this order."""
    return [
        ("a new edge", lambda: graph.add("x:Rome", "x:in", "x:Italy", source="e")),
        ("of a new entity", lambda: graph.add("x:Spain", "x:borders", "x:France", source="e")),
        ("a second source", lambda: graph.add("x:Spain", "x:borders", "x:France", source="f")),
        ("one source less", lambda: graph.retract("x:Spain", "x:borders", source="e")),
        ("a literal of a new entity", lambda: graph.add("x:Malta", LABEL, Literal("Malta"), source="e")),
        ("an edge less", lambda: graph.retract("x:Italy", "x:borders", "x:France")),
        ("the edge again", lambda: graph.add("x:Italy", "x:borders", "x:France", source="e")),
        ("an entity less", lambda: graph.retract("x:Spain", "x:borders")),
        ("a relation of old name", lambda: graph.add("x:Rome", ALIAS, "x:Paris", source="e")),
        ("a relation as entity", lambda: graph.add("x:capital", "x:like", "x:in", source="e")),
        ("an entity as relation", lambda: graph.add("x:Rome", "x:Paris", "x:Italy", source="e")),
        ("a load", lambda: bulk.load(graph, [("x:Oslo", "x:in", "x:Norway")], source="e")),
    ]


def test_after_every_kind_of_edit_the_overlay_is_what_a_new_snapshot_holds(europe: KnowledgeGraph) -> None:
    held, overlaid = europe.snapshot(), 0
    for name, edit in one_more(europe):
        edit()
        held, anew = held.at(europe), Snapshot.take(europe)
        overlaid += held.is_overlaid
        assert held.version == anew.version == europe.version, name
        assert edges(held, europe) == edges(anew, europe), name
        assert held.entity_ids.tolist() == anew.entity_ids.tolist(), name
        assert held.num_edges == anew.num_edges == len(held.heads), name
        for entity in range(held.num_entities):
            ours, theirs = held.out.of(entity), anew.out.of(entity)
            assert sorted(ours[0]) == sorted(theirs[0]), name
            assert sorted(held.into.of(entity)[0]) == sorted(anew.into.of(entity)[0]), name
        for number, relation in enumerate(held.relation_ids):
            pairs = {tuple(pair) for pair in np.stack(held.with_relation(number), axis=1).tolist()}
            there = held.relations == number
            assert pairs == set(zip(held.heads[there].tolist(), held.tails[there].tolist())), (name, relation)
        assert held.out.degrees(held.num_entities).tolist() == anew.out.degrees(anew.num_entities).tolist(), name
    assert overlaid >= 5  # most edits cost what they touch


def test_the_graph_hands_out_the_same_arrays_until_an_edit(europe: KnowledgeGraph) -> None:
    first = europe.snapshot()
    assert europe.snapshot() is first
    europe.add("x:Rome", "x:in", "x:Italy", source="e")
    second = europe.snapshot()
    assert second.out.indices is first.out.indices and second.is_overlaid and second.num_edges == 4
    rome = int(second.index_of([europe.ids(["x:Rome"])["x:Rome"]])[0])
    assert neighbourhood(second, rome, (16,), direction="out").entities.tolist()[0] == rome
    assert len(neighbourhood(second, rome, (16,), direction="out").relations) == 1


def test_an_overlaid_snapshot_is_saved_whole(europe: KnowledgeGraph, tmp_path: Path) -> None:
    held = europe.snapshot()
    europe.add("x:Rome", "x:in", "x:Italy", source="e")
    opened = Snapshot.open(held.at(europe).save(tmp_path / "europe.snapshot"))
    assert not opened.is_overlaid and edges(opened, europe) == DRAWN | {("x:Rome", "x:in", "x:Italy")}
    assert opened.at(europe) is opened


def test_the_file_beside_a_store_is_used_by_the_next_and_not_by_another_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kg.store.snapshot.WORTH_KEEPING", 1)
    store, backup = tmp_path / "world.db", tmp_path / "backup"
    with KnowledgeGraph.open(store) as graph:
        graph.add("x:a", "x:r", "x:b", source="s")
        graph.snapshot()
        graph.add("x:a", "x:r", "x:c", source="s")
    with KnowledgeGraph.open(store) as graph:
        again = graph.snapshot()
        assert again.is_overlaid and again.num_edges == 2 and not again.out.indices.flags.writeable
    shutil.copy(tmp_path / "world.db.snapshot", backup)
    store.unlink()
    with KnowledgeGraph.open(store) as graph:  # another store at the same address
        graph.add("x:q", "x:r", "x:p", source="s")
        assert graph.snapshot().num_edges == 1 and not graph.snapshot().is_overlaid
    with KnowledgeGraph.open("sqlite://") as graph, pytest.raises(StoreError, match="take a new one"):
        Snapshot.open(backup).at(graph)


def test_a_damaged_file_is_refused(europe: KnowledgeGraph, tmp_path: Path) -> None:
    path = europe.snapshot().save(tmp_path / "s")
    whole = path.read_bytes()
    for damage in (b"", whole[:-1], whole + b"x", b"other" + whole, whole[:30], whole[:16] + b"}" + whole[17:]):
        path.write_bytes(damage)
        with pytest.raises(StoreError, match="no snapshot can be read"):
            Snapshot.open(path)


def test_a_snapshot_of_a_past_version_has_its_edges(europe: KnowledgeGraph) -> None:
    europe.retract("x:Italy", "x:borders", "x:France")
    past = Snapshot.take(europe, 1)
    assert edges(past, europe) == DRAWN and past.version == 1


def test_a_snapshot_of_a_past_version_is_what_was_taken_then(europe: KnowledgeGraph) -> None:
    """Also entities of which only a name was known, and what became a relation later."""
    europe.add("x:Atlantis", LABEL, Literal("Atlantis"), source="myth")
    europe.add("x:twin", LABEL, Literal("twin"), source="cities")
    then = [Snapshot.take(europe)]
    europe.add("x:Rome", "x:twin", "x:Paris", source="cities")
    then.append(Snapshot.take(europe))
    europe.retract("x:Atlantis", LABEL)
    europe.merge("x:France", "x:Paris", source="tourist")
    for taken in then:
        past = europe.snapshot(taken.version)
        for name in ("entity_ids", "relation_ids", "heads", "relations", "tails"):
            assert getattr(past, name).tolist() == getattr(taken, name).tolist(), (taken.version, name)
        assert europe.snapshot(taken.version) is past
    assert then[0].num_entities == 6 and then[1].num_entities == 5  # "twin" is no entity once it is a relation
    assert europe.snapshot().num_entities == 3 and europe.snapshot(europe.version) is europe.snapshot()
    with pytest.raises(InputError, match="has no version 9"):
        europe.snapshot(9)


def test_a_mapped_snapshot_takes_17_bytes_an_edge_and_is_shared_by_processes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ends, names = rng.integers(0, 5_000, (2, 200_000)), rng.integers(0, 200, 200_000)
    drawn = Snapshot.of(ends[0], names, ends[1], np.arange(5_000), np.arange(200))
    path = drawn.save(tmp_path / "s")
    assert path.stat().st_size < 17 * drawn.num_edges
    code = f"from kg import Snapshot; s = Snapshot.open({str(path)!r}); print(s.num_edges, s.tails.sum())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == [str(drawn.num_edges), str(drawn.tails.sum())]
