"""Two streams that read each other: co-attention, in ViLBERT's form and in METER's.

ViLBERT: Lu et al., 2019, arXiv:1908.02265. METER: Dou et al., 2022, arXiv:2111.02387.
"""

from __future__ import annotations

from typing import Literal, Unpack

from torch import Tensor, nn

from kemm.fuse.block import Block, BlockOptions
from kg.errors import InputError


class CoAttention(nn.Module):
    """Layers of two blocks, one a stream, each with the other's stream as its context.

        meter:    x' = FFN(cross(self(x), y)),         y' = FFN(cross(self(y), x))
        vilbert:  x' = FFN(self(FFN(cross(x, y)))),    y' likewise

    Both read what the other was before the layer. Widths may differ.

    Args:
        widths: D of the one and of the other.
        heads: H of the one and of the other.
        layers: how many.
        kind: which of the two.
        options: see `Block`.
    """

    def __init__(
        self,
        widths: tuple[int, int],
        heads: tuple[int, int],
        layers: int,
        kind: Literal["meter", "vilbert"] = "meter",
        **options: Unpack[BlockOptions],
    ) -> None:
        super().__init__()
        if kind not in ("meter", "vilbert"):
            raise InputError(f"there is no co-attention of the kind '{kind}' (there are: meter, vilbert)")
        contexts, has_self = widths[::-1], kind == "meter"

        def stream(which: int) -> nn.ModuleList:
            width, h, context = widths[which], heads[which], contexts[which]
            return nn.ModuleList(Block(width, h, context, has_self=has_self, **options) for _ in range(layers))

        def within(which: int) -> nn.ModuleList:
            own = 0 if has_self else layers
            return nn.ModuleList(Block(widths[which], heads[which], **options) for _ in range(own))

        self.left, self.right = stream(0), stream(1)
        self.left_within, self.right_within = within(0), within(1)

    def forward(
        self, x: Tensor, y: Tensor, x_mask: Tensor | None = None, y_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Fuse.

        Args:
            x, y: (B, L_x, D_x), (B, L_y, D_y).
            x_mask, y_mask: (B, L) bool, true at real tokens; None for no padding.

        Returns:
            the same shapes.
        """
        own = None if x_mask is None else x_mask[:, None]
        other = None if y_mask is None else y_mask[:, None]
        for layer, (left, right) in enumerate(zip(self.left, self.right, strict=True)):
            x, y = left(x, y, mask=own, context_mask=other), right(y, x, mask=other, context_mask=own)
            if len(self.left_within):
                x, y = self.left_within[layer](x, mask=own), self.right_within[layer](y, mask=other)
        return x, y
