"""The feed-forward part of a block: each token by itself, through a wider layer."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse.linear import Linear


def quick_gelu(x: Tensor) -> Tensor:
    """x σ(1.702 x): CLIP's GELU."""
    return x * (1.702 * x).sigmoid()


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU by tanh: BERT's first, GPT-2's, SigLIP's, T5 v1.1's."""
    return functional.gelu(x, approximate="tanh")


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu-tanh": gelu_tanh,
    "quick-gelu": quick_gelu,
    "relu": functional.relu,
    "squared-relu": lambda x: functional.relu(x).square(),
    "silu": functional.silu,
}


class FeedForward(nn.Module):
    """Two layers, or a gated pair.

        y = W_2 LN(a(W_1 x)),   gated: y = W_2 LN(a(W_g x) ⊙ W_1 x)   (LN with ``inner_eps`` alone)

    Gated with "silu" it is SwiGLU, with "gelu-tanh" T5 v1.1's (Shazeer, 2020, arXiv:2002.05202). With the LayerNorm it
    is sub-LN's (Magneto, arXiv:2210.06423).

    Args:
        width: D.
        hidden: 4 D unless given.
        activation: a, of ``ACTIVATIONS``.
        is_gated: W_g and W_1 are one matrix product, ``up``, the gate first.
        bias: of both layers.
        inner_eps: of the LayerNorm before W_2; None for none.
        out_width: D unless given.
        dropout: after the activation, in training.
    """

    def __init__(
        self,
        width: int,
        hidden: int | None = None,
        *,
        activation: str = "gelu",
        is_gated: bool = False,
        bias: bool = True,
        inner_eps: float | None = None,
        out_width: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        hidden = 4 * width if hidden is None else hidden
        self.activation, self.is_gated, self.dropout = ACTIVATIONS[activation], is_gated, dropout
        self.up = Linear(width, 2 * hidden if is_gated else hidden, bias=bias)
        self.norm = nn.LayerNorm(hidden, eps=inner_eps) if inner_eps is not None else None
        self.down = Linear(hidden, out_width or width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) → (…, D)."""
        x = self.up(x)
        if self.is_gated:
            gate, x = x.chunk(2, dim=-1)
            x = self.activation(gate) * x
        else:
            x = self.activation(x)
        if self.dropout:
            x = functional.dropout(x, self.dropout, self.training)
        return self.down(x if self.norm is None else self.norm(x))
