from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kg import KnowledgeGraph, Literal
from kg.errors import InputError
from kg.store import bulk

FACTS = [
    ("a", "r", "b"),
    ("b", "r", "c"),
    ("a", "r", "b"),  # twice
    ("a", "name", Literal("Anna", language="en")),
    ("a", "name", Literal("Anna")),
    ("_:x", "r", "a"),
]


def test_a_load_is_one_version_and_counts_what_it_added(graph: KnowledgeGraph) -> None:
    assert bulk.load(graph, FACTS, source="file") == bulk.Loaded(triples=5, literals=2, entities=4, version=1)
    assert {s.fact for s in graph.triples()} == set(FACTS)
    assert {s.source for s in graph.triples()} == {"file"} and len(graph.log()) == 1


def test_loading_again_adds_only_what_is_new(graph: KnowledgeGraph) -> None:
    bulk.load(graph, FACTS, source="file")
    assert bulk.load(graph, FACTS, source="file") == bulk.Loaded(0, 0, 0, version=1)
    assert graph.version == 1 and len(graph.log()) == 1
    assert bulk.load(graph, [*FACTS, ("c", "r", "d")], source="file") == bulk.Loaded(1, 0, 2, version=2)
    assert bulk.load(graph, FACTS, source="other").triples == 5
    graph.retract("b", "r", "c", source="file")
    assert bulk.load(graph, FACTS, source="file").triples == 1  # retracted, so stated anew


def test_a_load_that_fails_leaves_the_store_as_it_was(graph: KnowledgeGraph) -> None:
    bulk.load(graph, FACTS, source="file")
    before = graph.stats()

    def broken() -> Iterator[bulk.Fact]:
        for number in range(60_000):  # more than a batch is written
            yield f"n{number}", "r", Literal(str(number))
        raise RuntimeError("the disk is on fire")

    with pytest.raises(RuntimeError, match="on fire"):
        bulk.load(graph, broken(), source="file")
    assert graph.stats() == before and graph.ids(["n1"]) == {}
    with pytest.raises(InputError, match="the tail of a fact must be an IRI or a Literal, not 3"):
        bulk.load(graph, [("x", "r", "y"), ("x", "r", 3)], source="file")  # type: ignore[list-item]
    with pytest.raises(InputError, match="the head of a fact must be an IRI, not ''"):
        bulk.load(graph, [("x", "r", "y"), ("", "r", "y")], source="file")
    assert graph.stats() == before


def test_a_killed_load_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with KnowledgeGraph.open(path) as graph:
        graph.add("a", "r", "b", source="s")
        before = graph.stats()
    code = (
        "import os, signal; from kg import KnowledgeGraph; from kg.store import bulk\n"
        "def facts():\n"
        "    for n in range(70_000):\n"
        "        if n == 60_000: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        yield f'n{n}', 'r', 'b'\n"
        f"bulk.load(KnowledgeGraph.open({str(path)!r}), facts(), source='s')"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(Path.cwd())}, check=False)
    assert done.returncode == -signal.SIGKILL
    with KnowledgeGraph.open(path) as graph:
        assert graph.stats() == before
        assert graph.add("a", "r", "c", source="s") == 2


def test_progress_is_told_in_facts_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kg.store.batches.BATCH", 2)
    told: list[int] = []
    with KnowledgeGraph.open("sqlite://") as graph:
        bulk.load(graph, FACTS, source="s", progress=told.append)
        assert told == [2, 4, 6] and graph.stats()["triples"] == 5


def test_portions_and_a_full_dictionary_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kg.store.batches.BATCH", 2)
    monkeypatch.setattr("kg.store.numbering.REMEMBERED", 1)
    monkeypatch.setattr(bulk, "PORTION", 3)
    monkeypatch.setattr(bulk, "SMALL", 0)
    with KnowledgeGraph.open("sqlite://") as graph:
        assert bulk.load(graph, FACTS, source="s") == bulk.Loaded(5, 2, 4, 1)
        assert {s.fact for s in graph.triples()} == set(FACTS)
