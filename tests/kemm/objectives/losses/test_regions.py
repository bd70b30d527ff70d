"""Losses of masked regions by hand."""

from __future__ import annotations

from math import log

import pytest
import torch
from torch.nn import functional as F

from kemm.objectives.losses.regions import class_loss, distribution_divergence, feature_regression

HIDDEN = torch.tensor([[True, False]])


def test_regression_is_the_mean_square_or_the_smooth_distance() -> None:
    predicted, features = torch.tensor([[[0.5, 3.0], [7.0, 7.0]]]), torch.zeros(1, 2, 2)
    assert feature_regression(predicted, features, HIDDEN).item() == pytest.approx((0.25 + 9) / 2)
    assert feature_regression(predicted, features, HIDDEN, smooth=True).item() == pytest.approx((0.125 + 2.5) / 2)


def test_a_class_costs_its_negative_log_chance_times_the_detectors_confidence() -> None:
    logits = torch.log(torch.tensor([[[0.25, 0.75], [0.5, 0.5]]]))
    classes = torch.tensor([[0, 1]])
    assert class_loss(logits, classes, HIDDEN).item() == pytest.approx(log(4))
    both = class_loss(logits, classes, torch.tensor([[True, True]]), confidence=torch.tensor([[0.5, 1.0]]))
    assert both.item() == pytest.approx((0.5 * log(4) + log(2)) / 2)


def test_divergence_by_hand_and_with_torch() -> None:
    detected = torch.tensor([[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]])
    logits = torch.log(torch.tensor([[[0.25, 0.5, 0.25], [0.2, 0.4, 0.4]]]))
    expected = 0.5 * log(2) + 0.5 * log(1)
    assert distribution_divergence(logits, detected, HIDDEN).item() == pytest.approx(expected)
    everywhere = distribution_divergence(logits, detected, torch.ones(1, 2, dtype=torch.bool))
    theirs = F.kl_div(logits[0].log_softmax(-1), detected[0], reduction="batchmean")
    assert everywhere.item() == pytest.approx(theirs.item())


def test_agreement_with_the_detector_costs_nothing() -> None:
    logits = torch.randn(1, 2, 5, generator=torch.Generator().manual_seed(0))
    assert distribution_divergence(logits, logits.softmax(-1), HIDDEN).item() == pytest.approx(0, abs=1e-6)
