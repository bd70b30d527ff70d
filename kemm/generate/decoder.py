"""Text decoders on the parts of ``kemm.fuse``: alone, after an encoder, and after tokens of other modalities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse.block import BlockOptions
from kemm.fuse.cache import BlockCache, MultiwayCache
from kemm.fuse.masks import causal
from kemm.fuse.multiway import MultiwayTransformer
from kemm.fuse.positions import check_positions
from kemm.fuse.transformer import Transformer
from kemm.generate.cache import select_rows


@dataclass
class Reading:
    """What a decoder has read of each row.

    Attributes:
        layers: keys and values.
        mask: ``(B, L)`` bool, false at padding of what was read.
        seen: how many of those are text.
        context, context_mask: what cross-attention reads.
        texts: ``(B,)`` which of the first rows each row has come from: while beams of a text change places among
            themselves, what they read across stays where it is.
    """

    layers: list[BlockCache] | MultiwayCache
    mask: Tensor
    seen: int = 0
    context: Tensor | None = None
    context_mask: Tensor | None = None
    texts: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.texts = torch.arange(len(self.mask), device=self.mask.device)

    def select(self, rows: Tensor) -> None:
        self.mask, texts = self.mask[rows], self.texts[rows]
        if isinstance(self.layers, MultiwayCache):
            self.layers.select(rows)
        else:
            for layer in self.layers:
                layer.attention.select(rows)
            if not torch.equal(texts, self.texts):
                self.context, self.context_mask = select_rows((self.context, self.context_mask), rows)
                for layer in self.layers:
                    layer.cross.select(rows)
        self.texts = texts


class Ends(Protocol):
    """Both ends of a text decoder."""

    def enter(self, tokens: Tensor, real: Tensor) -> Tensor:
        """Tokens ``(B, t)``, the last of texts whose padding ``real`` ``(B, T)`` names → ``(B, t, D)``."""
        ...

    def leave(self, x: Tensor) -> Tensor:
        """(…, D) → logits (…, V)."""
        ...


class TextEnds(nn.Module):
    """Both ends of a text decoder: tokens become vectors with positions, and vectors become logits by the same table.

    Args:
        num_tokens: V.
        width: D.
        longest: most tokens of a text; positions are learned (GPT-2; BERT as BLIP's decoder).
    """

    def __init__(self, num_tokens: int, width: int, longest: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(num_tokens, width)
        self.positions = nn.Embedding(longest, width)
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.positions.weight, std=0.02)

    def enter(self, tokens: Tensor, real: Tensor) -> Tensor:
        """Tokens ``(B, t)``, the last of texts whose padding ``real`` ``(B, T)`` names → ``(B, t, D)``.

        A text's first real token has position 0, so that padding on the left changes nothing.

        Raises:
            InputError: there are more tokens than positions.
        """
        check_positions(real.shape[1], self.positions.num_embeddings)
        place = (real.long().cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        return self.tokens(tokens) + self.positions(place)

    def leave(self, x: Tensor) -> Tensor:
        """(…, D) → logits (…, V)."""
        return functional.linear(x, self.tokens.weight)


class TextDecoder(nn.Module):
    """A causal Transformer over text, reading a context by cross-attention where it is given one (T5, BLIP, CoCa).

    Args:
        num_tokens, width, longest: see `TextEnds`.
        layers, heads, context_width, options: see `Transformer`.
    """

    def __init__(
        self,
        num_tokens: int,
        width: int,
        layers: int,
        heads: int,
        longest: int,
        context_width: int | None = None,
        **options: Unpack[BlockOptions],
    ) -> None:
        super().__init__()
        self.text = TextEnds(num_tokens, width, longest)
        self.body = Transformer(width, layers, heads, context_width, **options)

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        context: Tensor | None = None,
        context_mask: Tensor | None = None,
    ) -> Tensor:
        """Logits ``(B, T, V)`` of the token after each; masks ``(B, T)`` and ``(B, L_c)`` are true at what is real."""
        return self._read(tokens, self.start(mask, context, context_mask, batch=len(tokens)))

    def start(
        self,
        mask: Tensor | None = None,
        context: Tensor | None = None,
        context_mask: Tensor | None = None,
        *,
        batch: int = 1,
    ) -> Reading:
        """The cache to begin writing with.

        Args:
            mask: ``(B, t)`` bool, false at padding of the prompt, on its left; None where there is none.
            context: ``(B, L_c, D_c)``, with ``context_mask`` ``(B, L_c)``.
            batch: B, where neither is given.
        """
        if mask is None:
            mask = torch.ones(batch if context is None else len(context), 0, dtype=torch.bool)
        device = self.text.tokens.weight.device
        return Reading(self.body.new_cache(), mask.bool().to(device), 0, context, context_mask)

    def step(self, tokens: Tensor, cache: Reading | None) -> tuple[Tensor, Reading]:
        """See ``NextToken``."""
        cache = self.start(batch=len(tokens)) if cache is None else cache
        return self._read(tokens, cache, only_last=True)[:, -1], cache

    def _read(self, tokens: Tensor, cache: Reading, only_last: bool = False) -> Tensor:
        assert isinstance(cache.layers, list)
        cache.mask = _grow(cache.mask, cache.seen + tokens.shape[1])
        cache.seen = cache.mask.shape[1]
        hidden = cache.mask[:, None] & causal(tokens.shape[1], cache.seen).to(tokens.device)
        read = cache.context_mask[:, None].bool() if cache.context_mask is not None else None
        x = self.body(self.text.enter(tokens, cache.mask), cache.context, cache.layers, mask=hidden, context_mask=read)
        return self.text.leave(x[:, -1:] if only_last else x)


class PrefixDecoder(nn.Module):
    """Text after tokens of other modalities, all in one multiway Transformer (GIT, SimVLM, BEiT-3's captions).

    The prefix, be it pictures, knowledge or both, reads itself; text reads the prefix and the text before it.

    Args:
        ends: makes tokens of words, and logits of what is read: `TextEnds`, or a trained model's own.
        fusion: has an expert for each modality of the prefix and for ``text``.
        text: name of the modality that is written.
    """

    def __init__(self, ends: Ends, fusion: MultiwayTransformer, text: str = "language") -> None:
        super().__init__()
        self.text, self.fusion, self.modality = ends, fusion, text

    def start(
        self,
        tokens: Mapping[str, Tensor],
        masks: Mapping[str, Tensor] | None = None,
        biases: Mapping[str, Tensor] | None = None,
        prompt: Tensor | None = None,
        through: int = 0,
    ) -> Reading:
        """Read the prefix: the cache to begin writing with.

        Args:
            tokens, masks, biases: of the prefix; see `MultiwayTransformer.forward`. A bias counts while the prefix
                reads itself; the text reads all real tokens alike.
            through: the text reads so many of the prefix's first tokens alone; 0: all of it.
            prompt: ``(B, t)`` bool, false at padding of the prompt, on its left.
        """
        layers = self.fusion.new_cache()
        self.fusion(tokens, masks, biases, cache=layers)
        real = [
            masks[name].bool()
            if masks and name in masks
            else torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
            for name, x in ((name, tokens[name]) for name in self.fusion.order if name in tokens)
        ]
        may = torch.cat(real, dim=1)
        if through:
            may = may & (torch.arange(may.shape[1], device=may.device) < through)
        return Reading(layers, may if prompt is None else torch.cat([may, prompt.bool()], dim=1))

    def step(self, tokens: Tensor, cache: Any) -> tuple[Tensor, Reading]:
        """See ``NextToken``; the cache is that of `start`."""
        return self.read(tokens, cache)[:, -1], cache

    def read(self, tokens: Tensor, cache: Reading) -> Tensor:
        """Read tokens ``(B, t)`` on: logits ``(B, t, V)`` of the token after each."""
        assert isinstance(cache.layers, MultiwayCache), "begin with `start`"
        prefix = sum(count for name, count in cache.layers.seen.items() if name != self.modality)
        cache.seen += tokens.shape[1]
        cache.mask = _grow(cache.mask, prefix + cache.seen)
        x = self.text.enter(tokens, cache.mask[:, prefix:])
        may = cache.mask[:, None] & causal(tokens.shape[1], cache.mask.shape[1]).to(tokens.device)
        return self.text.leave(self.fusion({self.modality: x}, mask=may, cache=cache.layers)[self.modality])


def _grow(mask: Tensor, length: int) -> Tensor:
    """(B, L) → (B, length): what is new is real."""
    return functional.pad(mask, (0, max(0, length - mask.shape[1])), value=True)
