"""``kemm kg sparql``: answers as tables and as JSON, updates, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kemm.cli import main
from kg import KnowledgeGraph, Literal
from kg.records import RDFS, XSD


@pytest.fixture
def store(tmp_path: Path) -> str:
    address = f"sqlite:///{tmp_path}/world.db"
    with KnowledgeGraph.open(address) as graph, graph.edit(source="atlas") as edit:
        edit.add("x:Italy", "x:capital", "x:Rome")
        edit.add("x:Italy", "x:area", Literal("301336", XSD + "integer", unit="km²"))
        edit.add("x:Rome", RDFS + "label", Literal("Rome", language="en"))
    return address


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["kg", "sparql", *arguments, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def test_an_answer_has_columns_and_rows_and_a_value_its_unit(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    query = "SELECT ?city ?area ?mayor { ?c <x:capital> ?city ; <x:area> ?area OPTIONAL { ?city <x:mayor> ?mayor } }"
    area = f'"301336"^^<{XSD}integer> km²'
    assert ask(capsys, query, "--store", store) == {
        "columns": ["city", "area", "mayor"],
        "rows": [["<x:Rome>", area, None]],
    }
    assert main(["kg", "sparql", query, "--store", store]) == 0
    assert "<x:Rome>" in capsys.readouterr().out
    assert ask(capsys, 'ASK { ?c rdfs:label "Rome"@en }', "--store", store) == {"answer": True}
    made = ask(capsys, "CONSTRUCT { ?b <x:of> ?a } WHERE { ?a <x:capital> ?b }", "--store", store)
    assert made == {"triples": [["<x:Rome>", "<x:of>", "<x:Italy>"]]}


def test_an_update_is_one_version_and_the_one_before_can_still_be_asked(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    update = "DELETE { ?c <x:capital> ?t } INSERT { ?c <x:seat> ?t . ?t <x:of> ?c } WHERE { ?c <x:capital> ?t }"
    assert ask(capsys, update, "--update", "--store", store) == {"version": 2, "changed": True}
    seats = "SELECT ?t { ?c <x:capital> ?t }"
    assert ask(capsys, seats, "--store", store)["rows"] == []
    assert ask(capsys, seats, "--store", store, "--version", "1")["rows"] == [["<x:Rome>"]]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["SELECT ?x {"], "query:1:"),
        (["SELECT ?x { ?x no:such ?y }"], "query: Unknown namespace prefix"),
        (["SELECT ?x { SERVICE <http://127.0.0.1:9/> { ?x ?y ?z } }"], "SERVICE, FROM and LOAD"),
        (["SELECT ?x FROM <http://127.0.0.1:9/> { ?x ?y ?z }"], "SERVICE, FROM and LOAD"),
        (["LOAD <http://127.0.0.1:9/>", "--update"], "SERVICE, FROM and LOAD"),
        (["ASK { ?x ?y ?z }", "--version", "7"], "it has no version 7"),
    ],
)
def test_what_can_not_be_asked_is_said_in_one_line(
    arguments: list[str], says: str, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["kg", "sparql", *arguments, "--store", store]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and says in lines[0]
