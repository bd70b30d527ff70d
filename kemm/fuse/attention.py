"""Multi-head attention, to itself or across: every model's, with what the published ones add to it as arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse.cache import Cache
from kemm.fuse.linear import Linear, affine
from kemm.fuse.prefix import Prefix
from kg.errors import InputError


class Attention(nn.Module):
    """Let each token read the others, or those of a context.

        y = W_o [g_1 o_1; …; g_H o_H],   o_h = softmax(Q_h K_hᵀ s + b) V_h,   s = 1/√d

    As in Vaswani et al., 2017, arXiv:1706.03762. With ``inner_eps`` a LayerNorm stands before W_o (sub-LN: Magneto,
    Wang et al., 2022, arXiv:2210.06423; BEiT-3).

    Args:
        width: D of the tokens.
        heads: H.
        context_width: of the tokens that are read; given, this is cross-attention, with projections ``query`` and
            ``key_value``; else ``qkv``, one matrix product.
        head_width: d; D / H unless given.
        bias: whether the projections to query, key, value and output have one.
        scale: s; 1/√d unless given (T5: 1).
        inner_eps: of the LayerNorm before W_o; None for none.
        has_gates: learn one factor g_h a head, 1 at the start.
        rotary: rotates queries and keys by their positions (``kemm.fuse.positions``).
        relative: called with (L_q, L_k), gives (H, L_q, L_k) added to the logits; queries are the last of the keys.
        head_norm: given d, makes a norm; one is put on queries and one on keys, head by head, after rotation.
        dropout: on the attention weights, in training.

    Raises:
        InputError: H does not divide D.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        context_width: int | None = None,
        head_width: int | None = None,
        bias: tuple[bool, bool, bool, bool] = (True, True, True, True),
        scale: float | None = None,
        inner_eps: float | None = None,
        has_gates: bool = False,
        rotary: nn.Module | None = None,
        relative: nn.Module | None = None,
        head_norm: Callable[[int], nn.Module] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if head_width is None and width % heads:
            raise InputError(f"{heads} heads do not divide a width of {width}; choose heads that do, or a head_width")
        self.heads, self.head_width = heads, head_width or width // heads
        inner = self.heads * self.head_width
        if context_width is None:
            self.qkv = JoinedLinear(width, inner, bias[:3])
        else:
            self.query = Linear(width, inner, bias=bias[0])
            self.key_value = JoinedLinear(context_width, inner, bias[1:3])
        self.is_cross = context_width is not None
        self.norm = nn.LayerNorm(inner, eps=inner_eps) if inner_eps is not None else None
        self.out = Linear(inner, width, bias=bias[3])
        self.gates = nn.Parameter(torch.ones(heads)) if has_gates else None
        self.rotary, self.relative = rotary, relative
        self.query_norm = head_norm(self.head_width) if head_norm is not None else None
        self.key_norm = head_norm(self.head_width) if head_norm is not None else None
        self.scale = self.head_width**-0.5 if scale is None else scale
        self.dropout = dropout
        self.prefix: Prefix | None = None  # kemm.fuse.adapters puts one there

    def project(self, x: Tensor) -> Tensor:
        """(…, D) → (…, 3, H, d): query, key and value of each token, for self-attention."""
        return self.qkv(x).unflatten(-1, (3, self.heads, self.head_width))

    def finish(self, mixed: Tensor) -> Tensor:
        """(…, H, d), what the heads have read → (…, D)."""
        if self.gates is not None:
            mixed = mixed * self.gates[:, None]
        mixed = mixed.flatten(-2)
        return self.out(mixed if self.norm is None else self.norm(mixed))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, bias: Tensor | None) -> Tensor:
        """(B, H, L_q, d), (B, H, L_k, d), (B, H, L_k, d) → (B, L_q, H, d)."""
        if self.relative is not None:
            own = self.relative(q.shape[2], k.shape[2])[None]
            bias = own if bias is None else four_dimensions(bias) + own
        if self.prefix is not None:
            k, v, mask, bias = self.prefix(k, v, mask, bias)
        dropout = self.dropout if self.training else 0.0
        return attend(q, k, v, mask=mask, bias=bias, scale=self.scale, dropout=dropout).transpose(1, 2)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        bias: Tensor | None = None,
        positions: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            x: (B, L_q, D).
            context: (B, L_k, D_c), for cross-attention; may be None when ``cache`` has its keys and values.
            mask: true where a query may read a key: (L_q, L_k), (B, L_q or 1, L_k) or (B, H or 1, L_q or 1, L_k). A
                query that may read none reads all alike.
            bias: added to the logits; the same shapes, or (H, L_q, L_k) as (1, H, L_q, L_k).
            positions: (L_q,) or (B, L_q), for rotary positions other than 0, 1, …
            cache: of the tokens before these; extended in place. L_k then counts all of them.

        Returns:
            (B, L_q, D).
        """
        if self.is_cross:
            q = self.query(x).unflatten(-1, (self.heads, self.head_width)).transpose(1, 2)  # (B, H, L_q, d)
            if cache is not None and cache.key is not None and cache.value is not None:
                k, v = cache.key, cache.value
            else:
                assert context is not None, "cross-attention needs a context"
                both = self.key_value(context).unflatten(-1, (2, self.heads, self.head_width))
                k, v = (part.transpose(1, 2) for part in both.unbind(-3))  # (B, H, L_k, d) each
                k = k if self.key_norm is None else self.key_norm(k)
                if cache is not None:
                    cache.extend(k, v)
            q = q if self.query_norm is None else self.query_norm(q)
            return self.finish(self.attend(q, k, v, mask, bias))
        offset = cache.length if cache is not None else 0
        q, k, v = (part.transpose(1, 2) for part in self.project(x).unbind(-3))  # (B, H, L_q, d) each
        if self.rotary is not None:
            if positions is None:
                positions = torch.arange(offset, offset + x.shape[1], device=x.device)
            q, k = self.rotary(q, positions), self.rotary(k, positions)
        if self.query_norm is not None and self.key_norm is not None:
            q, k = self.query_norm(q), self.key_norm(k)
        if cache is not None:
            k, v = cache.extend(k, v)
        return self.finish(self.attend(q, k, v, mask, bias))


class JoinedLinear(nn.Linear):
    """Several projections of one input, each D → ``out``, as one matrix product; some may lack a bias (BEiT's key)."""

    def __init__(self, width: int, out: int, biases: Sequence[bool]) -> None:
        super().__init__(width, out * len(biases), bias=any(biases))
        self.has_bias: Tensor | None
        if any(biases) and not all(biases):
            has_bias = torch.tensor(biases).repeat_interleave(out)
            self.register_buffer("has_bias", has_bias, persistent=False)
            with torch.no_grad():
                self.bias.mul_(has_bias)
        else:
            self.has_bias = None

    def forward(self, x: Tensor) -> Tensor:
        return affine(x, self.weight, self.bias if self.has_bias is None else self.bias * self.has_bias)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """softmax(Q Kᵀ s + b) V, by the way that is fastest for the type of number and the device.

    Args:
        q, k, v: (B, H, L_q, d), (B, H, L_k, d), (B, H, L_k, d).
        mask: true where a query may read a key; 2 to 4 dimensions, see `Attention.forward`.
        bias: added to the logits; likewise.
        scale: s; 1/√d unless given.
        dropout: share of the weights that are dropped.

    Returns:
        (B, H, L_q, d).
    """
    bias = logits(mask, bias, q.dtype)
    if q.dtype != torch.bfloat16 or q.device.type != "cpu":
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale, dropout_p=dropout)
    # On processors, bfloat16 by products takes half the time of PyTorch's kernel, backward included
    weights = (q * (q.shape[-1] ** -0.5 if scale is None else scale)) @ k.transpose(-2, -1)  # (B, H, L_q, L_k)
    weights = (weights if bias is None else weights + bias).softmax(dim=-1)
    return functional.dropout(weights, dropout) @ v


def logits(mask: Tensor | None, bias: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Mask and bias as one bias (B or 1, H or 1, L_q or 1, L_k), with the least finite number at what is hidden.

    Finite, so that a query that may read nothing gets numbers, and so do gradients. None when there is nothing to add.
    """
    least = torch.finfo(dtype).min
    if bias is not None:
        bias = four_dimensions(bias)
        if bias.dtype != dtype:
            bias = bias.clamp(min=least).to(dtype)
    if mask is None:
        return bias
    mask = four_dimensions(mask)
    if bias is None:
        return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, least)
    return bias.masked_fill(~mask, least)


def four_dimensions(x: Tensor) -> Tensor:
    """(L_q, L_k) or (B, L_q, L_k) → (1 or B, 1, L_q, L_k): a mask or a bias that is the same for all heads."""
    return x if x.dim() == 4 else x[None, None] if x.dim() == 2 else x[:, None]
