"""Late interaction against sums worked out by hand, and its memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from retrieval.late_interaction import MOST_TOKENS, LateInteraction


class Axes:
    """Each letter is a direction: "a" is (1, 0, 0), "b" (0, 1, 0), "c" (0, 0, 1), "m" halfway between a and b."""

    name, dimension = "axes", 3
    states = {"a": (1, 0, 0), "b": (0, 1, 0), "c": (0, 0, 1), "m": (1, 1, 0)}

    def __init__(self) -> None:
        self.num_encoded = 0

    def tokens(self, items: Sequence[str]) -> list[np.ndarray]:
        self.num_encoded += len(items)
        return [np.array([self.states[letter] for letter in item], dtype=np.float32) for item in items]

    def embed(self, items: Sequence[str]) -> np.ndarray:
        return np.stack([tokens.mean(0) / np.linalg.norm(tokens.mean(0)) for tokens in self.tokens(items)])


def test_every_token_of_the_question_takes_its_best_of_the_fact() -> None:
    explained, found = LateInteraction(Axes()).scores("ab", ["ac", "m", "abc"])
    half = 0.5**0.5
    assert explained == pytest.approx([(1 + 0) / 2, half, 1.0], abs=1e-3)
    assert found == pytest.approx([(1 + 0) / 2, half, 2 / 3], abs=1e-3)


def test_regions_of_a_picture_are_further_tokens() -> None:
    explained, found = LateInteraction(Axes()).scores("a", ["ac", "a"], regions=np.array([[0, 0, 3.0]]))
    assert explained == pytest.approx([1.0, 0.5], abs=1e-3) and found == pytest.approx([1.0, 1.0], abs=1e-3)


def test_weights_say_which_tokens_count() -> None:
    heavy_a = np.array([20.0, -20.0, 0.0], dtype=np.float32)  # softplus: 20 and nearly 0
    explained, _ = LateInteraction(Axes(), question_weight=heavy_a).scores("ab", ["a", "b"])
    assert explained == pytest.approx([1.0, 0.0], abs=1e-3)


def test_a_projection_decides_what_is_alike() -> None:
    only_a = np.array([[1.0, 0, 0], [0, 0, 1.0]], dtype=np.float32)
    explained, _ = LateInteraction(Axes(), projection=only_a).scores("a", ["m"])
    assert explained == pytest.approx([1.0], abs=1e-3)


def test_a_fact_is_encoded_once_and_what_is_used_least_leaves_a_full_memory() -> None:
    axes = Axes()
    one = 3 * 2 + 4  # bytes of a token: three float16, and its weight
    late = LateInteraction(axes, memory=2 * one)
    late.scores("a", ["a", "b"])
    late.scores("a", ["a", "b"])
    assert axes.num_encoded == 2 + 1 + 1 and late.num_bytes == 2 * one
    late.scores("a", ["c"])  # "a" was used before "b"
    late.scores("a", ["b"])
    assert axes.num_encoded == 2 + 1 + 1 + 2 + 1 and late.num_bytes == 2 * one
    late.scores("a", ["a"])
    assert axes.num_encoded == 2 + 1 + 1 + 2 + 1 + 2


def test_more_facts_than_memory_holds_are_scored_all_the_same() -> None:
    late = LateInteraction(Axes(), memory=1)
    assert late.scores("a", ["a", "b", "a"])[0] == pytest.approx([1, 0, 1]) and late.num_bytes == 0


def test_a_long_fact_is_cut_and_no_facts_are_no_scores() -> None:
    late = LateInteraction(Axes())
    assert late.scores("b", ["a" * MOST_TOKENS + "b"])[0] == pytest.approx([0.0])
    assert [len(scores) for scores in late.scores("a", [])] == [0, 0]
