"""BLIP-2's Q-Former: learned queries draw from a picture what a text needs (Li et al., 2023, arXiv:2301.12597)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kemm.fuse.attention import Attention
from kemm.fuse.feed_forward import FeedForward
from kemm.fuse.residual import Residual


class QFormer(nn.Module):
    """A BERT over [queries; text]: self-attention is shared, queries alone read the picture, each has its FFN.

    Which of queries and text read each other, the mask says: see ``bidirectional``, ``multimodal_causal`` and
    ``unimodal`` in `kemm.fuse.masks`.

    Args:
        width, layers, heads: of the Transformer (BERT-base).
        context_width: of the picture's tokens.
        queries: how many (32).
        cross_every: blocks 0, c, 2c, … have cross-attention (every second).
        hidden: of the feed-forward layers; 4 D unless given.
        eps: of the norms, which stand after, as in BERT.
        has_text: whether texts can be read, too.
        dropout: on what each part gives.
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
        hidden: int | None = None,
        eps: float = 1e-12,
        has_text: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, width) * 0.02)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.blocks = nn.ModuleList(
            _QFormerBlock(
                width, heads, context_width if layer % cross_every == 0 else None, hidden, eps, has_text, dropout
            )
            for layer in range(layers)
        )

    def forward(
        self,
        context: Tensor | None,
        text: Tensor | None = None,
        mask: Tensor | None = None,
        context_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Read.

        Args:
            context: (B, L_c, D_c); None: the text alone, without queries.
            text: (B, T, D), words with positions, before any norm.
            mask: (L, L) or (B, L, L) over queries, then text.
            context_mask: (B, L_c) bool, true at real tokens.

        Returns:
            queries (B, Q, D), Q = 0 without a context, and text (B, T, D), if there was one.
        """
        assert context is not None or text is not None, "neither a picture nor a text to read"
        batch = len(context if context is not None else text)  # type: ignore[arg-type]
        q = self.queries.expand(batch, -1, -1)[:, : None if context is not None else 0]
        x = self.norm(q if text is None else torch.cat([q, text], dim=1))
        hidden_keys = None if context_mask is None else context_mask[:, None]
        for block in self.blocks:
            x = block(x, q.shape[1], context, mask, hidden_keys)
        return x[:, : q.shape[1]], None if text is None else x[:, q.shape[1] :]


class _QFormerBlock(nn.Module):
    def __init__(
        self,
        width: int,
        heads: int,
        context_width: int | None,
        hidden: int | None,
        eps: float,
        has_text: bool,
        dropout: float,
    ) -> None:
        super().__init__()

        def residual() -> Residual:
            return Residual(width, "post", eps=eps, dropout=dropout)

        self.attention, self.attention_residual = Attention(width, heads), residual()
        self.has_cross = context_width is not None
        if context_width is not None:
            self.cross, self.cross_residual = Attention(width, heads, context_width=context_width), residual()
        names = ("queries", "text") if has_text else ("queries",)
        self.feed_forward = nn.ModuleDict({name: FeedForward(width, hidden) for name in names})
        self.feed_forward_residual = nn.ModuleDict({name: residual() for name in names})

    def forward(
        self, x: Tensor, queries: int, context: Tensor | None, mask: Tensor | None, context_mask: Tensor | None
    ) -> Tensor:
        x = self.attention_residual.leave(x, self.attention(x, mask=mask))
        q, text = x.split([queries, x.shape[1] - queries], dim=1)
        if self.has_cross and queries:
            q = self.cross_residual.leave(q, self.cross(q, context, mask=context_mask))
        parts = [("queries", q), ("text", text)]
        fed = [
            self.feed_forward_residual[name].leave(part, self.feed_forward[name](part))  # type: ignore[operator]
            for name, part in parts
            if part.shape[1]
        ]
        return torch.cat(fed, dim=1) if len(fed) > 1 else fed[0]
