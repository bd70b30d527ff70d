"""Weights of losses: fixed, scheduled, learned."""

from __future__ import annotations

from math import log

import pytest
import torch

from kemm.objectives.losses.weighting import by_uncertainty, scheduled, weighted_sum
from kg.errors import InputError


def test_a_weighted_sum_leaves_out_what_weighs_nothing_even_if_it_is_infinite() -> None:
    losses = {"itc": torch.tensor(2.0), "mlm": torch.tensor(3.0), "mim": torch.tensor(torch.inf)}
    assert weighted_sum(losses, {"itc": 1.0, "mlm": 0.5, "mim": 0.0}).item() == 3.5


def test_a_loss_without_a_weight_and_weights_of_zero_alone_are_errors() -> None:
    with pytest.raises(InputError, match="'mlm' has no weight; there are weights of itc"):
        weighted_sum({"itc": torch.tensor(2.0), "mlm": torch.tensor(3.0)}, {"itc": 1.0})
    with pytest.raises(InputError, match="every loss has a weight of zero"):
        weighted_sum({"itc": torch.tensor(2.0)}, {"itc": 0.0})


@pytest.mark.parametrize(
    ("step", "linear", "cosine"), [(0, 0.0, 0.0), (10, 0.0, 0.0), (15, 0.2, 0.2), (20, 0.4, 0.4), (99, 0.4, 0.4)]
)
def test_a_schedule_waits_rises_and_stays(step: int, linear: float, cosine: float) -> None:
    assert scheduled(step, 0.0, 0.4, steps=10, warmup=10) == pytest.approx(linear)
    assert scheduled(step, 0.0, 0.4, steps=10, warmup=10, shape="cosine") == pytest.approx(cosine)


def test_a_cosine_is_slow_at_its_ends() -> None:
    assert scheduled(1, 0.0, 1.0, steps=4, shape="cosine") == pytest.approx((1 - 0.5**0.5) / 2)
    with pytest.raises(InputError, match="'linear' or 'cosine', not 'cosinus'"):
        scheduled(1, 0.0, 1.0, steps=4, shape="cosinus")


def test_uncertainty_by_hand() -> None:
    losses, log_variance = torch.tensor([2.0, 3.0]), torch.tensor([log(4.0), 0.0])
    total = by_uncertainty(losses, log_variance, torch.tensor([True, False]))
    assert total.item() == pytest.approx(2 / (2 * 4) + log(2) + 3)  # L/2σ² + log σ;  L/σ² + log σ with σ = 1


def test_learned_weights_settle_at_the_inverse_of_the_loss() -> None:
    losses = torch.tensor([0.1, 5.0])
    log_variance = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.SGD([log_variance], lr=0.5)
    for _ in range(300):
        optimizer.zero_grad()
        by_uncertainty(losses, log_variance, torch.tensor([True, False])).backward()
        optimizer.step()
    assert log_variance.tolist() == pytest.approx([log(0.1), log(10.0)], abs=1e-3)  # s = log(2 c L)
    assert torch.autograd.gradcheck(
        lambda loss, s: by_uncertainty(loss, s, torch.tensor([True, False])),
        [losses.double().requires_grad_(), torch.tensor([0.3, -0.2], dtype=torch.float64).requires_grad_()],
    )
