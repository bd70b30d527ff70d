"""Where a block's norms stand: what goes into a branch, and how what comes out joins the stream of tokens."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from kg.errors import InputError

Order = Literal["pre", "post", "sub"]


def make_norm(width: int, eps: float, is_rms: bool = False) -> nn.Module:
    """LayerNorm, or T5's, which neither centres nor shifts."""
    return nn.RMSNorm(width, eps=eps) if is_rms else nn.LayerNorm(width, eps=eps)


class Residual(nn.Module):
    """A norm, LayerScale and stochastic depth around a branch f.

        pre, sub:  y = x + s ⊙ f(LN(x))        post:  y = LN(x + s ⊙ f(x))

    In "sub" order f has a LayerNorm within, too: `Attention` and `FeedForward` know it as ``inner_eps``. LayerScale:
    Touvron et al., 2021, arXiv:2103.17239; stochastic depth: Huang et al., 2016, arXiv:1603.09382.

    Args:
        width: D.
        order: where the norm stands.
        eps, is_rms: of the norm.
        layer_scale: what s, one number a channel, starts at; None: no s.
        dropout: on what the branch gives, in training.
        drop_path: chance that a sample goes without the branch, in training.
    """

    def __init__(
        self,
        width: int,
        order: Order = "pre",
        *,
        eps: float = 1e-5,
        is_rms: bool = False,
        layer_scale: float | None = None,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if order not in ("pre", "post", "sub"):
            raise InputError(f"there is no order of norms '{order}' (there are: pre, post, sub)")
        self.is_post, self.dropout, self.drop_path = order == "post", dropout, drop_path
        self.norm = make_norm(width, eps, is_rms)
        self.scale = nn.Parameter(torch.full((width,), layer_scale)) if layer_scale is not None else None

    def enter(self, x: Tensor) -> Tensor:
        """What the branch is given."""
        return x if self.is_post else self.norm(x)

    def leave(self, x: Tensor, y: Tensor, samples: Tensor | None = None, batch: int = 0) -> Tensor:
        """Join.

        Args:
            x: (B, L, D), or rows (N, D) of many samples.
            y: what the branch made of it.
            samples: for rows, (N,) the sample that each is of, and ``batch``, B.
        """
        if self.scale is not None:
            y = y * self.scale
        if self.training:
            if self.dropout:
                y = functional.dropout(y, self.dropout)
            if self.drop_path:
                keep = 1 - self.drop_path
                kept = (
                    torch.empty(len(x) if samples is None else batch, device=x.device, dtype=x.dtype).bernoulli_(keep)
                    / keep
                )
                y = y * (kept.view(-1, *(1,) * (y.dim() - 1)) if samples is None else kept[samples, None])
        return self.norm(x + y) if self.is_post else x + y
