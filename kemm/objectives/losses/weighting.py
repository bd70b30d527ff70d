"""How losses are added: by fixed weights, by weights that follow the step, by learned uncertainty."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from kg.errors import InputError


def weighted_sum(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """L = Σ_i w_i L_i; a weight of zero leaves its loss out altogether, so that an infinite one there does no harm.

    Raises:
        InputError: a loss without a weight, or every weight is zero.
    """
    missing = sorted(set(losses) - set(weights))
    if missing:
        raise InputError(f"the loss '{missing[0]}' has no weight; there are weights of {', '.join(sorted(weights))}")
    kept = [weights[name] * loss for name, loss in losses.items() if weights[name] != 0]
    if not kept:
        raise InputError("every loss has a weight of zero: give one of them another")
    return torch.stack(kept).sum()


def scheduled(step: int, start: float, end: float, steps: int, warmup: int = 0, shape: str = "linear") -> float:
    """A weight on its way from ``start`` to ``end`` in ``steps`` steps after ``warmup`` ones; it stays there.

        linear: a + (b − a) x,   cosine: b + (a − b) (1 + cos πx) / 2,   x = (step − warmup) / steps, held to [0, 1]

    ALBEF's α goes from 0 to .4 linearly in its first epochs.

    Raises:
        InputError: another shape.
    """
    share = min(max((step - warmup) / steps, 0.0), 1.0) if steps > 0 else float(step >= warmup)
    if shape == "linear":
        return start + (end - start) * share
    if shape == "cosine":
        return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
    raise InputError(f"a weight's schedule is 'linear' or 'cosine', not '{shape}'")


def by_uncertainty(losses: Tensor, log_variance: Tensor, is_regression: Tensor) -> Tensor:
    """L = Σ_i c_i e^{−s_i} L_i + ½ s_i,   s = log σ²,   c = ½ for a regression, 1 for a classification.

    Kendall et al. (2018, arXiv:1705.07115): the noisier task weighs less, and σ has its price. A loss L settles at
    s = log(2 c L), where it weighs 1 / (2 L): every task then pulls alike, whatever its unit. Losses are not negative,
    or
    this has no lower bound: give 1 − cos rather than −cos.

    Args:
        losses: (n,). log_variance: (n,), learned, 0 at the start. is_regression: (n,) bool.
    """
    scale = torch.where(is_regression, 0.5, 1.0).to(losses.dtype)
    return (scale * torch.exp(-log_variance) * losses + 0.5 * log_variance).sum()
