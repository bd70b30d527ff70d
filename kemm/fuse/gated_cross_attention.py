"""Flamingo's way to show pictures to a language model that is frozen: gated cross-attention between its layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kemm.fuse.attention import Attention
from kemm.fuse.feed_forward import FeedForward
from kemm.fuse.residual import Residual


class GatedCrossAttention(nn.Module):
    """y = x + tanh(α) cross(LN(x), c),   z = y + tanh(β) FFN(LN(y)),   α = β = 0 at the start.

    So the language model starts as it was (Alayrac et al., 2022, arXiv:2204.14198, fig. 4). A word that may read no
    picture gets nothing from cross-attention.

    Args:
        width, heads: D and H of the language model.
        context_width: of the pictures' tokens.
        hidden: width of the feed-forward layer; 4 D unless given.
        bias: of all projections.
        activation, is_gated, eps: see `FeedForward` and `Residual`.
        is_rms: norms as T5's and LLaMA's.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        context_width: int,
        *,
        hidden: int | None = None,
        bias: bool = False,
        activation: str = "gelu",
        is_gated: bool = False,
        eps: float = 1e-5,
        is_rms: bool = False,
    ) -> None:
        super().__init__()
        self.cross = Attention(width, heads, context_width=context_width, bias=(bias,) * 4)
        self.cross_residual = Residual(width, eps=eps, is_rms=is_rms, is_gated=True)
        self.feed_forward = FeedForward(width, hidden, activation=activation, is_gated=is_gated, bias=bias)
        self.feed_forward_residual = Residual(width, eps=eps, is_rms=is_rms, is_gated=True)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, L, D), context (B, L_c, D_c), mask (B, L, L_c) bool of what each word may read → (B, L, D)."""
        y = self.cross(self.cross_residual.enter(x), context, mask=mask)
        if mask is not None:
            y = y * mask.any(dim=-1, keepdim=True)
        x = self.cross_residual.leave(x, y)
        return self.feed_forward_residual.leave(x, self.feed_forward(self.feed_forward_residual.enter(x)))


def latest_picture(is_picture: Tensor, pictures: int, tokens: int) -> Tensor:
    """Each word reads the picture last named before it, or at it, and no other.

    Args:
        is_picture: (B, L) bool, true where a picture is named in the text.
        pictures: how many a text has at most.
        tokens: of each picture.

    Returns:
        (B, L, pictures · tokens).
    """
    number = is_picture.long().cumsum(dim=1)  # 0 before the first
    own = torch.arange(1, pictures + 1, device=is_picture.device).repeat_interleave(tokens)
    return number[:, :, None] == own
