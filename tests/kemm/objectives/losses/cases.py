"""A loss with its inputs, for what every loss owes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Case:
    """A loss with its inputs.

    Attributes:
        loss: of ``rows`` and ``fixed`` by name.
        slopes: inputs that are learned.
        rows: inputs with the batch as first axis; ``fixed``: the rest.
        padding: input → (axis, what to pad with).
        is_held: whether a part that depends on the inputs is taken for given, which finite differences can't know.
    """

    loss: Callable[..., Tensor]
    slopes: list[str]
    rows: dict[str, Tensor]
    fixed: dict[str, Tensor | float | bool] = field(default_factory=dict)
    padding: dict[str, tuple[int, float]] = field(default_factory=dict)
    is_held: bool = False


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))
