"""Boxes by hand; sets matched at the least cost."""

from __future__ import annotations

import pytest
import torch

from kemm.objectives.losses.grounding import corners, generalized_iou, match_sets, set_prediction


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
