"""Numbered triples: what becomes of duplicates, loops, unseen names and empty splits, on disk and from a store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kg import KnowledgeGraph
from kg.embeddings.known import Known
from kg.embeddings.sources import read_files, read_folder, read_store
from kg.embeddings.triples import Triples, number
from kg.errors import FormatError, InputError

TRAIN = [("a", "r", "b"), ("b", "r", "c"), ("a", "r", "b"), ("c", "s", "c")]


def test_duplicates_count_once_and_loops_are_kept_and_both_are_reported() -> None:
    triples = number({"train": TRAIN, "test": [("a", "r", "c"), ("b", "r", "c")]})
    assert (list(triples.entities), list(triples.relations)) == (["a", "b", "c"], ["r", "s"])
    assert triples["train"].tolist() == [[0, 0, 1], [1, 0, 2], [2, 1, 2]]
    assert triples.report["train"] == {
        "triples": 3,
        "duplicates": 1,
        "unseen_entities": 0,
        "dropped": 0,
        "self_loops": 1,
        "in_train": 0,
    }
    assert triples.report["test"]["in_train"] == 1  # kept: the filter takes care of it


def test_unseen_entities_are_kept_dropped_or_refused() -> None:
    splits = {"train": TRAIN, "test": [("a", "r", "x"), ("b", "r", "a")]}
    kept = number(splits)
    assert kept.num_entities == 4 and kept.report["test"]["unseen_entities"] == 1 and len(kept["test"]) == 2
    dropped = number(splits, unseen="drop")
    assert dropped.num_entities == 3 and dropped.report["test"]["dropped"] == 1
    assert dropped["test"].tolist() == [[1, 0, 0]]
    with pytest.raises(InputError, match=r"1 triples of 'test' have an entity that training has not, such as 'x'"):
        number(splits, unseen="refuse")


def test_unseen_relations_are_refused_unless_dropped_or_wanted() -> None:
    splits = {"train": TRAIN, "test": [("a", "new", "b"), ("b", "r", "a")]}
    with pytest.raises(InputError, match=r"a relation that training has not, such as 'new'.*unseen=drop"):
        number(splits)
    assert number(splits, unseen="drop").num_relations == 2
    assert number(splits, unseen="keep-all").num_relations == 3


def test_an_empty_training_split_is_an_error_and_an_empty_test_split_when_it_is_asked_for() -> None:
    with pytest.raises(InputError, match="the training split is empty"):
        number({"train": []})
    with pytest.raises(InputError, match="the training split is missing"):
        number({"test": TRAIN})
    triples = number({"train": TRAIN, "test": []})
    with pytest.raises(InputError, match="the split 'test' is empty"):
        triples["test"]
    with pytest.raises(InputError, match=r"there is no split 'valid' \(there are: train, test\)"):
        triples["valid"]


def test_saved_triples_are_mapped_and_the_same(tmp_path: Path) -> None:
    triples = number({"train": TRAIN, "test": [("a", "r", "c")]})
    triples.save(tmp_path / "set")
    triples.save(tmp_path / "set")  # again, in its place
    opened = Triples.open(tmp_path / "set")
    assert isinstance(opened["train"], np.memmap)
    assert opened["train"].tolist() == triples["train"].tolist() and opened.report == triples.report
    assert opened.fingerprint() == triples.fingerprint()
    assert number({"train": TRAIN[::-1]}).fingerprint() != triples.fingerprint()  # the same names, in another order
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_a_folder_of_something_else_is_neither_read_nor_overwritten(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("dear diary")
    with pytest.raises(InputError, match="holds something else"):
        number({"train": TRAIN}).save(tmp_path)
    with pytest.raises(InputError, match="not a folder of numbered triples"):
        Triples.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]


def test_files_are_read_in_any_order_of_columns_and_a_bad_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("r\ta\tb\r\n\nr\tb\tc\n", encoding="utf-8")
    (tmp_path / "test.txt").write_text("r\tc\ta\n", encoding="utf-8")
    triples = read_folder(tmp_path, columns="rht")
    assert triples["train"].tolist() == [[0, 0, 1], [1, 0, 2]] and triples["test"].tolist() == [[2, 0, 0]]
    (tmp_path / "train.tsv").write_text("a\tr\tb\na\tr\n", encoding="utf-8")
    with pytest.raises(FormatError, match=r"train.tsv:2: three names between tabs are needed, there are 2"):
        read_folder(tmp_path)
    with pytest.raises(InputError, match="an order of the letters h, r and t"):
        read_files({"train": tmp_path / "train.tsv"}, columns="hrr")
    with pytest.raises(InputError, match=r"holds no train\.tsv"):
        (tmp_path / "empty").mkdir()
        read_folder(tmp_path / "empty")


def test_a_store_is_split_by_source_or_by_shares() -> None:
    with KnowledgeGraph.open("sqlite://") as graph:
        for source, facts in {
            "atlas": [("x:a", "x:r", "x:b"), ("x:b", "x:r", "x:c")],
            "news": [("x:c", "x:r", "x:a"), ("x:a", "x:r", "x:b")],
        }.items():
            with graph.edit(source=source) as edit:
                for fact in facts:
                    edit.add(*fact)
        triples = read_store(graph, {"train": ["atlas"], "test": ["news"]})
        named = [
            [triples.entities[h], triples.relations[r], triples.entities[t]] for h, r, t in triples["test"].tolist()
        ]
        assert sorted(named) == [["x:a", "x:r", "x:b"], ["x:c", "x:r", "x:a"]]
        assert triples.report["test"]["in_train"] == 1
        with pytest.raises(InputError, match=r"has no source 'rumour' \(there are: atlas, news\)"):
            read_store(graph, {"train": ["rumour"]})
        with pytest.raises(InputError, match=r"must sum to 1 \(got 0.9\)"):
            read_store(graph, {"train": 0.5, "test": 0.4})


def test_shares_of_a_store_leave_nothing_unseen_and_depend_on_the_seed_alone() -> None:
    with KnowledgeGraph.open("sqlite://") as graph:
        with graph.edit(source="ring") as edit:
            for n in range(40):
                for step in (1, 2, 3):
                    edit.add(f"x:{n}", f"x:r{step}", f"x:{(n + step) % 40}")
        shares = {"train": 0.5, "valid": 0.25, "test": 0.25}
        triples = read_store(graph, shares, seed=1)
        assert [len(triples[split]) for split in shares] == [60, 30, 30]
        assert triples.report["test"]["unseen_entities"] == 0 and triples.num_entities == 40
        again, other = read_store(graph, shares, seed=1), read_store(graph, shares, seed=2)
        assert again["test"].tolist() == triples["test"].tolist() != other["test"].tolist()


def test_known_answers_are_found_on_both_sides() -> None:
    known = Known([np.array([[0, 0, 1], [0, 0, 2], [0, 0, 1], [2, 1, 1]])], num_entities=3)
    begin, end = known.tails.find(known.tail_keys(np.array([0, 1, 2]), np.array([0, 0, 1])))
    assert [known.tails.answers[b:e].tolist() for b, e in zip(begin, end)] == [[1, 2], [], [1]]
    begin, end = known.heads.find(known.head_keys(np.array([0, 1, 1]), np.array([1, 1, 0])))
    assert [known.heads.answers[b:e].tolist() for b, e in zip(begin, end)] == [[0], [2], []]
