"""Figures against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from kemm.evaluate.conditions import deranged
from kemm.evaluate.metrics import accuracy, filtered_rank, is_right, wilson


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("9.5", "9.50 g", True),
        ("9.5 grams", "9.5", True),
        ("2l", "2 l", True),
        ("ca 180g", "CA 180 g", True),
        ("The Netherlands", "netherlands", True),
        ("1,234", "1234", True),
        ("-5", "5", False),
        ("9.5", "9.6", False),
        ("Milk", "Oat Milk", False),
        ("180 kcal", "180 kJ", True),  # units are not compared: a number is the store's literal
        ("14 days", "14", False),  # "days" is no unit we know
    ],
)
def test_a_match_ignores_case_spaces_and_unit_words(answer: str, gold: str, right: bool) -> None:
    assert is_right(answer, [gold]) is right


def test_wilson_interval_of_eight_of_ten() -> None:
    low, high = wilson(8, 10)  # (0.8 + 0.19207 ± 1.95996·√(0.016 + 0.0096036)) / 1.384146
    assert (low, high) == pytest.approx((0.49016, 0.94333), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    assert accuracy([True] * 8 + [False] * 2)["ci95"] == [0.4902, 0.9433]


def test_a_filtered_rank_leaves_out_other_true_answers_and_halves_ties() -> None:
    scores = np.array([5.0, 3.0, 3.0, 1.0, 4.0])
    assert filtered_rank(scores, 1, [1]) == 1 + 2 + 0.5  # 5 and 4 above, 3 ties
    assert filtered_rank(scores, 1, [0, 1]) == 1 + 1 + 0.5  # 5 is true as well


def test_shuffling_gives_no_question_its_own_entity() -> None:
    groups = ["a"] * 3 + ["b"] * 2 + ["c"] * 4
    order = deranged(groups, seed=3)
    assert sorted(order) == list(range(9))
    assert all(groups[row] != groups[other] for row, other in enumerate(order))
