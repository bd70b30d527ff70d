"""Commands on a small store: what they print, what they refuse, and that refusing leaves nothing behind."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

from kemm.cli import app, main

TURTLE = """
@prefix ex: <http://ex.org/> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
ex:italy rdfs:label "Italy"@en ; ex:capital ex:rome ; ex:borders ex:france ; ex:area 301336 .
ex:france rdfs:label "France"@en ; ex:capital ex:paris .
ex:rome rdfs:label "Rome"@en .
ex:paris rdfs:label "Paris"@en .
ex:georgia1 rdfs:label "Georgia"@en .
ex:georgia2 rdfs:label "Georgia"@en .
"""
STORE = "sqlite:///world.db"
Ok = Callable[..., dict[str, Any]]
Refused = Callable[..., str]


@pytest.fixture
def ok(capsys: pytest.CaptureFixture[str]) -> Ok:
    """Run a command with --json that must succeed; its standard output must be one JSON object and nothing else."""

    def run(*arguments: object) -> dict[str, Any]:
        assert main([*map(str, arguments), "--json"]) == 0, capsys.readouterr().err
        printed = capsys.readouterr().out
        assert printed.count("\n") == 1
        return json.loads(printed)

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must end with status 2, nothing on standard output and one line on standard error."""

    def run(*arguments: object) -> str:
        assert main([str(argument) for argument in arguments]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        lines = printed.err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: "), printed.err
        return lines[0].removeprefix("error: ")

    return run


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ok: Ok) -> Path:
    """An empty working directory with world.ttl, ingested into world.db."""
    monkeypatch.chdir(tmp_path)
    Path("world.ttl").write_text(TURTLE, encoding="utf-8")
    ok("ingest", "world.ttl", "--store", STORE, "--source", "atlas")
    return tmp_path


def capitals(ok: Ok) -> list[tuple[str, str]]:
    facts = ok("kg", "show", "Italy", "--store", STORE)["facts"]
    return [(fact["labels"][2], fact["source"]) for fact in facts if fact["relation"] == "http://ex.org/capital"]


def test_ingest_counts_what_it_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ok: Ok) -> None:
    monkeypatch.chdir(tmp_path)
    Path("world.ttl").write_text(TURTLE, encoding="utf-8")
    counted = ok("ingest", "world.ttl", "--store", STORE, "--source", "atlas")
    assert set(counted) == {"triples", "literals", "entities", "seconds", "triples_per_second", "rejected"}
    # six labels, two capitals, one border, one area; seven literals; six entities
    assert (counted["triples"], counted["literals"], counted["entities"], counted["rejected"]) == (10, 7, 6, 0)
    stats = ok("kg", "stats", "--store", STORE)
    assert (stats["triples"], stats["version"], stats["sources"]) == (10, 1, {"atlas": 10})


