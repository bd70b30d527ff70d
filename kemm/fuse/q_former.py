"""Q-Former: learned queries that read a picture, or anything, and share attention with a text."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kemm.fuse.attention import Attention
from kemm.fuse.feed_forward import FeedForward
from kemm.fuse.residual import Residual
from kg.errors import InputError


class QFormer(nn.Module):
    """BERT-like blocks over queries and words (BLIP-2, Li et al., 2023, arXiv:2301.12597).

        z = LN([q; w])        each block:  z ← LN(z + A(z));   z_q ← LN(z_q + X(z_q, c)), in every c-th block;
                                           z_q ← LN(z_q + F_q(z_q)),   z_w ← LN(z_w + F_w(z_w))

    Queries and words have feed-forward parts of their own, and queries alone read the context. Who reads whom in
    self-attention is the mask's matter: `kemm.fuse.masks` has the paper's three.

    Args:
        width: D.
        layers, heads: of the blocks.
        context_width: D_c, of what queries read.
        queries: Q, how many.
        cross_every: blocks 0, c, 2c, … read the context.
        has_words: whether there are the words' feed-forward parts.
        hidden, activation, eps, dropout, attention_dropout: as for `Block`.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        context_width: int,
        queries: int = 32,
        *,
        cross_every: int = 2,
        has_words: bool = True,
        hidden: int | None = None,
        activation: str = "gelu",
        eps: float = 1e-12,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, width) * 0.02)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            QFormerBlock(
                width,
                heads,
                context_width if layer % cross_every == 0 else None,
                has_words=has_words,
                eps=eps,
                dropout=dropout,
                attention_dropout=attention_dropout,
                hidden=hidden,
                activation=activation,
            )
            for layer in range(layers)
        )

    def forward(
        self,
        context: Tensor | None = None,
        words: Tensor | None = None,
        mask: Tensor | None = None,
        context_mask: Tensor | None = None,
    ) -> Tensor:
        """Read.

        Args:
            context: (B, L_c, D_c); None: no queries, words alone.
            words: (B, T, D), with positions, before their norm; None: queries alone.
            mask: who reads whom among queries and words, (L, L) or (B, L or 1, L), L = Q + T.
            context_mask: (B, L_c) bool, true at what is real.

        Returns:
            (B, Q + T, D), queries first.

        Raises:
            InputError: neither is given.
        """
        if context is None and words is None:
            raise InputError("a Q-Former was given nothing: give what its queries read, or words")
        parts = [] if context is None else [self.queries.expand(len(context), -1, -1)]
        parts += [] if words is None else [words]
        z = self.dropout(self.norm(torch.cat(parts, dim=1)))
        queries = 0 if context is None else len(self.queries)
        reads = None if context_mask is None else context_mask.bool()[:, None]
        for block in self.blocks:
            z = block(z, queries, context, mask, reads)
        return z


class QFormerBlock(nn.Module):
    """One block; see `QFormer`.

    Args:
        context_width: None: no cross-attention.
        options: of `FeedForward`.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        context_width: int | None,
        *,
        has_words: bool,
        eps: float,
        dropout: float,
        attention_dropout: float,
        **options: Any,
    ) -> None:
        super().__init__()

        def residual() -> Residual:
            return Residual(width, "post", eps=eps, dropout=dropout)

        self.attention = Attention(width, heads, dropout=attention_dropout)
        self.attention_residual = residual()
        self.has_cross = context_width is not None
        if context_width is not None:
            self.cross = Attention(width, heads, context_width=context_width, dropout=attention_dropout)
            self.cross_residual = residual()
        self.query_feed_forward = FeedForward(width, **options)
        self.query_residual = residual()
        if has_words:
            self.word_feed_forward = FeedForward(width, **options)
            self.word_residual = residual()

    def forward(
        self, z: Tensor, queries: int, context: Tensor | None, mask: Tensor | None, context_mask: Tensor | None
    ) -> Tensor:
        """(B, Q + T, D), the first ``queries`` of which read the context (B, L_c, D_c) → (B, Q + T, D)."""
        z = self.attention_residual.leave(z, self.attention(z, mask=mask))
        query, word = z.split([queries, z.shape[1] - queries], dim=1)  # (B, Q, D), (B, T, D)
        if queries:
            if self.has_cross:
                query = self.cross_residual.leave(query, self.cross(query, context, mask=context_mask))
            query = self.query_residual.leave(query, self.query_feed_forward(query))
        if word.shape[1]:
            word = self.word_residual.leave(word, self.word_feed_forward(word))
        return torch.cat([query, word], dim=1)
