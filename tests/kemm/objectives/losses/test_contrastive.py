"""Contrast, by hand, by finite differences and against transformers."""

from __future__ import annotations

import math

import pytest
import torch

from kemm.objectives.losses.contrastive import (
    any_positive,
    hardest_negative_hinge,
    info_nce,
    label_contrast,
    momentum_target,
    soft_cross_entropy,
)
from kg.errors import InputError

S = torch.tensor([[2.0, 0.0], [1.0, 3.0]], dtype=torch.float64)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)


def test_two_pairs_by_hand() -> None:
    rows, columns = 2 * math.log(1 + math.exp(-2)), math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-3))
    assert info_nce(S).item() == pytest.approx((rows + columns) / 4)


def test_info_nce_is_the_loss_of_clip() -> None:
    clip = pytest.importorskip("transformers.models.clip.modeling_clip")
    s = random(5, 5)
    torch.testing.assert_close(info_nce(s), clip.image_text_contrastive_loss(s))


def test_a_momentum_target_mixes_teacher_and_pair() -> None:
    teacher = torch.tensor([[math.log(3), 0.0, -math.inf]])  # ¾, ¼, 0
    torch.testing.assert_close(momentum_target(teacher, 0.4), torch.tensor([[0.4 * 0.75 + 0.6, 0.1, 0.0]]))
    with pytest.raises(InputError, match="alpha is 2"):
        momentum_target(teacher, 2)


def test_one_label_for_two_rows_spreads_the_target() -> None:
    rows = math.log(math.exp(2) + 1) - 1 + math.log(math.exp(1) + math.exp(3)) - 2
    columns = math.log(math.exp(2) + math.exp(1)) - 1.5 + math.log(1 + math.exp(3)) - 1.5
    assert label_contrast(S, torch.tensor([4, 4])).item() == pytest.approx((rows + columns) / 4)
    torch.testing.assert_close(label_contrast(S, torch.tensor([1, 2])), info_nce(S))


def test_of_several_positives_the_nearest_counts_most() -> None:
    positives = torch.tensor([[True, True, False]])
    s = torch.tensor([[math.log(2), 0.0, 0.0]])
    assert any_positive(s, positives).item() == pytest.approx(math.log(4 / 3))
    assert any_positive(s, torch.zeros_like(positives)).item() == 0


def test_the_hinge_sees_only_the_hardest() -> None:
    s = torch.tensor([[0.5, 0.4, 0.1], [0.0, 0.9, 0.0], [0.0, 0.0, 0.3]])
    # rows: .2+.4−.5, .2+0−.9, .2+0−.3; columns: .2+0−.5, .2+.4−.9, .2+.1−.3: 0.1 alone is above zero
    assert hardest_negative_hinge(s).item() == pytest.approx(0.1 / 3, abs=1e-6)
    assert hardest_negative_hinge(s, labels=torch.zeros(3)).item() == 0


def test_a_column_that_is_no_candidate_costs_nothing() -> None:
    padded = torch.cat([S, torch.full((2, 1), -math.inf)], 1)
    target = torch.eye(2, 3, dtype=torch.float64)
    torch.testing.assert_close(soft_cross_entropy(padded, target), soft_cross_entropy(S, target[:, :2]))


def test_the_order_of_the_batch_changes_nothing() -> None:
    s, labels, order = random(4, 4), torch.tensor([0, 1, 0, 2]), torch.tensor([2, 0, 3, 1])
    turned = s[order][:, order]
    torch.testing.assert_close(info_nce(turned), info_nce(s))
    torch.testing.assert_close(label_contrast(turned, labels[order]), label_contrast(s, labels))
    torch.testing.assert_close(hardest_negative_hinge(turned), hardest_negative_hinge(s))


def test_gradients_are_those_of_finite_differences() -> None:
    labels = torch.tensor([0, 1, 0])
    positives = labels[:, None] == labels[None, :]
    assert torch.autograd.gradcheck(lambda s: label_contrast(s, labels), random(3, 3))
    assert torch.autograd.gradcheck(lambda s: any_positive(s, positives), random(3, 3))
    assert torch.autograd.gradcheck(hardest_negative_hinge, random(3, 3))
    assert torch.autograd.gradcheck(lambda s: info_nce(s, momentum_target(s.detach() * 0 + 1, 0.4)), random(3, 3))


def test_a_contrast_both_ways_needs_a_square() -> None:
    with pytest.raises(InputError, match="square"):
        info_nce(random(2, 3))
