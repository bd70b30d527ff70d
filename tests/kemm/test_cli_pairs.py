"""The commands ``data filter``, ``capfilt`` and ``stamps``: what they print, what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kemm.cli import main
from tests.kemm.data.test_pair_filters import listed, picture


def test_filter_prints_what_was_dropped_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "0.jpg", 0)
    pairs = listed(tmp_path, [("a", "0.jpg", "a dog on the beach"), ("b", "0.jpg", "dog")])
    arguments = ["data", "filter", str(pairs), "--out", str(tmp_path / "kept.jsonl"), "--side", "20"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"read": 2, "kept": 1, "resumed_at": 0, "dropped": {"text too short": 1}}
    assert main(arguments) == 0
    assert "1 texts of 2 pairs kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["filter", "none.jsonl", "--out", "kept.jsonl"], "there is no file none.jsonl"),
        (["stamps", "--folder", "none", "--store", "sqlite:///none.db"], "apt install tuxpaint-stamps-default"),
        (
            [
                "capfilt",
                "none.jsonl",
                "--captioner",
                "no",
                "--filter",
                "no",
                "--tokenizer",
                "no",
                "--out",
                "kept.jsonl",
            ],
            "no saved system there; `kemm import-weights` writes one",
        ),
    ],
)
def test_what_is_not_there_is_said_in_one_line_and_nothing_is_left(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and says in printed.err and len(printed.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())
