"""Commands about versions: diff, blame, merge, undo, and loads that go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kemm.cli import main

STORE = "sqlite:///world.db"


@pytest.fixture
def ok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command with --json on a store of Roma and Rome, both in Italy."""
    monkeypatch.chdir(tmp_path)
    Path("a.tsv").write_text("Roma\tin\tItaly\nRome\tin\tItaly\nx\tnear\tRoma\n")

    def run(*arguments: object) -> dict[str, Any]:
        assert main([*map(str, arguments), "--store", STORE, "--json"]) == 0, capsys.readouterr().err
        return dict(json.loads(capsys.readouterr().out))

    assert run("ingest", "a.tsv", "--source", "atlas", "--resume")["triples"] == 3
    return run


def test_a_merge_is_seen_in_diff_and_blame_and_can_be_undone(ok: Any) -> None:
    assert ok("kg", "merge", "Rome", "Roma", "--source", "editor")["version"] == 2
    difference = ok("kg", "diff", 1)
    assert difference["counts"] == {"added": 1, "retracted": 2}
    (blamed,) = ok("kg", "blame", "Roma", "in", "Italy")["statements"]
    assert (blamed["source"], blamed["added"]["id"], blamed["retracted"]["action"]) == ("atlas", 1, "merge")
    assert ok("kg", "undo")["version"] == 3 and ok("kg", "diff", 1)["counts"] == {"added": 0, "retracted": 0}
    assert [row["action"] for row in ok("kg", "log")["versions"]] == ["undo", "merge", "load"]


def test_a_version_tells_who_made_it_and_why(ok: Any) -> None:
    who = ("--author", "kim", "--note", "checked on site")
    ok("kg", "add", "Rome", "in", "Lazio", "--literal", "--source", "editor", *who)
    ok("kg", "retract", "Rome", "in", "Lazio", *who)
    ok("kg", "merge", "Rome", "Roma", "--source", "editor", *who)
    ok("kg", "undo", *who)
    Path("b.tsv").write_text("Rome\tnear\tOstia\n")
    ok("ingest", "b.tsv", *who)
    versions = ok("kg", "log")["versions"]
    assert [row["action"] for row in versions] == ["load", "undo", "merge", "retract", "add", "load"]
    assert {(row["author"], row["note"]) for row in versions[:5]} == {("kim", "checked on site")}
    assert (versions[5]["author"], versions[5]["note"]) == ("", "")


def test_a_fact_that_nobody_stated_is_answered_with_those_there_were(ok: Any, capsys: Any) -> None:
    ok("kg", "add", "Rome", "in", "5", "--unit", "km", "--source", "editor")
    ok("kg", "retract", "Rome", "in", "5 km")
    assert [one["tail"] for one in ok("kg", "blame", "Rome", "in", "5 km")["statements"]] == ["5"]
    assert main(["kg", "blame", "Rome", "in", "France", "--store", STORE]) == 2
    assert "'France' isn't one for that head and relation; there are 5 km, Italy" in capsys.readouterr().err


def test_an_entity_is_shown_as_it_was_with_its_units_and_what_else_is_said(ok: Any, capsys: Any) -> None:
    header = "head\trelation\ttail\tkind\tunit\tqualifiers\n"
    Path("b.tsv").write_text(header + 'Rome\tarea\t1285\tliteral\tkm2\t[["since", {"value": "1999"}]]\n')
    ok("ingest", "b.tsv")
    (fact,) = [fact for fact in ok("kg", "show", "Rome")["facts"] if fact["relation"] == "area"]
    assert fact["labels"] == ["Rome", "area", "1285 km2"] and fact["literal"] == {"unit": "km2"}
    assert fact["qualifiers"] == [{"key": "since", "value": "1999", "literal": {}, "labels": ["since", "1999"]}]
    capsys.readouterr()
    assert main(["kg", "show", "Rome", "--store", STORE]) == 0
    printed = capsys.readouterr().out
    assert "1285 km2" in printed and "since: 1999" in printed
    assert [fact["relation"] for fact in ok("kg", "show", "Rome", "--version", 1)["facts"]] == ["in"]


def test_a_relation_of_which_nothing_is_left_can_still_be_named(ok: Any) -> None:
    ok("kg", "retract", "x", "near")
    (blamed,) = ok("kg", "blame", "x", "near", "Roma")["statements"]
    assert blamed["retracted"]["id"] == 2
    assert ok("kg", "add", "x", "near", "Rome", "--source", "editor")["version"] == 3


def test_there_is_no_load_to_drop(ok: Any) -> None:
    assert ok("kg", "drop-load") == {"dropped": False}
    assert ok("ingest", "a.tsv", "--source", "atlas", "--resume")["triples"] == 0
