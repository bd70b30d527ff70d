"""A vector for the whole of a picture, read by a learned query."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse.attention import Attention
from kemm.fuse.feed_forward import FeedForward


class AttentionPool(nn.Module):
    """One learned query reads all tokens; a feed-forward part follows.

        y = MHA(p, x, x),   z = y + FFN(LN(y))

    As in SigLIP (Zhai et al., 2023, arXiv:2303.15343), after Zhai et al., 2022, arXiv:2106.04560.

    Args:
        width: D.
        heads: H.
        hidden, activation: of FFN.
        eps: of the LayerNorm.
    """

    def __init__(
        self, width: int, heads: int, hidden: int | None = None, activation: str = "gelu", eps: float = 1e-6
    ) -> None:
        super().__init__()
        self.probe = nn.Parameter(torch.randn(width) * width**-0.5)
        self.attention = Attention(width, heads)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.feed_forward = FeedForward(width, hidden, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) → (B, D)."""
        one, width = self.attention, len(self.probe)
        weight, bias = one.qkv.weight, one.qkv.bias
        q = functional.linear(self.probe, weight[:width], bias[:width]).view(1, one.heads, 1, -1)
        both = functional.linear(x, weight[width:], bias[width:]).unflatten(-1, (2, one.heads, one.head_width))
        k, v = (part.transpose(1, 2) for part in both.unbind(-3))  # (B, H, L, d) each
        y = one.finish(one.attend(q.expand(len(x), -1, -1, -1), k, v, None, None))[:, 0]  # (B, D)
        return y + self.feed_forward(self.norm(y))
