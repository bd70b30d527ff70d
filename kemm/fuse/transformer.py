"""A stack of blocks: an encoder, a decoder, or either with a context to read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Unpack

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from kemm.fuse.attention import four_dimensions, logits
from kemm.fuse.block import Block, BlockOptions, Reading
from kemm.fuse.cache import BlockCache
from kemm.fuse.residual import make_norm


class Transformer(nn.Module):
    """Blocks one after another, and a norm at the end.

    Whether it is an encoder or a decoder, the mask decides.

    Args:
        width: D.
        layers: how many blocks.
        heads: H.
        context_width: of the tokens that cross-attention reads; None: no cross-attention.
        cross_layers: which blocks have cross-attention (ALBEF: the upper half); all unless given.
        has_final_norm: a norm after the last block; "post" order usually has none.
        rotary: for queries and keys of all layers; see `Attention`.
        relative: makes each layer's own bias by positions; see `Attention`.
        shared_relative: one bias for all layers (T5).
        is_checkpointed: forget what a block computed within and compute it again in the backward pass: less memory
            for a third more time.
        options: see `Block`; ``drop_path`` rises from 0 at the first block to the value given at the last.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        context_width: int | None = None,
        *,
        cross_layers: Collection[int] | None = None,
        has_final_norm: bool = True,
        rotary: nn.Module | None = None,
        relative: Callable[[], nn.Module] | None = None,
        shared_relative: nn.Module | None = None,
        is_checkpointed: bool = False,
        **options: Unpack[BlockOptions],
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for layer, drop_path in enumerate(rising(options.get("drop_path", 0.0), layers)):
            options["drop_path"] = drop_path
            context = context_width if cross_layers is None or layer in cross_layers else None
            own = relative() if relative is not None else None
            self.blocks.append(Block(width, heads, context, rotary=rotary, relative=own, **options))
        self.relative = shared_relative
        self.norm = (
            make_norm(width, options.get("eps", 1e-5), options.get("is_rms", False))
            if has_final_norm
            else nn.Identity()
        )
        self.is_checkpointed = is_checkpointed

    def new_cache(self) -> list[BlockCache]:
        """An empty cache for `forward`, to generate with."""
        return [BlockCache() for _ in self.blocks]

    def states(
        self,
        x: Tensor,
        context: Tensor | None = None,
        cache: Sequence[BlockCache] | None = None,
        **reading: Unpack[Reading],
    ) -> Iterator[Tensor]:
        """Yield (B, L, D) after each block, before the norm at the end."""
        if self.relative is not None:
            before = cache[0].attention.length if cache is not None else 0
            own, bias = self.relative(x.shape[1], before + x.shape[1])[None], reading.get("bias")  # (1, H, L, L_k)
            reading["bias"] = own if bias is None else own + four_dimensions(bias)
        reading["bias"] = logits(reading.pop("mask", None), reading.get("bias"), x.dtype)  # once, not in every layer
        for layer, block in enumerate(self.blocks):
            if self.is_checkpointed and self.training and cache is None:
                x = checkpoint(block, x, context, use_reentrant=False, **reading)
            else:
                x = block(x, context, cache[layer] if cache is not None else None, **reading)
            yield x

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        cache: Sequence[BlockCache] | None = None,
        **reading: Unpack[Reading],
    ) -> Tensor:
        """Encode.

        Args:
            x: (B, L, D).
            context: (B, L_c, D_c), for cross-attention.
            cache: of `new_cache`, extended in place; x then follows the tokens that it has seen.
            reading: masks, biases and positions; see `Reading`.

        Returns:
            (B, L, D).
        """
        for state in self.states(x, context, cache, **reading):
            x = state
        return self.norm(x)


def rising(last: float, layers: int) -> list[float]:
    """From 0 at the first layer to ``last`` at the last."""
    return [last * layer / max(1, layers - 1) for layer in range(layers)]
