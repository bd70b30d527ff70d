"""Boxes by hand; sets matched at the least cost."""

from __future__ import annotations

import math

import pytest
import torch

from kemm.objectives.losses.grounding import (
    corners,
    generalized_iou,
    match_sets,
    region_word_contrast,
    set_prediction,
)


def test_boxes_by_hand() -> None:
    a = corners(torch.tensor([0.5, 0.5, 1.0, 1.0]))
    assert a.tolist() == [0, 0, 1, 1]
    # side by side with a gap of one: no overlap, a hull of 3, a third of it empty
    assert generalized_iou(a, torch.tensor([2.0, 0.0, 3.0, 1.0])).item() == pytest.approx(-1 / 3)
    assert generalized_iou(a, a).item() == pytest.approx(1)


def test_each_prediction_gets_the_nearest_box() -> None:
    boxes = torch.tensor([[0.2, 0.2, 0.1, 0.1], [0.8, 0.8, 0.1, 0.1]])
    logits, labels = torch.zeros(2, 3), torch.tensor([1, 0])
    assert match_sets(logits, boxes, labels, boxes.flip(0))[1].tolist() == [1, 0]
    sure = torch.tensor([[[50.0, 0, 0], [0, 50.0, 0]]])
    assert set_prediction(sure, boxes[None], [labels], [boxes.flip(0)]).item() == pytest.approx(0, abs=1e-5)


def test_a_region_that_no_word_names_costs_nothing() -> None:
    words, regions = torch.zeros(1, 3, 2), torch.zeros(1, 2, 2)  # all alike
    named = torch.tensor([[[True, True, False], [False, False, False]]])
    # the first region: two of three words; each of those words: one of two regions
    assert region_word_contrast(regions, words, named).item() == pytest.approx((math.log(3) + math.log(2)) / 2)
    there = torch.tensor([[True, True, False]])
    assert region_word_contrast(regions, words, named, word_mask=there).item() == pytest.approx(math.log(2))
    assert region_word_contrast(regions, words, torch.zeros_like(named)).item() == 0
