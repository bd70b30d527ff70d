"""The small world as a store, with and without pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from kg import KnowledgeGraph, Literal, Picture
from tests.retrieval.small_world import DEFINITION, FACTS, LABEL, NAMES, HashedWords, Thumbnail


@pytest.fixture
def text() -> HashedWords:
    return HashedWords()


@pytest.fixture
def images() -> Thumbnail:
    return Thumbnail()


@pytest.fixture
def graph() -> Iterator[KnowledgeGraph]:
    """The ten facts, with labels and descriptions, in memory; version 1."""
    with KnowledgeGraph.open("sqlite://") as store:
        with store.edit(source="atlas") as edit:
            for iri, label in NAMES.items():
                edit.add(iri, LABEL, Literal(label))
            for iri in ("c:it", "c:fr", "c:ch", "c:jp"):
                edit.add(iri, DEFINITION, Literal(f"{NAMES[iri]} is a country."))
            for fact in FACTS:
                edit.add(*fact)
        yield store


@pytest.fixture
def paint(tmp_path: Path) -> Callable[[str, str], Path]:
    """``paint(name, colour)`` makes a picture of one colour below ``tmp_path`` and returns its path."""

    def make(name: str, colour: str) -> Path:
        Image.new("RGB", (8, 8), colour).save(tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def pictured(graph: KnowledgeGraph, paint: Callable[[str, str], Path], tmp_path: Path) -> KnowledgeGraph:
    """The graph with two pictures of Italy, one of Japan to train on, and a red one of France held out; version 2."""
    rows = [("it1.png", "c:it", "green", "train"), ("it2.png", "c:it", "lime", "train")]
    rows += [("jp.png", "c:jp", "white", ""), ("fr.png", "c:fr", "red", "val")]
    for name, _, colour, _ in rows:
        paint(name, colour)
    graph.add_pictures(
        [Picture(name, entity, split, str(tmp_path)) for name, entity, _, split in rows], source="photos"
    )
    return graph
