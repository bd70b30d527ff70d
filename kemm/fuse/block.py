"""A block of a Transformer: self-attention, cross-attention where there is a context, feed-forward."""

from __future__ import annotations

from typing import TypedDict, Unpack

from torch import Tensor, nn

from kemm.fuse.attention import Attention
from kemm.fuse.cache import BlockCache
from kemm.fuse.feed_forward import FeedForward
from kemm.fuse.residual import Order, Residual


class BlockOptions(TypedDict, total=False):
    """What `Block` may be told besides its sizes and positions; each is said there."""

    hidden: int | None
    head_width: int | None
    order: Order
    has_inner_norms: tuple[bool, bool] | None
    eps: float
    is_rms: bool
    activation: str
    is_gated: bool
    attention_bias: tuple[bool, bool, bool, bool]
    feed_forward_bias: bool
    scale: float | None
    has_gates: bool
    layer_scale: float | None
    dropout: float
    hidden_dropout: float
    attention_dropout: float
    drop_path: float


class Reading(TypedDict, total=False):
    """What a block may be told of a batch besides its tokens: who may read whom, and where the tokens stand.

    ``mask`` and ``bias`` are for self-attention, ``context_mask`` and ``context_bias`` for cross-attention; shapes as
    for `Attention.forward`.
    """

    mask: Tensor | None
    bias: Tensor | None
    context_mask: Tensor | None
    context_bias: Tensor | None
    positions: Tensor | None


class Block(nn.Module):
    """Self-attention → cross-attention, where there is a context → feed-forward, each with its residual.

    Args:
        width: D.
        heads: H.
        context_width: of the tokens that cross-attention reads; None: no cross-attention.
        has_self: whether there is self-attention (ViLBERT's co-attention has none).
        rotary, relative: positions in self-attention; see `Attention`.
        hidden: width of the feed-forward layer; 4 D unless given.
        head_width: d; D / H unless given.
        order: norms before ("pre"), after ("post"), or before and inside ("sub"; not inside cross-attention).
        has_inner_norms: inside attention and feed-forward, where ``order`` is not to say (EVA-02: the latter alone).
        eps, is_rms: of the norms.
        activation, is_gated, feed_forward_bias: see `FeedForward`.
        attention_bias: of query, key, value and output.
        scale, has_gates: of self-attention; see `Attention`. Cross-attention shares ``scale``.
        layer_scale: what LayerScale starts at; None for none.
        dropout: on what each part gives; ``hidden_dropout``: within the feed-forward part; ``attention_dropout``: on
            attention's weights.
        drop_path: chance that a sample goes without a part.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        context_width: int | None = None,
        *,
        has_self: bool = True,
        rotary: nn.Module | None = None,
        relative: nn.Module | None = None,
        hidden: int | None = None,
        head_width: int | None = None,
        order: Order = "pre",
        has_inner_norms: tuple[bool, bool] | None = None,
        eps: float = 1e-5,
        is_rms: bool = False,
        activation: str = "gelu",
        is_gated: bool = False,
        attention_bias: tuple[bool, bool, bool, bool] = (True, True, True, True),
        feed_forward_bias: bool = True,
        scale: float | None = None,
        has_gates: bool = False,
        layer_scale: float | None = None,
        dropout: float = 0.0,
        hidden_dropout: float = 0.0,
        attention_dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        inner = has_inner_norms or (order == "sub", order == "sub")

        def residual() -> Residual:
            return Residual(
                width, order, eps=eps, is_rms=is_rms, layer_scale=layer_scale, dropout=dropout, drop_path=drop_path
            )

        self.has_self = has_self
        if has_self:
            self.attention = Attention(
                width,
                heads,
                head_width=head_width,
                bias=attention_bias,
                scale=scale,
                inner_eps=eps if inner[0] else None,
                has_gates=has_gates,
                rotary=rotary,
                relative=relative,
                dropout=attention_dropout,
            )
            self.attention_residual = residual()
        self.has_cross = context_width is not None
        if context_width is not None:
            self.cross = Attention(
                width,
                heads,
                context_width=context_width,
                head_width=head_width,
                bias=attention_bias,
                scale=scale,
                dropout=attention_dropout,
            )
            self.cross_residual = residual()
        self.feed_forward = FeedForward(
            width,
            hidden,
            activation=activation,
            is_gated=is_gated,
            bias=feed_forward_bias,
            inner_eps=eps if inner[1] else None,
            dropout=hidden_dropout,
        )
        self.feed_forward_residual = residual()

    def forward(
        self, x: Tensor, context: Tensor | None = None, cache: BlockCache | None = None, **reading: Unpack[Reading]
    ) -> Tensor:
        """(B, L, D), context (B, L_c, D_c) → (B, L, D).

        A block with cross-attention goes without it when it is given neither a context nor a cache of one (ALBEF's and
        BLIP's text encoder).
        """
        own, known = (cache.attention, cache.cross) if cache is not None else (None, None)
        if self.has_self:
            around = self.attention_residual
            mask, bias, positions = reading.get("mask"), reading.get("bias"), reading.get("positions")
            x = around.leave(x, self.attention(around.enter(x), mask=mask, bias=bias, positions=positions, cache=own))
        if self.has_cross and (context is not None or (known is not None and known.key is not None)):
            around = self.cross_residual
            mask, bias = reading.get("context_mask"), reading.get("context_bias")
            x = around.leave(x, self.cross(around.enter(x), context, mask=mask, bias=bias, cache=known))
        around = self.feed_forward_residual
        return around.leave(x, self.feed_forward(around.enter(x)))
