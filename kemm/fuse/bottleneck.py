"""A bottleneck behind a layer that stays as it is (Houlsby et al., 2019, arXiv:1902.00751)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Bottleneck(nn.Module):
    """What a layer gives, and a correction through few numbers.

        y = f(x) + W_up gelu(W_down f(x))

    W_up starts at zero, so the model starts as it was.

    Args:
        base_layer: f, whose output is D wide.
        width: D.
        size: of the bottleneck.

    Attributes:
        is_on: whether the correction is added.
    """

    def __init__(self, base_layer: nn.Module, width: int, size: int) -> None:
        super().__init__()
        self.base_layer, self.is_on = base_layer, True
        self.down, self.up = nn.Linear(width, size), nn.Linear(size, width)
        nn.init.normal_(self.down.weight, std=0.01)
        for part in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(part)

    def forward(self, x: Tensor) -> Tensor:
        """(…, D_in) → (…, D)."""
        y = self.base_layer(x)
        return y + self.up(functional.gelu(self.down(y))) if self.is_on else y
