from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kg import KnowledgeGraph, Snapshot
from kg.errors import StoreError


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
