"""Thresholds and the figures of triple classification, by hand; false triples read with the vocabulary of training."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from kg.embeddings.bilinear import ComplEx
from kg.embeddings.classification import classify, fit, fit_scores, judge, score
from kg.embeddings.sources import read_folder, read_negatives
from kg.errors import FormatError, InputError
from tests.kg.embeddings.fixed import FixedScores

NAN = np.nan


def cut(
    scores: list[float], true: list[int], relations: list[int], num_relations: int = 3
) -> tuple[list[float], float]:
    found = fit_scores(np.array(scores), np.array(true, dtype=bool), np.array(relations), num_relations)
    return found.of_relation.tolist(), found.single


def test_each_relation_has_the_threshold_that_gets_most_right() -> None:
    # Relation 0: true 9 8 6, false 7 2: cutting between 6 and 2 gets 4 of 5, as does cutting between 8 and 7.
    # Relation 1: true 1, false 0. Together: 9 8 | 7 6 2 1 0 has 5 of 7 right, 9 8 7 6 | 2 1 0 has 5, too.
    of_relation, single = cut([9, 8, 6, 7, 2, 1, 0], [1, 1, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1, 1])
    assert single == 7.5  # of equally good ones the highest
    assert of_relation == [7.5, 0.5, 7.5]  # of relation 0's two, the nearer to it; relation 2 has none of its own


def test_a_relation_with_one_triple_keeps_as_near_to_the_others_as_it_may() -> None:
    # Relation 0 alone: 5 and 4 true, 1 and 0 false, so 2.5. One true triple below it, one above, one false above.
    common = [5.0, 4.0, 1.0, 0.0], [1, 1, 0, 0], [0, 0, 0, 0]
    for value, is_true, expected in ((0.5, 1, 0.5), (3.0, 1, None), (3.0, 0, None)):
        of_relation, single = cut([*common[0], value], [*common[1], is_true], [*common[2], 1])
        assert of_relation[1] == (expected if expected is not None else single)
        assert (value >= of_relation[1]) == bool(is_true)
    of_relation, _ = cut([5, 4, 1, 0, 9], [1, 1, 0, 0, 0], [0, 0, 0, 0, 1])
    assert of_relation[1] > 9 and of_relation[1] == pytest.approx(9)  # just above, so that 9 is called false


def test_equal_scores_are_not_parted() -> None:
    # 1 1 1: two true, one false. All called true is best; between them is no cut.
    of_relation, _ = cut([1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0], 1)
    assert of_relation == [0.5]


def test_nan_is_left_out_of_the_fit_and_never_called_true() -> None:
    of_relation, single = cut([NAN, 2, 0, NAN], [1, 1, 0, 1], [0, 0, 0, 1])
    assert of_relation == [1.0, 1.0, 1.0] and single == 1.0
    with pytest.raises(InputError, match="the scores of all validation triples are NaN"):
        cut([NAN, NAN], [1, 0], [0, 0])
    table = torch.full((3, 1, 3), NAN)
    table[0, 0] = torch.tensor([3.0, 1.0, NAN])
    model, rows = FixedScores(table), np.array([[0, 0, 0], [0, 0, 1], [0, 0, 2]])
    found = classify(model, rows[[0, 2]], rows[[1]], fit(model, rows[[0]], rows[[1]]))
    assert found["nan_scores"] == 1 and found["recall"] == 0.5 and found["accuracy"] == pytest.approx(2 / 3)


def test_infinite_scores_have_thresholds_between_them() -> None:
    assert cut([np.inf, 1, -np.inf], [1, 0, 0], [0, 0, 0], 1)[0] == [np.inf]
    assert cut([np.inf, -np.inf], [1, 0], [0, 0], 1)[0] == [np.inf]


def test_figures_by_hand() -> None:
    # Called true: 3, of which 2 are; 4 are true; 5 of 8 are right.
    true = np.array([1, 1, 1, 1, 0, 0, 0, 0], dtype=bool)
    called = np.array([1, 1, 0, 0, 1, 0, 0, 0], dtype=bool)
    assert judge(true, called) == {
        "accuracy": 5 / 8,
        "precision": 2 / 3,
        "recall": 1 / 2,
        "f1": pytest.approx(2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2)),
    }
    assert judge(true, np.zeros(8, dtype=bool))["f1"] == 0


def test_figures_come_for_each_relation_and_for_a_single_threshold() -> None:
    # Scores of relation 1 lie 10 above those of relation 0: one threshold gets half right, two get all.
    table = torch.zeros(4, 2, 4)
    table[0, :, :2] = torch.tensor([[1.0, 0.0], [11.0, 10.0]])
    true, false = np.array([[0, 0, 0], [0, 1, 0]]), np.array([[0, 0, 1], [0, 1, 1]])
    model = FixedScores(table)
    found = classify(model, true, false, fit(model, true, false))
    assert (found["accuracy"], found["f1"], found["single"]["accuracy"]) == (1.0, 1.0, 0.75)
    assert found["by_relation"] == {
        0: {"count": 2, "threshold": 0.5, "accuracy": 1.0},
        1: {"count": 2, "threshold": 10.5, "accuracy": 1.0},
    }
    nothing = np.empty((0, 3), dtype=np.int64)
    with pytest.raises(InputError, match="true and false validation triples, and there are none of one kind"):
        fit(model, true, nothing)
    with pytest.raises(InputError, match="there are no triples to classify"):
        classify(model, nothing, nothing, fit(model, true, false))


def test_a_reciprocal_model_is_asked_both_ways() -> None:
    model = ComplEx(3, 1, 2, reciprocal=True, initial=1.0)
    h, r, t = (torch.tensor([n]) for n in (0, 0, 2))
    both = (model.score(h, r, t) + model.score(t, r + 1, h)) / 2
    assert score(model, np.array([[0, 0, 2]])) == pytest.approx(both.detach().numpy())


def test_false_triples_are_read_with_the_numbers_of_training_and_unknown_names_are_told(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("a\tr\tb\nb\ts\ta\n", encoding="utf-8")
    triples = read_folder(tmp_path)
    with pytest.raises(
        InputError, match=r"holds no valid_negatives\.tsv: classification needs triples known to be false"
    ):
        read_negatives(tmp_path, triples)
    (tmp_path / "valid_negatives.tsv").write_text("b\tr\ta\n\na\ts\ta\n", encoding="utf-8")
    with gzip.open(tmp_path / "test_negatives.tsv.gz", "wt") as file:
        file.write("a\tr\ta\n")
    found = read_negatives(tmp_path, triples)
    assert found["valid"].tolist() == [[1, 0, 0], [0, 1, 0]] and found["test"].tolist() == [[0, 0, 0]]
    for line, says in (("a\tr\tc", "the entity 'c'"), ("a\tq\tb", "the relation 'q'")):
        (tmp_path / "valid_negatives.tsv").write_text(f"a\tr\tb\n{line}\n", encoding="utf-8")
        with pytest.raises(FormatError) as caught:
            read_negatives(tmp_path, triples)
        path = tmp_path / "valid_negatives.tsv"
        assert str(caught.value) == f"{path}:2: {says} is not among those the model was trained on"


def test_codex_false_triples_are_read_whole(shared_data: Path) -> None:
    triples = read_folder(shared_data / "codex-s")
    false = read_negatives(shared_data / "codex-s", triples)
    assert [len(false[split]) for split in ("valid", "test")] == [1827, 1828]  # as its authors count them
    true = {tuple(row) for split in triples.splits.values() for row in split.tolist()}
    assert not any(tuple(row) in true for split in false.values() for row in split.tolist())
