"""Rank fusion and ranking measures, against numbers worked out by hand."""

from __future__ import annotations

from math import log2

import pytest

from retrieval.ranking import mrr, ndcg, recall_at_k, reciprocal_rank_fusion


def test_fusion_adds_reciprocal_ranks() -> None:
    fused = reciprocal_rank_fusion([["a", "b", "c"], ["b", "d"]])
    assert [item for item, _ in fused] == ["b", "a", "d", "c"]
    assert dict(fused) == pytest.approx({"b": 1 / 62 + 1 / 61, "a": 1 / 61, "d": 1 / 62, "c": 1 / 63})


def test_a_repeated_item_counts_once_in_a_ranking() -> None:
    assert dict(reciprocal_rank_fusion([["a", "a", "b"]])) == pytest.approx({"a": 1 / 61, "b": 1 / 62})


def test_recall_counts_the_relevant_among_the_first_k() -> None:
    assert recall_at_k(["a", "b", "c", "d"], {"b", "d", "x", "y"}, 3) == 0.25
    assert recall_at_k(["a"], set(), 1) == 0.0


def test_mrr_averages_the_first_relevant_ranks() -> None:
    assert mrr([["a", "b"], ["c"], ["d", "e", "f"]], [{"b"}, {"x"}, {"d", "f"}]) == pytest.approx((1 / 2 + 0 + 1) / 3)


def test_ndcg_discounts_by_the_logarithm_of_the_rank() -> None:
    ideal = 1 + 1 / log2(3)
    assert ndcg(["a", "x", "b"], {"a", "b"}) == pytest.approx((1 + 1 / 2) / ideal)
    assert ndcg(["a", "x", "b"], {"a", "b"}, k=2) == pytest.approx(1 / ideal)
    assert ndcg(["b", "a"], {"a", "b"}) == pytest.approx(1.0)
