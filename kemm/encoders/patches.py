"""A picture as patches, each projected to a token."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from kg.errors import InputError


class Patches(nn.Module):
    """x_p = W · pixels_p + b, patches in rows; a mask token instead where hidden, a class token first.

    One matrix product over the patches' pixels: the same numbers as a convolution's, in less time. The weight has the
    convolution's shape, as published ones do.

    Args:
        side: of a patch, in pixels.
        width: D.
        channels: C.
        has_class, has_mask: whether there is such a token.
    """

    def __init__(
        self, side: int, width: int, channels: int = 3, has_class: bool = True, has_mask: bool = False
    ) -> None:
        super().__init__()
        self.side = side
        self.project = nn.Conv2d(channels, width, side, side)
        self.class_token = nn.Parameter(torch.zeros(width)) if has_class else None
        self.mask_token = nn.Parameter(torch.zeros(width)) if has_mask else None

    def forward(self, pixels: Tensor, masked: Tensor | None = None) -> Tensor:
        """(B, C, height, width), ``masked`` (B, P) bool → (B, P or 1 + P, D).

        Raises:
            InputError: the picture's sides are no multiples of the patch's.
        """
        batch, channels, height, width = pixels.shape
        s = self.side
        if height % s or width % s or not height or not width:
            raise InputError(f"a picture of {height} × {width} pixels cannot be cut into patches of {s} × {s}")
        x = pixels.reshape(batch, channels, height // s, s, width // s, s).permute(0, 2, 4, 1, 3, 5)
        x = functional.linear(
            x.flatten(3).flatten(1, 2), self.project.weight.flatten(1), self.project.bias
        )  # (B, P, D)
        if masked is not None:
            assert self.mask_token is not None, "patches are hidden, but there is no token for them"
            x = torch.where(masked[..., None], self.mask_token, x)
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(batch, 1, -1), x], dim=1)
        return x
