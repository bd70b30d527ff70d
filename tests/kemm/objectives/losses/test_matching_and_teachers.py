"""What is put beside what; teachers; frames in order."""

from __future__ import annotations

import math

import pytest
import torch

from kemm.objectives.losses.adversarial import ascend, freelb, symmetric_kl
from kemm.objectives.losses.distillation import (
    cosine_distillation,
    feature_distillation,
    logit_distillation,
    momentum_distillation,
)
from kemm.objectives.losses.matching import (
    hard_negatives,
    match_cross_entropy,
    pollute_captions_or_tags,
    pollute_tags,
)
from kemm.objectives.losses.video import orders, shuffle_frames
from kg.errors import InputError


def test_a_negative_is_never_a_match() -> None:
    match = torch.tensor([[True, False, True], [True, True, True]])
    assert hard_negatives(torch.zeros(2, 3), match).tolist() == [1, -1]


def test_half_a_quarter_and_a_quarter_are_polluted() -> None:
    captions, tags, target = pollute_captions_or_tags(torch.arange(2000), torch.Generator().manual_seed(0))
    own = torch.arange(2000)
    assert torch.equal(captions != own, target == 1) and torch.equal(tags != own, target == 2)
    assert target.bincount().div(2000).tolist() == pytest.approx([0.5, 0.25, 0.25], abs=0.04)


def test_teachers_by_hand() -> None:
    logits, teacher = torch.zeros(2, 2), torch.tensor([[math.log(3), 0.0], [5.0, 0.0]])
    assert momentum_distillation(logits, teacher, torch.tensor([0, -100])).item() == pytest.approx(math.log(2))
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert logit_distillation(logits[:1], teacher[:1]).item() == pytest.approx(kl, abs=1e-6)


def test_the_adversary_climbs_and_stays_in_its_ball() -> None:
    up = ascend(torch.zeros(1, 1, 2), torch.tensor([[[3.0, 4.0]]]), 1.0, 0.5)
    torch.testing.assert_close(up, torch.tensor([[[0.3, 0.4]]]))
    p, q = torch.tensor([[math.log(3), 0.0]]), torch.zeros(1, 2)
    assert symmetric_kl(p, q).item() == pytest.approx(0.25 * math.log(3), abs=1e-6)
    x = torch.ones(1, 1, 2)
    worst = freelb(lambda e: e[:, 0], lambda z: z.sum(), x, x[:, 0], steps=2, step=1.0, kl=0.0)
    assert worst.item() == pytest.approx(2 + math.sqrt(2) / 2, abs=1e-5)  # 2, then 2 + √2


def test_the_target_tells_the_order_of_the_frames() -> None:
    frames = torch.arange(6).expand(4, 6)
    shuffled, target = shuffle_frames(frames, 3, torch.Generator().manual_seed(0))
    assert torch.equal(shuffled[:, ::2] // 2, orders(3)[target])


def test_a_match_is_one_and_each_wrong_pair_zero() -> None:
    even = torch.zeros(1, 2)
    sure = torch.tensor([[0.0, 2.0]])  # of a match
    lost = -math.log(math.exp(2) / (1 + math.exp(2)))
    assert match_cross_entropy(sure, even).item() == pytest.approx((lost + math.log(2)) / 2)
    assert match_cross_entropy(sure, sure, sure).item() == pytest.approx((lost + 2 * (lost + 2)) / 3)


def test_half_of_the_tags_are_another_s_and_a_lone_label_keeps_its_own() -> None:
    labels = torch.arange(4).repeat(500)
    tags, target = pollute_tags(labels, 0.5, torch.Generator().manual_seed(0))
    assert 0.45 < target.float().mean() < 0.55
    assert torch.equal(labels[tags] != labels, target == 1)
    tags, target = pollute_tags(torch.zeros(5, dtype=torch.long), 1.0)
    assert tags.tolist() == [0, 1, 2, 3, 4] and not target.any()
    with pytest.raises(InputError, match=r"a share of 1\.5 polluted rows"):
        pollute_tags(labels, 1.5)


def test_teachers_are_met_by_angle_or_by_unit_vectors() -> None:
    student = torch.tensor([[3.0, 0.0], [0.0, 5.0]])
    teacher = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert cosine_distillation(student, teacher).item() == pytest.approx(0.5)  # 0 and 1
    assert feature_distillation(student, teacher).item() == pytest.approx(0.5)  # 0 and |(−1, 1)|² / 2
    assert feature_distillation(student, teacher, normalize=False).item() == pytest.approx((4 / 2 + 26 / 2) / 2)
    assert cosine_distillation(student, teacher, torch.tensor([True, False])).item() == pytest.approx(0.0)
    assert cosine_distillation(student, teacher, torch.tensor([False, False])).item() == 0
