from __future__ import annotations

from pathlib import Path

import pytest

from kg import KnowledgeGraph, ingest
from kg.errors import FormatError

FACTS = [("Italy", "capital", "Rome"), ("France", "capital", "Paris")]


@pytest.fixture
def store() -> KnowledgeGraph:
    return KnowledgeGraph.open("sqlite://")


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_openke_s_ids_are_found_beside_the_table(store: KnowledgeGraph, tmp_path: Path) -> None:
    write(
        tmp_path,
        entity2id__txt="4\nItaly\t0\nRome\t1\nFrance\t2\nParis\t3\n",
        relation2id__txt="1\ncapital\t0\n",
        train2id__txt="2\n0 1 0\n2 3 0\n",  # head, tail, relation
    )
    assert ingest.load(tmp_path / "train2id.txt", into=store).triples == 2
    assert [s.fact for s in store.triples()] == FACTS
    assert ingest.load(tmp_path, into=store, source="train2id.txt").triples == 0  # a folder of them, too


@pytest.mark.parametrize("name", ["entities.dict", "entities.tsv"])
def test_ids_may_come_first(store: KnowledgeGraph, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("0\tItaly\n1\tRome\n2\tFrance\n3\tParis\n")
    write(tmp_path, train__tsv="0\tcapital\t1\n2\tcapital\t3\n")
    ingest.load(tmp_path / "train.tsv", into=store, entity_ids=str(tmp_path / name))
    assert [s.fact for s in store.triples()] == FACTS


def test_names_that_are_numbers_are_told_by_the_order_of_the_columns(store: KnowledgeGraph, tmp_path: Path) -> None:
    write(tmp_path, a__dict="0\t1984\n1\t2001\n", b__txt="1984\t0\n2001\t1\n", t__tsv="0\tr\t1\n")
    for ids in ("a.dict", "b.txt"):
        ingest.load(tmp_path / "t.tsv", into=store, entity_ids=tmp_path / ids)
    assert [s.fact for s in store.triples()] == [("1984", "r", "2001")]


@pytest.mark.parametrize(
    ("ids", "table", "reason"),
    [
        (
            "Italy\t0\nRome\t1\n",
            "0\tr\t1\n0\tr\t7\n",
            r"t\.tsv:2: entity id '7' is not in .*ids\.txt: is it the id file",
        ),
        ("Italy\t0\nRome\t0\n", "0\tr\t1\n", r"ids\.txt:2: id 0 is on line 1 already: give each its own"),
        (
            "3\nItaly\t0\nRome\t1\n",
            "0\tr\t1\n",
            r"ids\.txt:3: the first line says 3 ids, and there are 2: is it cut off",
        ),
        ("Italy\n", "0\tr\t1\n", r"ids\.txt:1: 1 columns instead of 2"),
        ("Italy\tRome\n", "0\tr\t1\n", r"ids\.txt:1: neither column is a whole number"),
        ("Italy\t0\nRome\tx\n", "0\tr\t1\n", r"ids\.txt:2: the id 'x' is not a whole number"),
        ("Italy\t0\nRome\t1\n", "3\n0\tr\t1\n", r"t\.tsv:2: the first line says 3 facts, and there are 1"),
    ],
)
def test_ids_that_do_not_fit_are_named(
    store: KnowledgeGraph, tmp_path: Path, ids: str, table: str, reason: str
) -> None:
    write(tmp_path, ids__txt=ids, t__tsv=table)
    with pytest.raises(FormatError, match=reason):
        ingest.load(tmp_path / "t.tsv", into=store, entity_ids=tmp_path / "ids.txt")
    assert store.version == 0


def test_a_fact_whose_id_is_unknown_can_be_skipped(store: KnowledgeGraph, tmp_path: Path) -> None:
    write(tmp_path, ids__txt="Italy\t0\nRome\t1\n", t__tsv="0\tr\t1\n0\tr\t7\n")
    report = ingest.load(tmp_path / "t.tsv", into=store, entity_ids=tmp_path / "ids.txt", on_error="skip")
    assert (report.triples, report.num_rejected) == (1, 1)
