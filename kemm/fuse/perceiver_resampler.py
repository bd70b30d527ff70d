"""Perceiver resampler: any number of tokens read by a fixed number of learned ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse.attention import Attention
from kemm.fuse.feed_forward import FeedForward


class PerceiverResampler(nn.Module):
    """Flamingo's (Alayrac et al., 2022, arXiv:2204.14198).

        z ← z + A(LN(z), [LN(c); LN(z)]),   z ← z + F(LN(z)),   at last LN(z);   z at first learned

    Args:
        width: D, of tokens and of latents.
        layers, heads, head_width: of the attention.
        latents: how many.
        hidden: of the feed-forward parts; 4 D unless given.
        activation: of those.
        eps: of the norms.
        head_norm: see `Attention`.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        head_width: int | None = None,
        latents: int = 64,
        *,
        hidden: int | None = None,
        activation: str = "squared-relu",
        eps: float = 1e-5,
        head_norm: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(latents, width) * width**-0.5)
        self.layers = nn.ModuleList(
            ResamplerLayer(width, heads, head_width, hidden, activation, eps, head_norm) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width, eps=eps)

    def forward(self, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, L, D), true at real tokens of (B, L) → (B, latents, D)."""
        z = self.latents.expand(len(context), -1, -1)
        if mask is not None:
            mask = functional.pad(mask.bool(), (0, len(self.latents)), value=True)[:, None]
        for layer in self.layers:
            z = layer(z, context, mask)
        return self.norm(z)


class ResamplerLayer(nn.Module):
    """One layer; see `PerceiverResampler`."""

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int | None,
        hidden: int | None,
        activation: str,
        eps: float,
        head_norm: Callable[[int], nn.Module] | None,
    ) -> None:
        super().__init__()
        self.context_norm, self.latent_norm = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        no_bias = (False, False, False, False)
        self.attention = Attention(
            width, heads, context_width=width, head_width=head_width, bias=no_bias, head_norm=head_norm
        )
        self.feed_forward_norm = nn.LayerNorm(width, eps=eps)
        self.feed_forward = FeedForward(width, hidden, activation=activation, bias=False)

    def forward(self, z: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, latents, D), (B, L, D), true at what may be read of (B, 1, L + latents) → (B, latents, D)."""
        latents = self.latent_norm(z)
        z = z + self.attention(latents, torch.cat([self.context_norm(context), latents], dim=1), mask=mask)
        return z + self.feed_forward(self.feed_forward_norm(z))
