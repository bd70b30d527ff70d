"""A slow copy of a module: the teacher of ALBEF, BLIP and MoCo (He et al., 2020, arXiv:1911.05722)."""

from __future__ import annotations

import copy
from typing import Any, Self

import torch
from torch import nn

from kg.errors import InputError


class MomentumCopy(nn.Module):
    """A copy whose weights follow those of the module that trains.

        θ_m ← m θ_m + (1 − m) θ

    It has no gradients, stays in evaluation mode, and is saved with the model that it is a part of.

    Args:
        module: what is copied, as it is now.
        momentum: m; ALBEF and BLIP take 0.995.

    Raises:
        InputError: m is no share.
    """

    def __init__(self, module: nn.Module, momentum: float = 0.995) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise InputError(f"a momentum of {momentum} can't be; give a share from 0 (follow at once) to 1 (never)")
        self.momentum = momentum
        self.copy = copy.deepcopy(module).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Follow ``module`` by one step; numbers that are no weights (batch statistics, counts) are taken over."""
        own, other = dict(self.copy.named_parameters()), dict(module.named_parameters())
        assert own.keys() == other.keys(), "the module's parts have changed since it was copied"
        torch._foreach_lerp_(list(own.values()), [other[name].to(own[name]) for name in own], 1 - self.momentum)
        buffers = dict(module.named_buffers())
        for name, value in self.copy.named_buffers():
            value.copy_(buffers[name])

    @torch.no_grad()
    def forward(self, *arguments: Any, **options: Any) -> Any:
        """What the slow copy makes of it."""
        return self.copy(*arguments, **options)

    def train(self, mode: bool = True) -> Self:
        self.training = mode
        self.copy.eval()
        return self
