from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kg import KnowledgeGraph, Literal, ingest
from kg.errors import FormatError, StoreError
from kg.store import bulk

FACTS: list[bulk.Fact] = [
    (f"n{number % 40}", f"r{number % 3}", f"n{number % 39}" if number % 4 else Literal(str(number % 50)))
    for number in range(400)
]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kg.store.batches.BATCH", 20)
    monkeypatch.setattr(bulk, "PORTION", 50)
    monkeypatch.setattr(bulk, "SMALL", 0)


class Stop(Exception):
    pass


def interrupted(after: int) -> Iterator[bulk.Fact]:
    yield from FACTS[:after]
    raise Stop


@pytest.mark.usefixtures("small")
def test_an_interrupted_load_goes_on_where_it_stopped(graph: KnowledgeGraph) -> None:
    graph.add("n1", "r1", "n1", source="hand")
    before = graph.stats()
    for after in (150, 310):
        with pytest.raises(Stop):
            bulk.load(graph, interrupted(after), source="file", resume=True)
        assert graph.stats() == before | {"sources": before["sources"]} and list(graph.triples(head="n7")) == []
        with pytest.raises(StoreError, match=r"loaded in parts from 'file'.*`kemm ingest … --resume`.*drop-load"):
            graph.add("a", "b", "c", source="hand")
    told: list[int] = []
    loaded = bulk.load(graph, FACTS, source="file", resume=True, progress=told.append)
    assert told[0] > 240 and told[-1] == 400  # what was committed was not read again
    with KnowledgeGraph.open("sqlite://") as other:
        other.add("n1", "r1", "n1", source="hand")
        assert bulk.load(other, FACTS, source="file") == loaded
        assert {repr(s) for s in other.triples()} == {repr(s) for s in graph.triples()}
        assert other.stats() == graph.stats()
    assert graph.add("a", "b", "c", source="hand") == 3


@pytest.mark.usefixtures("small")
def test_an_interrupted_load_can_be_dropped(graph: KnowledgeGraph) -> None:
    with pytest.raises(Stop):
        bulk.load(graph, interrupted(200), source="file", resume=True)
    with pytest.raises(StoreError, match="read 'file' as it was then, not this"):
        bulk.load(graph, FACTS, source="other", resume=True)
    assert graph.drop_load() and not graph.drop_load()
    assert graph.version == 0 and graph.ids(["n1"]) == {}
    assert graph.add("n1", "b", "c", source="hand") == 1 and graph.ids(["n1"]) == {"n1": 1}
    assert bulk.load(graph, FACTS, source="other", resume=True).version == 2


@pytest.mark.usefixtures("small")
def test_who_takes_a_load_over_stops_the_one_before(graph: KnowledgeGraph) -> None:
    def overtaken() -> Iterator[bulk.Fact]:
        yield from FACTS[:200]
        assert graph.database.in_memory or bulk.load(graph, FACTS, source="file", resume=True).version == 1
        yield from FACTS[200:]

    if graph.database.in_memory:
        pytest.skip("a store in memory has one connection")
    import threading

    with pytest.raises(StoreError, match=r"(taken this load over|edit is under way|locked)"):
        bulk.load(graph, overtaken(), source="file", resume=True)
    assert threading.active_count() < 10


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("suffix", ["nt", "tsv"])
def test_a_file_with_a_mistake_leaves_nothing_to_go_on_with(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("n_triples", "tsv"):
        monkeypatch.setattr(f"kg.ingest.{module}.CHUNK", 500)
    mark = {"nt": "<x:{}> <x:r> <x:{}> .\n", "tsv": "x:{}\tx:r\tx:{}\n"}[suffix]
    lines = [mark.format(number, number + 1) for number in range(300)]
    path = tmp_path / f"a.{suffix}"
    path.write_text("".join([*lines[:200], "rubbish\n", *lines[200:]]))
    with KnowledgeGraph.open(tmp_path / "a.db") as graph:
        with pytest.raises(FormatError, match=rf"a\.{suffix}:201: "):
            ingest.load(path, into=graph, resume=True)
        assert graph.version == 0 and not graph.drop_load()
        path.write_text("".join(lines))
        assert ingest.load(path, into=graph, resume=True).triples == 300 and graph.version == 1
        assert ingest.load(path, into=graph, resume=True).triples == 0 and graph.version == 1
