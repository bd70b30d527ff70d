"""Transport plans: by hand, against the exact solution, under padding."""

from __future__ import annotations

import pytest
import torch

from kemm.objectives.losses.word_region import cosine_cost, ipot, word_region


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_two_words_go_to_their_own_regions() -> None:
    cost = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    torch.testing.assert_close(ipot(cost), torch.eye(2)[None] / 2, atol=1e-6, rtol=0)
    words, regions = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]])
    assert word_region(words, regions).item() == pytest.approx((0 + 1 + 2) / 3)  # one word must cover all three


def test_the_plan_costs_within_a_hundredth_of_the_exact_one() -> None:
    ot = pytest.importorskip("ot", reason="POT, the reference, isn't installed")
    cost = cosine_cost(random(20, 6, 8), random(20, 9, 8, seed=1))
    ours = (cost * ipot(cost)).sum((1, 2))
    exact = torch.tensor([float(ot.emd2([1 / 6] * 6, [1 / 9] * 9, c.numpy())) for c in cost], dtype=torch.float64)
    assert (ours - exact).abs().max() < 0.01


def test_a_square_plan_costs_within_a_hundredth_of_the_best_assignment() -> None:
    from scipy.optimize import linear_sum_assignment

    cost = cosine_cost(random(20, 6, 8), random(20, 6, 8, seed=1))
    best = torch.tensor([c.numpy()[linear_sum_assignment(c.numpy())].mean() for c in cost])
    assert ((cost * ipot(cost)).sum((1, 2)) - best).abs().max() < 0.01


def test_the_plan_keeps_its_margins() -> None:
    plan = ipot(cosine_cost(random(4, 5, 8), random(4, 7, 8, seed=1)))
    torch.testing.assert_close(plan.sum(1), torch.full((4, 7), 1 / 7, dtype=torch.float64))
    torch.testing.assert_close(plan.sum(2), torch.full((4, 5), 1 / 5, dtype=torch.float64), atol=5e-3, rtol=0)


def test_padding_and_the_order_of_the_batch_change_nothing() -> None:
    words, regions = random(2, 3, 4), random(2, 5, 4, seed=1)
    plain = word_region(words, regions)
    longer = torch.cat([words, random(2, 2, 4, seed=2)], 1), torch.cat([regions, random(2, 1, 4, seed=3)], 1)
    masks = (torch.arange(5) < 3).expand(2, 5), (torch.arange(6) < 5).expand(2, 6)
    torch.testing.assert_close(word_region(*longer, *masks), plain)
    torch.testing.assert_close(word_region(words.flip(0), regions.flip(0)), plain.flip(0))
    none = torch.zeros(2, 3, dtype=torch.bool)
    assert word_region(words, regions, none).tolist() == [0, 0]


def test_the_gradient_is_that_of_the_cost_under_a_fixed_plan() -> None:
    words, regions = random(1, 3, 4).requires_grad_(), random(1, 2, 4, seed=1)
    plan = ipot(cosine_cost(words, regions))
    (ours,) = torch.autograd.grad(word_region(words, regions).sum(), words)
    (fixed,) = torch.autograd.grad((cosine_cost(words, regions) * plan).sum(), words)
    torch.testing.assert_close(ours, fixed)
    assert torch.autograd.gradcheck(lambda w: (cosine_cost(w, regions) * plan).sum(), words)
