"""What is put beside what; teachers; frames in order."""

from __future__ import annotations

import math

import pytest
import torch

from kemm.objectives.losses.adversarial import ascend, freelb, symmetric_kl
from kemm.objectives.losses.distillation import logit_distillation, momentum_distillation
from kemm.objectives.losses.matching import hard_negatives, pollute_captions_or_tags
from kemm.objectives.losses.video import orders, shuffle_frames


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
