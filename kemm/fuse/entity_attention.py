"""Attention that asks in another way for each pair of kinds: of words or entities, to words or entities."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse.attention import JoinedLinear, attend
from kemm.fuse.feed_forward import FeedForward
from kemm.fuse.residual import Residual


class EntityAwareAttention(nn.Module):
    """Words and entities read each other, with a query matrix for each of the four ways (LUKE, arXiv:2010.01057).

        y_i = W_o Σ_j softmax_j(⟨Q_{ij} x_i, K x_j⟩ / √d) V x_j,   Q_{ij} by whether i and j are word or entity

    The logits are one product: queries to words and to entities lie side by side, and so do keys, with zeros in the
    half that is not theirs.

    Args:
        width: D.
        heads: H.
        dropout: on the attention weights, in training.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.word_queries = JoinedLinear(width, width, (True, True))  # to words, to entities
        self.entity_queries = JoinedLinear(width, width, (True, True))  # likewise
        self.key_value = JoinedLinear(width, width, (True, True))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, words: int, mask: Tensor | None = None) -> Tensor:
        """(B, L, D), the first ``words`` of which are words → (B, L, D).

        Args:
            mask: true where a query may read a key; see `Attention.forward`.
        """
        q = torch.cat([self.word_queries(x[:, :words]), self.entity_queries(x[:, words:])], dim=1)
        q = q.unflatten(-1, (2, self.heads, -1)).permute(0, 3, 1, 2, 4).flatten(-2)  # (B, H, L, 2d)
        k, v = self.key_value(x).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (B, H, L, d) each
        width = v.shape[-1]
        k = torch.cat(
            [functional.pad(k[:, :, :words], (0, width)), functional.pad(k[:, :, words:], (width, 0))], dim=2
        )  # (B, H, L, 2d)
        dropout = self.dropout if self.training else 0.0
        mixed = attend(q, k, v, mask=mask, scale=width**-0.5, dropout=dropout)
        return self.out(mixed.transpose(1, 2).flatten(-2))


class EntityAwareBlock(nn.Module):
    """BERT's block with that attention: norms after it and after the feed-forward part, which both kinds share."""

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int | None = None,
        *,
        activation: str = "gelu",
        eps: float = 1e-12,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.attention = EntityAwareAttention(width, heads, attention_dropout)
        self.attention_residual = Residual(width, "post", eps=eps, dropout=dropout)
        self.feed_forward = FeedForward(width, hidden, activation=activation)
        self.feed_forward_residual = Residual(width, "post", eps=eps, dropout=dropout)

    def forward(self, x: Tensor, words: int, mask: Tensor | None = None) -> Tensor:
        """(B, L, D), the first ``words`` of which are words → (B, L, D)."""
        x = self.attention_residual.leave(x, self.attention(x, words, mask))
        return self.feed_forward_residual.leave(x, self.feed_forward(x))
