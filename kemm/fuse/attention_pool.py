"""Attention pooling: learned queries read all tokens once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kemm.fuse.attention import Attention


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
