"""Gated cross-attention: what a frozen language model is given to look at pictures with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from kemm.fuse.attention import Attention
from kemm.fuse.cache import Cache
from kemm.fuse.feed_forward import FeedForward
from kemm.fuse.residual import make_norm


class GatedCrossAttention(nn.Module):
    """A block between those of a language model, which does nothing at the start (Flamingo, arXiv:2204.14198).

        x ← x + tanh(α) X(LN(x), c),   x ← x + tanh(β) F(LN(x)),   α = β = 0 at first

    Args:
        width: D.
        heads: H.
        context_width: D_c, of what is read.
        hidden, activation, is_gated: of the feed-forward part; see `FeedForward`.
        eps, is_rms: of the norms.
        is_gate_wide: one α and β for each of D numbers, instead of one for all.
        head_norm: see `Attention`.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        context_width: int,
        *,
        hidden: int | None = None,
        activation: str = "squared-relu",
        is_gated: bool = False,
        eps: float = 1e-5,
        is_rms: bool = False,
        is_gate_wide: bool = False,
        head_norm: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.cross_norm = make_norm(width, eps, is_rms)
        self.cross = Attention(
            width, heads, context_width=context_width, bias=(False, False, False, False), head_norm=head_norm
        )
        self.cross_gate = nn.Parameter(torch.zeros(width if is_gate_wide else 1))
        self.feed_forward_norm = make_norm(width, eps, is_rms)
        self.feed_forward = FeedForward(width, hidden, activation=activation, is_gated=is_gated, bias=False)
        self.feed_forward_gate = nn.Parameter(torch.zeros(width if is_gate_wide else 1))

    def forward(
        self, x: Tensor, context: Tensor | None, mask: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor:
        """Read.

        Args:
            x: (B, L, D).
            context: (B, L_c, D_c); may be None when ``cache`` has its keys and values.
            mask: (B, L, L_c) bool, true where a token may read; one that may read nothing is given nothing.
        """
        read = self.cross(self.cross_norm(x), context, mask=mask, cache=cache)
        if mask is not None:
            read = read.masked_fill(~mask.any(dim=-1)[..., None], 0.0)
        x = x + self.cross_gate.tanh() * read
        return x + self.feed_forward_gate.tanh() * self.feed_forward(self.feed_forward_norm(x))


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