def test_a_bad_line_stops_or_is_listed_and_skipped(world: Path, ok: Ok, refused: Refused, capsys: Any) -> None:
    Path("bad.nt").write_text("<http://a> <http://b> <http://c> .\n<http://a> <http://b> .\n", encoding="utf-8")
    assert refused("ingest", "bad.nt", "--store", STORE).startswith("bad.nt:2: ")
    assert ok("kg", "stats", "--store", STORE)["version"] == 1
    assert main(["ingest", "bad.nt", "--store", STORE, "--on-error", "skip", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["rejected"] == 1
    assert printed.err.startswith("bad.nt:2: ")


def test_an_ingest_that_fails_leaves_no_new_store_behind(tmp_path: Path, monkeypatch: Any, refused: Refused) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.ttl").write_text("<http://a> <http://b>", encoding="utf-8")
    assert refused("ingest", "bad.ttl", "--store", STORE).startswith("bad.ttl:1: ")
    assert "nowhere.ttl" in refused("ingest", "nowhere.ttl", "--store", STORE)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.ttl"]


def test_a_store_that_is_not_there_is_named_with_the_remedy(tmp_path: Path, monkeypatch: Any, refused: Refused) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["kg", "stats"], ["kg", "search", "x"], ["link", "x"], ["kg", "log"]):
        message = refused(*words, "--store", STORE)
        assert STORE in message and "kemm ingest" in message
    assert not list(tmp_path.iterdir())


def test_a_missing_store_option_is_explained(refused: Refused) -> None:
    assert refused("kg", "stats") == (
        "Missing option '--store' (URL of the store: sqlite:///FILE.db or postgresql+psycopg://USER@HOST/NAME); "
        "see `kemm kg stats --help`"
    )


def test_search_and_show_find_an_entity_by_its_label(world: Path, ok: Ok) -> None:
    assert ok("kg", "search", "Ital", "--store", STORE)["entities"][0]["entity"] == "http://ex.org/italy"
    shown = ok("kg", "show", "Italy", "--store", STORE)
    assert shown["entity"] == "http://ex.org/italy"
    area = next(fact for fact in shown["facts"] if fact["relation"] == "http://ex.org/area")
    assert area["tail"] == "301336" and area["literal"]["datatype"].endswith("#integer")


def test_an_ambiguous_or_unknown_label_is_answered_with_candidates(world: Path, refused: Refused) -> None:
    ambiguous = refused("kg", "show", "Georgia", "--store", STORE)
    assert "http://ex.org/georgia1" in ambiguous and "http://ex.org/georgia2" in ambiguous
    assert "Italy" in refused("kg", "show", "Itali", "--store", STORE)


def test_an_edit_is_a_version_and_the_next_reading_shows_it(world: Path, ok: Ok) -> None:
    gone = ok("kg", "retract", "Italy", "capital", "Rome", "--store", STORE)
    assert gone["version"] == 2
    assert [fact["labels"] for fact in gone["retracted"]] == [["Italy", "capital", "Rome"]]
    added = ok("kg", "add", "Italy", "capital", "Paris", "--store", STORE, "--source", "me")
    assert (added["version"], added["added"]) == (3, 1)
    assert capitals(ok) == [("Paris", "me")]
    assert [version["id"] for version in ok("kg", "log", "--store", STORE)["versions"]] == [3, 2, 1]


def test_adding_what_is_there_makes_no_version(world: Path, ok: Ok) -> None:
    again = ok("kg", "add", "Italy", "capital", "Rome", "--store", STORE, "--source", "atlas")
    assert (again["version"], again["added"]) == (1, 0)


def test_retract_without_a_tail_retracts_all_and_one_source_only_where_asked(world: Path, ok: Ok) -> None:
    ok("kg", "add", "Italy", "capital", "Paris", "--store", STORE, "--source", "me")
    gone = ok("kg", "retract", "Italy", "capital", "--source", "me", "--store", STORE)
    assert [fact["labels"][2] for fact in gone["retracted"]] == ["Paris"]
    assert capitals(ok) == [("Rome", "atlas")]
    ok("kg", "retract", "Italy", "capital", "--store", STORE)
    assert capitals(ok) == []


def test_a_value_needs_literal_and_fits_its_datatype(world: Path, ok: Ok, refused: Refused) -> None:
    into = ("--store", STORE, "--source", "me")
    assert "--literal" in refused("kg", "add", "Italy", "area", "302073", *into)
    assert refused("kg", "add", "Italy", "area", "12x", "--datatype", "integer", *into) == "'12x' is no integer"
    ok("kg", "add", "Italy", "area", "302073.5", "--datatype", "decimal", "--unit", "km²", *into)
    facts = ok("kg", "show", "Italy", "--store", STORE)["facts"]
    (mine,) = [fact for fact in facts if fact["source"] == "me"]
    assert mine["literal"] == {"datatype": "http://www.w3.org/2001/XMLSchema#decimal", "unit": "km²"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["add", "Italy", "capitol", "Rome", "--source", "me"],
            "relation: none is called 'capitol'; did you mean 'capital'?",
        ),
        (["add", "Italy", "capital", "Romee", "--source", "me"], "did you mean 'Rome'?"),
        (["add", "Itali", "capital", "Rome", "--source", "me"], "head: no entity is called 'Itali'"),
        (["retract", "Italy", "capital", "Paris"], "'Paris' isn't one for that head and relation; there is Rome"),
        (["retract", "Rome", "capital"], ""),
    ],
)
def test_an_edit_that_can_not_be_meant_changes_nothing(
    world: Path, ok: Ok, refused: Refused, arguments: list[str], message: str
) -> None:
    assert message in refused("kg", *arguments, "--store", STORE)
    assert ok("kg", "stats", "--store", STORE)["version"] == 1


