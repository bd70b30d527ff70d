from __future__ import annotations

from pathlib import Path

import pytest

from kg import KnowledgeGraph, Literal, export
from kg.errors import InputError


def test_a_graph_of_names_is_a_table_of_three_columns(tmp_path: Path) -> None:
    with KnowledgeGraph.open("sqlite://") as graph:
        graph.add("Italy", "capital", "Rome", source="a")
        graph.add("Italy", "capital", "Rome", source="b")
        written = export.write(graph, tmp_path / "a.tsv")
        assert (tmp_path / "a.tsv").read_text() == "Italy\tcapital\tRome\n"
        assert (written.facts, written.format, written.version, written.bytes) == (1, "tsv", 2, 19)
        export.write(graph, tmp_path / "b.tsv", header=True)
        assert (tmp_path / "b.tsv").read_text().splitlines()[1] == "Italy\tcapital\tRome\tentity\t\t\t\t"


def test_a_past_version_is_written(europe: KnowledgeGraph, tmp_path: Path) -> None:
    europe.retract("x:Italy", "x:borders")
    assert export.write(europe, tmp_path / "now.nt").facts == 9
    then = export.write(europe, tmp_path / "then.nt", version=1)
    assert (then.facts, then.version) == (10, 1)
    assert "<x:Italy> <x:borders> <x:France> ." in (tmp_path / "then.nt").read_text().splitlines()
    with pytest.raises(InputError, match="it has no version 7"):
        export.write(europe, tmp_path / "now.nt", version=7)


def test_a_file_that_can_not_be_finished_leaves_the_old_one(europe: KnowledgeGraph, tmp_path: Path) -> None:
    (tmp_path / "a.nt").write_text("old")
    europe.add("x:a", "x:r", Literal("x", language="not a tag"), source="s")
    with pytest.raises(InputError, match=r"the fact 'x:a' 'x:r' 'x' can't be written as RDF \(.*: write Parquet"):
        export.write(europe, tmp_path / "a.nt")
    assert [file.name for file in tmp_path.iterdir()] == ["a.nt"] and (tmp_path / "a.nt").read_text() == "old"


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("a.nx", {}, "there is no exporter 'nx'; did you mean 'nt'"),
        ("a", {}, "has no suffix to tell its format"),
        ("a.hetero", {}, r"'hetero' is no file but an object of Python: kg\.export\.to_hetero\(graph\)"),
        ("none/a.nt", {}, "there is no folder .*none to write a.nt to"),
        ("folder.nt", {}, "is a folder: name a file in it"),
        ("store.nt", {}, "is a database, maybe a store"),
        ("a.nt", {"annotation": "no"}, "nt has no option 'annotation'; did you mean 'annotations'"),
    ],
)
def test_what_can_not_be_written_says_why(
    europe: KnowledgeGraph, tmp_path: Path, name: str, options: dict[str, str], reason: str
) -> None:
    (tmp_path / "folder.nt").mkdir()
    KnowledgeGraph.open(f"sqlite:///{tmp_path}/store.nt").close()
    with pytest.raises(InputError, match=reason):
        export.write(europe, tmp_path / name, **options)


def test_the_same_facts_give_the_same_bytes(europe: KnowledgeGraph, tmp_path: Path) -> None:
    export.write(europe, tmp_path / "a.ttl.gz")
    export.write(europe, tmp_path / "b.ttl.gz")
    assert (tmp_path / "a.ttl.gz").read_bytes() == (tmp_path / "b.ttl.gz").read_bytes()
