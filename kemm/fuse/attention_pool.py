"""Attention pooling: learned queries read all tokens once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kemm.fuse.attention import Attention
from kemm.fuse.feed_forward import FeedForward


class AttentionPool(nn.Module):
    """z = A(LN(q), LN(c)), q learned (CoCa, Yu et al., 2022, arXiv:2205.01917).

    Args:
        width: of queries and of what comes out.
        heads: H.
        context_width: of the tokens.
        queries: how many.
        eps: of the norms.
    """

    def __init__(self, width: int, heads: int, context_width: int, queries: int = 256, eps: float = 1e-5) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, width))
        self.query_norm = nn.LayerNorm(width, eps=eps)
        self.context_norm = nn.LayerNorm(context_width, eps=eps)
        self.attention = Attention(width, heads, context_width=context_width)

    def forward(self, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, L, D_c), true at real tokens of (B, L) → (B, Q, D)."""
        q = self.query_norm(self.queries).expand(len(context), -1, -1)
        return self.attention(q, self.context_norm(context), mask=None if mask is None else mask[:, None])


class OneQueryPool(nn.Module):
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
        self.attention = Attention(width, heads, context_width=width)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.feed_forward = FeedForward(width, hidden, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) → (B, D)."""
        probe = self.probe.expand(len(x), 1, -1)
        y = self.attention(probe, x)[:, 0]  # (B, D)
        return y + self.feed_forward(self.norm(y))
