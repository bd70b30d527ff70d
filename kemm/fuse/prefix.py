"""Learned keys and values before those of the tokens (prefix-tuning: Li & Liang, 2021, arXiv:2101.00190)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Prefix(nn.Module):
    """P keys and values that every query of one attention may read, whatever the masks say; they have no position.

    Args:
        heads: H.
        head_width: d.
        size: P.

    Attributes:
        is_on: whether they are read.
    """

    def __init__(self, heads: int, head_width: int, size: int) -> None:
        super().__init__()
        self.is_on = True
        self.key = nn.Parameter(torch.randn(heads, size, head_width) * 0.02)
        self.value = nn.Parameter(torch.randn(heads, size, head_width) * 0.02)

    def forward(
        self, k: Tensor, v: Tensor, mask: Tensor | None, bias: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Keys and values (B, H, L, d) → (B, H, P + L, d), and mask and bias (…, L) → (…, P + L)."""
        if not self.is_on:
            return k, v, mask, bias
        k = torch.cat([self.key.to(k.dtype).expand(len(k), -1, -1, -1), k], dim=2)
        v = torch.cat([self.value.to(v.dtype).expand(len(v), -1, -1, -1), v], dim=2)
        size = self.key.shape[1]
        mask = None if mask is None else functional.pad(mask, (size, 0), value=True)
        return k, v, mask, None if bias is None else functional.pad(bias, (size, 0))
