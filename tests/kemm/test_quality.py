from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kemm.cli import main
from kg import KnowledgeGraph, ingest

TURTLE = """@prefix x: <http://x/> . @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
x:rome rdfs:label "Rome <b>" ; x:in x:italy ; x:people 2800000 . x:milan x:in x:italy . x:italy x:near x:france ."""


@pytest.fixture
def store(tmp_path: Path) -> str:
    (tmp_path / "world.ttl").write_text(TURTLE)
    with KnowledgeGraph.open(tmp_path / "world.db") as graph:
        ingest.load(tmp_path / "world.ttl", into=graph)
    return f"sqlite:///{tmp_path}/world.db"


def test_a_profile_is_one_json_object_a_table_or_a_page(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "new" / "profile.html"
    assert main(["kg", "profile", "--store", store, "--json", "--html", str(page)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counts"]["entities"] == 4 and found["missing"]["label"] == 3
    html = page.read_text()
    assert "Rome &lt;b&gt;" in html and "<script" not in html and html.count("<svg") >= 4
    assert not re.search(r"(src|href)=\"http", html) and [p.name for p in page.parent.iterdir()] == ["profile.html"]
    assert main(["kg", "profile", "--store", store]) == 0
    assert "connected components: 1," in capsys.readouterr().out


def test_an_audit_is_one_json_object_or_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, test = tmp_path / "train.tsv", tmp_path / "test.tsv"
    train.write_text("".join(f"a{n}\tlikes\tb{n}\nb{n}\tliked_by\ta{n}\n" for n in range(20)) + "x\tliked_by\ty\n")
    test.write_text("y\tlikes\tx\n")
    assert main(["kg", "audit", "--train", str(train), "--test", str(test), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["inverse"]["count"] == 1
    assert main(["kg", "audit", "--train", str(train), "--test", str(test)]) == 0
    assert "turned round in training" in capsys.readouterr().out
    assert main(["kg", "audit", "--train", str(train), "--test", str(tmp_path / "none.tsv")]) == 2
    assert "there is no file" in capsys.readouterr().err
