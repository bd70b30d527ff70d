"""Any number of tokens → a fixed number: Flamingo's Perceiver resampler (Alayrac et al., 2022, arXiv:2204.14198)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kemm.fuse.attention import Attention
from kemm.fuse.feed_forward import FeedForward
from kemm.fuse.residual import Residual


class PerceiverResampler(nn.Module):
    """Learned latents read the tokens, and themselves, layer after layer.

        z ← z + cross(LN(z), [LN'(x); LN(z)]),   z ← z + FFN(LN(z)),   at the end LN(z)

    Args:
        width: D of tokens and latents.
        layers, heads: how many.
        latents: how many tokens come out (Flamingo: 64).
        head_width: d; D / H unless given.
        hidden: of the feed-forward layer; 4 D unless given.
        activation: Flamingo's is "squared-relu", Idefics's "relu".
    """

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        latents: int = 64,
        *,
        head_width: int | None = None,
        hidden: int | None = None,
        activation: str = "squared-relu",
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(latents, width) * 0.02)
        self.blocks = nn.ModuleList(
            _ResamplerBlock(width, heads, head_width, hidden, activation, eps) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, L, D), mask (B, L) bool, true at real tokens → (B, latents, D)."""
        z = self.latents.expand(len(x), -1, -1)
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(len(x), z.shape[1])], dim=1)[:, None]
        for block in self.blocks:
            z = block(z, x, mask)
        return self.norm(z)


class _ResamplerBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, head_width: int | None, hidden: int | None, activation: str, eps: float
    ) -> None:
        super().__init__()
        self.context_norm = nn.LayerNorm(width, eps=eps)
        self.cross = Attention(width, heads, context_width=width, head_width=head_width, bias=(False,) * 4)
        self.cross_residual = Residual(width, eps=eps)
        self.feed_forward = FeedForward(width, hidden, activation=activation, bias=False)
        self.feed_forward_residual = Residual(width, eps=eps)

    def forward(self, z: Tensor, x: Tensor, mask: Tensor | None) -> Tensor:
        own = self.cross_residual.enter(z)
        z = self.cross_residual.leave(z, self.cross(own, torch.cat([self.context_norm(x), own], dim=1), mask=mask))
        return self.feed_forward_residual.leave(z, self.feed_forward(self.feed_forward_residual.enter(z)))