def test_media_add_takes_all_pictures_or_none(world: Path, ok: Ok, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (8, 8), "green").save("flag.png")
    Path("good.tsv").write_text("path\tentity\nflag.png\thttp://ex.org/italy\n", encoding="utf-8")
    Path("bad.tsv").write_text(
        "entity\tpath\nhttp://ex.org/italy\tflag.png\nhttp://ex.org/italy\tnone.png\nhttp://ex.org/x\tflag.png\n",
        "utf-8",
    )
    assert main(["media", "add", "bad.tsv", "--store", STORE]) == 2
    faults = capsys.readouterr().err.splitlines()
    assert [fault.split(": ")[1] for fault in faults] == ["bad.tsv:3", "bad.tsv:4"]
    assert ok("kg", "stats", "--store", STORE)["pictures"] == 0
    assert ok("media", "add", "good.tsv", "--store", STORE)["pictures"] == 1


def test_link_finds_the_mentioned_entities(world: Path, ok: Ok) -> None:
    links = ok("link", "Does Italy border France?", "--store", STORE)["links"]
    assert {(link["mention"], link["label"], link["start"]) for link in links} == {
        ("Italy", "Italy", 5),
        ("France", "France", 18),
    }


@pytest.mark.parametrize("command", [["predict", "--run", "r"], ["retrieve", "--store", STORE, "--index", "i"]])
def test_an_empty_question_and_a_missing_picture_are_refused(command: list[str], refused: Refused) -> None:
    assert refused(*command, "--question", "  ") == "empty question: say what to ask with --question"
    missing = refused(*command, "--question", "Who?", "--image", "nowhere.jpg")
    assert missing == "nowhere.jpg: no such picture"


def test_config_show_tells_where_each_value_came_from(world: Path, ok: Ok, refused: Refused) -> None:
    Path("tiny.yaml").write_text("model:\n  width: 32\n", encoding="utf-8")
    shown = ok("config", "show", "tiny.yaml", "--set", "model.heads=2")
    origins = {row["key"]: (row["value"], row["from"]) for row in shown["keys"]}
    assert origins["model.width"] == (32, "tiny.yaml:2")
    assert origins["model.heads"] == (2, "--set model.heads")
    assert origins["model.layers"][1] == "default"
    assert shown["settings"]["model"]["width"] == 32
    assert "did you mean 'width'?" in refused("pretrain", "tiny.yaml", "--set", "model.widht=8")


def test_people_get_tables_and_nothing_of_theirs_is_read_as_markup(world: Path, ok: Ok, capsys: Any) -> None:
    ok("kg", "add", "Italy", "area", "[bold]big[/bold]", "--literal", "--store", STORE, "--source", "me")
    assert main(["kg", "show", "Italy", "--store", STORE]) == 0
    assert "[bold]big[/bold]" in capsys.readouterr().out


def test_ctrl_c_ends_with_one_line_and_130(world: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kg.store.graph.KnowledgeGraph.stats", interrupted)
    assert main(["kg", "stats", "--store", STORE]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_an_unknown_command_names_the_help(refused: Refused) -> None:
    assert refused("kg", "delete") == "No such command 'delete'; see `kemm kg --help`"


def documented(root: Path) -> list[list[str]]:
    """Every `kemm …` line of a code block in README.md and examples/."""
    texts = [
        file.read_text(encoding="utf-8") for file in [root / "README.md", *sorted((root / "examples").glob("*.md"))]
    ]
    lines = [line for text in texts for line in re.findall(r"^ *(?:\$ )?kemm (.+)$", text, flags=re.MULTILINE)]
    return [shlex.split(line, comments=True) for line in lines]


def test_every_documented_command_exists_with_the_options_it_is_given(root: Path) -> None:
    commands = documented(root)
    assert len(commands) >= 9
    for words in commands:
        command: Any = typer.main.get_command(app)
        while words and hasattr(command, "commands"):
            assert words[0] in command.commands, f"there is no command {words[0]}"
            command, words = command.commands[words[0]], words[1:]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        given = {word.split("=")[0] for word in words if re.match(r"-[-a-z]", word)}
        assert given <= known, f"{command.name} does not know {given - known}"
