"""BLIP's mixture of encoder and decoder: one text model that encodes, encodes with a picture, and writes.

Li et al., 2022, arXiv:2201.12086: all weights are shared but those of self-attention, which is causal in the decoder.
"""

from __future__ import annotations

from typing import Unpack

from torch import Tensor, nn

from kemm.fuse import masks
from kemm.fuse.block import BlockOptions
from kemm.fuse.cache import BlockCache
from kemm.fuse.transformer import Transformer


class EncoderDecoderMixture(nn.Module):
    """Two stacks that share cross-attention, feed-forward and norms, each with its own self-attention.

    Args:
        width, layers, heads: of the text model.
        context_width: of the picture's tokens.
        options: see `Block`.
    """

    def __init__(
        self, width: int, layers: int, heads: int, context_width: int, **options: Unpack[BlockOptions]
    ) -> None:
        super().__init__()
        has_final_norm = options.get("order", "pre") != "post"
        self.encoder = Transformer(width, layers, heads, context_width, has_final_norm=has_final_norm, **options)
        decoder = Transformer(width, layers, heads, context_width, has_final_norm=has_final_norm, **options)
        for own, shared in zip(decoder.blocks, self.encoder.blocks, strict=True):
            for part in ("cross", "cross_residual", "feed_forward", "feed_forward_residual"):
                setattr(own, part, getattr(shared, part))
        decoder.norm = self.encoder.norm
        self.decoder = decoder

    def encode(self, x: Tensor, mask: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """(B, L, D), mask (B, L) true at real words → (B, L, D); with a context (B, L_c, D_c), each layer reads it."""
        return self.encoder(x, context, mask=None if mask is None else masks.keys(mask))

    def decode(
        self, x: Tensor, context: Tensor, mask: Tensor | None = None, cache: list[BlockCache] | None = None
    ) -> Tensor:
        """(B, L, D), each word reading those before it and the context → (B, L, D).

        With a ``cache`` of ``decoder.new_cache()``, x follows what it has seen, and ``mask`` is of all words.
        """
        before = cache[0].attention.length if cache is not None else 0
        causal = masks.causal(x.shape[1], before + x.shape[1]).to(x.device)
        return self.decoder(x, context, cache, mask=causal if mask is None else causal & masks.keys(mask))
