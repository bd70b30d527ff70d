"""Small graphs that can be checked by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kg import KnowledgeGraph, Literal
from kg.records import RDFS, SKOS

LABEL, ALIAS, DEFINITION = RDFS + "label", SKOS + "altLabel", SKOS + "definition"


@pytest.fixture(params=["memory", "file", "postgresql"])
def graph(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KnowledgeGraph]:
    """An empty store: in memory, in a file, and in PostgreSQL."""
    if request.param == "postgresql":
        address = request.getfixturevalue("empty_postgres")
    else:
        address = "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path}/store.db"
    with KnowledgeGraph.open(address) as opened:
        yield opened


@pytest.fixture
def europe() -> Iterator[KnowledgeGraph]:
    """Italy –capital→ Rome, Italy –borders→ France –capital→ Paris, labels for all but Paris; one version."""
    with KnowledgeGraph.open("sqlite://") as opened:
        with opened.edit(source="atlas") as edit:
            edit.add("x:Italy", "x:capital", "x:Rome")
            edit.add("x:Italy", "x:borders", "x:France")
            edit.add("x:France", "x:capital", "x:Paris")
            edit.add("x:Italy", LABEL, Literal("Italy", language="en"))
            edit.add("x:Italy", LABEL, Literal("Italien", language="de"))
            edit.add("x:Italy", ALIAS, Literal("Italian Republic"))
            edit.add("x:Italy", DEFINITION, Literal("A country with the shape of a boot."))
            edit.add("x:France", LABEL, Literal("France", language="en"))
            edit.add("x:Rome", LABEL, Literal("Rome", language="en"))
            edit.add("x:Rome", ALIAS, Literal("Eternal City", language="en"))
        yield opened
