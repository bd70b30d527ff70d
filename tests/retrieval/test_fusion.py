"""Fusion by learned weights: what it learns from answers, against cases one can follow by hand."""

from __future__ import annotations

import pytest

from kg.errors import InputError
from retrieval.fusion import LearnedFusion
from retrieval.index import Hit
from retrieval.ranking import fused


def found(good: list[int], bad: list[int]) -> dict[str, list[Hit]]:
    return {
        "good": [Hit(one, 1.0 - 0.1 * place) for place, one in enumerate(good)],
        "bad": [Hit(one, 1.0 - 0.1 * place) for place, one in enumerate(bad)],
    }


def test_a_score_is_the_weighted_sum_of_lead_and_reciprocal_rank() -> None:
    fusion = LearnedFusion({"good": (10.0, 1.0), "bad": (0.0, 2.0)})
    hits = fusion.fuse(found([7, 8], [8, 9]))
    assert {hit.id: hit.score for hit in hits} == pytest.approx({7: 10 * 0.1 + 1, 8: 0 + 1 / 2 + 2, 9: 2 / 2})
    assert [hit.id for hit in hits] == [8, 7, 9]
    assert {hit.id: hit.found_by for hit in hits} == {7: ("good",), 8: ("good", "bad"), 9: ("bad",)}


def test_it_learns_to_follow_the_search_that_is_right() -> None:
    cases = [found([n, n + 1, n + 2], [n + 2, n + 1, n]) for n in range(0, 90, 3)]
    fusion = LearnedFusion.fit(cases, range(0, 90, 3))
    assert [fusion.fuse(one)[0].id for one in cases] == list(range(0, 90, 3))
    assert [fused(one)[0].id for one in cases[:1]] == [0]  # by rank alone it is a tie, broken by order
    assert fusion.fuse(found([5], [6]))[0].id == 5


def test_the_size_of_a_search_s_scores_makes_no_difference() -> None:
    cases = [found([n, n + 1, n + 2], [n + 2, n, n + 1]) for n in range(0, 90, 3)]
    tiny = [{**one, "good": [Hit(hit.id, hit.score / 1000) for hit in one["good"]], "none": []} for one in cases]
    weights, small = (LearnedFusion.fit(some, range(0, 90, 3)).weights for some in (cases, tiny))
    assert small["good"][0] == pytest.approx(1000 * weights["good"][0], rel=1e-2)
    assert small["none"] == pytest.approx((0, 0), abs=1e-3)


def test_ranks_fused_alike_say_what_found_each() -> None:
    hits = fused(found([1, 2], [2, 3]), 2)
    assert [(hit.id, hit.found_by) for hit in hits] == [(2, ("good", "bad")), (1, ("good",))]
    assert [hit.score for hit in hits] == pytest.approx([1 / 62 + 1 / 61, 1 / 61])


def test_nothing_found_is_nothing_fused_and_nothing_to_learn_from() -> None:
    assert LearnedFusion({"good": (1.0, 1.0)}).fuse({"good": []}) == []
    with pytest.raises(InputError, match="nothing to learn"):
        LearnedFusion.fit([found([1], [2])], [3])
