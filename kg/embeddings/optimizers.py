"""The optimisers of embeddings by name; those of sparse gradients update only the rows that a step has touched."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


def make(name: str, parameters: Iterable[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    """Return Adagrad or Adam with one pass over each parameter's memory a step ("fused")."""
    if name == "adagrad":
        return torch.optim.Adagrad(parameters, lr=learning_rate, fused=True)
    assert name == "adam"
    return torch.optim.Adam(parameters, lr=learning_rate, fused=True)
