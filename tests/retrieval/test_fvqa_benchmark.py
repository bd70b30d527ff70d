"""How FVQA's questions are split: nothing that must not be shared is on two sides."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from benchmarks.retrieval_fvqa import read, recall, split
from benchmarks.retrieval_glosses import asked_for

QUESTIONS = [f"question {number % 40}" for number in range(100)]
RIGHT = [number % 30 for number in range(100)]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_fact_or_a_wording_is_in_one_part_only_and_every_question_in_one(seed: int) -> None:
    for by, keys in (("fact", RIGHT), ("question", QUESTIONS)):
        parts = split(QUESTIONS, RIGHT, by, seed)
        held = {name: {keys[row] for row in rows} for name, rows in parts.items()}
        assert sorted(row for rows in parts.values() for row in rows) == list(range(100))
        assert not held["train"] & held["test"] and not held["train"] & held["valid"]
        assert len(held["test"]) == round(0.3 * len(set(keys)))
        assert parts == split(QUESTIONS, RIGHT, by, seed) and parts != split(QUESTIONS, RIGHT, by, seed + 1)


def test_facts_are_read_once_each_and_without_brackets(tmp_path: Path) -> None:
    rows = [{"question": f" q{n} ", "fact_surface": f"[[a]] is [[{n % 2}]]"} for n in range(3)]
    (tmp_path / "train0.json.gz").write_bytes(gzip.compress(json.dumps(dict(enumerate(rows))).encode()))
    assert read(tmp_path) == (["q0", "q1", "q2"], [0, 1, 0], ["a is 0", "a is 1"])


def test_recall_is_the_share_whose_right_one_is_among_the_first() -> None:
    found = [[1, 2, 3], [9, 8, 7, 6, 5, 1], list(range(30))]
    assert recall(found, [1, 1, 20]) == pytest.approx([1 / 3, 1 / 3, 2 / 3])


def test_definitions_to_fit_weights_on_are_not_those_asked_for() -> None:
    parts = asked_for(["a definition of four words"] * 9000 + ["too short"])
    assert [len(parts[name]) for name in ("train", "valid", "test", "head")] == [500, 300, 1000, 6000]
    assert len(set().union(*parts.values())) == 7800 and 9000 not in set().union(*parts.values())
