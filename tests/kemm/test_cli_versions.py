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


def test_there_is_no_load_to_drop(ok: Any) -> None:
    assert ok("kg", "drop-load") == {"dropped": False}
    assert ok("ingest", "a.tsv", "--source", "atlas", "--resume")["triples"] == 0
