from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest

from kg import KnowledgeGraph, Literal, ingest
from kg.errors import FormatError, InputError
from kg.records import XSD


@pytest.fixture
def store() -> KnowledgeGraph:
    return KnowledgeGraph.open("sqlite://")


def write(path: Path, **columns: list[Any]) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


@pytest.mark.parametrize("names", [("head", "relation", "tail"), ("Subject", "Predicate", "Object"), ("a", "b", "c")])
def test_three_columns_are_facts(store: KnowledgeGraph, tmp_path: Path, names: tuple[str, ...]) -> None:
    path = write(tmp_path / "a.parquet", **dict(zip(names, (["Italy"], ["capital"], ["Rome"]), strict=True)))
    assert ingest.load(path, into=store).triples == 1
    assert [s.fact for s in store.triples()] == [("Italy", "capital", "Rome")]


@pytest.mark.parametrize("suffix", ["arrow", "feather"])
def test_arrow_files_and_streams_are_read(store: KnowledgeGraph, tmp_path: Path, suffix: str) -> None:
    table = pyarrow.table({"head": ["a"] * 40_000, "relation": ["r"] * 40_000, "tail": list(map(str, range(40_000)))})
    pyarrow.feather.write_feather(table, tmp_path / f"a.{suffix}")
    assert ingest.load(tmp_path / f"a.{suffix}", into=store).triples == 40_000
    with pyarrow.ipc.new_stream(tmp_path / f"b.{suffix}", table.schema) as stream:
        stream.write_table(table.slice(0, 7))
    assert ingest.load(tmp_path / f"b.{suffix}", into=store, source="b").triples == 7


def test_tails_that_are_values_are_typed_literals(store: KnowledgeGraph, tmp_path: Path) -> None:
    for number, value in enumerate((7, 0.5, True, datetime.date(2020, 1, 2))):
        ingest.load(write(tmp_path / f"{number}.parquet", head=["a"], relation=["r"], tail=[value]), into=store)
    assert [(s.tail.value, s.tail.datatype) for s in store.triples()] == [
        ("7", XSD + "integer"),
        ("0.5", XSD + "double"),
        ("true", XSD + "boolean"),
        ("2020-01-02", XSD + "date"),
    ]


def test_ids_all_over_are_names(store: KnowledgeGraph, tmp_path: Path) -> None:
    ingest.load(write(tmp_path / "a.parquet", head=[0], relation=[1], tail=[2]), into=store)
    assert [s.fact for s in store.triples()] == [("0", "1", "2")]


def test_other_columns_are_left_out_and_named_ones_may_be_anywhere(store: KnowledgeGraph, tmp_path: Path) -> None:
    ingest.load(write(tmp_path / "a.parquet", score=[0.5], tail=["b"], relation=["r"], head=["a"]), into=store)
    path = write(tmp_path / "b.parquet", x=[0.5], o=["c"], p=["r"], s=["a"])
    with pytest.raises(InputError, match=r"has the columns x, o, p, s: say which are which with the option columns="):
        ingest.load(path, into=store)
    ingest.load(path, into=store, columns="-,tail,relation,head")
    assert [s.fact for s in store.triples()] == [("a", "r", "b"), ("a", "r", "c")]
    with pytest.raises(InputError, match=r"has 4 columns \(x, o, p, s\), and columns= names 3"):
        ingest.load(path, into=store, columns="tail,relation,head")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"head": None}, "the head is empty"),
        ({"relation": ""}, "the relation is empty"),
        ({"tail": None}, "the tail is empty"),
        ({"kind": "thing"}, "the kind is 'entity' or 'literal', not 'thing'"),
        ({"qualifiers": '[["k", 5]]'}, "k"),
    ],
)
def test_a_wrong_row_is_named_and_can_be_skipped(
    store: KnowledgeGraph, tmp_path: Path, row: dict[str, Any], reason: str
) -> None:
    good = {"head": "a", "relation": "r", "tail": "b", "kind": "literal", "qualifiers": None}
    columns = {name: [value, row.get(name, value)] for name, value in good.items()}
    path = write(tmp_path / "a.parquet", **columns)
    with pytest.raises(FormatError, match=rf"a\.parquet:2: row 2: {reason}"):
        ingest.load(path, into=store)
    assert ingest.load(path, into=store, on_error="skip").num_rejected == 1
    assert [s.tail for s in store.triples()] == [Literal("b")]
