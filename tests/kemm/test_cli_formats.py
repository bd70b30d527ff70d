"""``kemm ingest``'s options, ``kemm export`` and ``kemm media add --property``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from kemm.cli import main


def run(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main([*words, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_files_and_options_go_in_and_a_version_comes_out(capsys, tmp_path: Path) -> None:
    store = ["--store", f"sqlite:///{tmp_path}/a.db"]
    (tmp_path / "a.tsv").write_text("x:r\tx:a\tx:b\n")
    (tmp_path / "b.csv").write_text("x:r,x:a,x:c\n")
    files = [str(tmp_path / "a.tsv"), str(tmp_path / "b.csv")]
    assert run(capsys, "ingest", *files, *store, "--option", "columns=relation,head,tail")["triples"] == 2
    written = run(capsys, "export", str(tmp_path / "out.nt"), *store)
    assert (written["facts"], written["format"], written["version"]) == (2, "nt", 1)
    assert sorted((tmp_path / "out.nt").read_text().splitlines()) == ["<x:a> <x:r> <x:b> .", "<x:a> <x:r> <x:c> ."]
    assert run(capsys, "export", str(tmp_path / "out"), *store, "--format", "tsv", "--version", "0")["facts"] == 0
    assert main(["ingest", *files, *store, "--option", "colums=x"]) == 2
    assert "tsv, csv has no option 'colums'; did you mean 'columns'?" in capsys.readouterr().err
    assert main(["ingest", *files, *store, "--option", "columns"]) == 2
    assert "an option is written NAME=VALUE, not 'columns'" in capsys.readouterr().err


def test_facts_are_printed_as_they_are_read_from_standard_input(capfdbinary, monkeypatch, tmp_path: Path) -> None:
    store = ["--store", f"sqlite:///{tmp_path}/a.db"]
    (tmp_path / "a.nt").write_text("<x:a> <x:r> <x:b> .\n")
    assert main(["ingest", str(tmp_path / "a.nt"), *store]) == 0
    monkeypatch.chdir(tmp_path)
    capfdbinary.readouterr()
    assert main(["export", "-", "--format", "nt", *store]) == 0
    assert capfdbinary.readouterr().out == b"<x:a> <x:r> <x:b> .\n" and not Path("-").exists()
    assert main(["export", "-", *store]) == 2
    assert b"standard output has no suffix to tell its format" in capfdbinary.readouterr().err
    assert main(["export", "-", "--format", "nt", "--json", *store]) == 2
    assert b"both want standard output" in capfdbinary.readouterr().err


def test_pictures_are_named_by_a_property(capsys, tmp_path: Path) -> None:
    store = ["--store", f"sqlite:///{tmp_path}/a.db"]
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "a.tsv").write_text("x:a\tx:image\ta.png\n")
    run(capsys, "ingest", str(tmp_path / "a.tsv"), *store)
    words = ["media", "add", "--property", "x:image", "--root", str(tmp_path)]
    assert run(capsys, *words, *store)["pictures"] == 1
    assert main(["media", "add", *store, "--property", "x:image"]) == 2
    assert "--property needs --root" in capsys.readouterr().err
    assert main(["media", "add", *store]) == 2
    assert "give either a table or --property" in capsys.readouterr().err
