"""T5: an encoder of text and a writer that reads it, with nothing but distances for positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse import masks
from kemm.fuse.cache import BlockCache
from kemm.fuse.heads import IGNORED, word_loss
from kemm.fuse.positions import RelativeBuckets
from kemm.fuse.transformer import Transformer
from kemm.generate.decoder import Reading
from kemm.systems.names import Either, Names, Source
from kemm.systems.system import System, activation
from kg.errors import InputError

KIND = "feed_forward_proj"  # config.json's key of the feed-forward part: an activation, "gated-" before it or not


def _names(side: str) -> dict[str, Source]:
    """T5's names of one side; the decoder's feed-forward comes third in a block, the encoder's second."""
    layer, block = f"{side}.block.{{i}}.layer.", f"{side}.blocks.{{i}}."
    last = 2 if side == "decoder" else 1
    attention, cross, feed_forward = f"{layer}0.SelfAttention.", f"{layer}1.EncDecAttention.", f"{layer}{last}."
    names: dict[str, Source] = {
        f"{side}.relative.table": f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias",
        f"{side}.norm": f"{side}.final_layer_norm",
        f"{block}attention.qkv": (f"{attention}q", f"{attention}k", f"{attention}v"),
        f"{block}attention.out": f"{attention}o",
        f"{block}attention_residual.norm": f"{layer}0.layer_norm",
        f"{block}feed_forward.up": Either(
            (f"{feed_forward}DenseReluDense.wi_0", f"{feed_forward}DenseReluDense.wi_1"),
            f"{feed_forward}DenseReluDense.wi",
        ),
        f"{block}feed_forward.down": f"{feed_forward}DenseReluDense.wo",
        f"{block}feed_forward_residual.norm": f"{feed_forward}layer_norm",
    }
    if side == "decoder":
        names |= {
            f"{block}cross.query": f"{cross}q",
            f"{block}cross.key_value": (f"{cross}k", f"{cross}v"),
            f"{block}cross.out": f"{cross}o",
            f"{block}cross_residual.norm": f"{layer}1.layer_norm",
        }
    return names


class T5(System):
    """Text to text (Raffel et al., 2020, arXiv:1910.10683).

        L = − mean log softmax(W h_i s)[y_i],   h = decoder([0, y_<i], encoder(x))

    Norms are RMSNorm, attention is not divided by √d, no linear map has a bias, and one table of 32 distances a side is
    all there is of positions. At first W = E, the table of words, and s = 1/√D; v1.1 gates the feed-forward part, and
    has s = 1 and a W of its own.

    Args:
        config: keys as in a T5 checkpoint's ``config.json``.
    """

    NAMES: ClassVar[Names] = {
        "words": "shared",
        "head": Either("lm_head", "shared"),
        **_names("encoder"),
        **_names("decoder"),
    }
    IGNORED: ClassVar[tuple[str, ...]] = (
        "encoder.embed_tokens.*",
        "decoder.embed_tokens.*",
        "lm_head.*",
        "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.*",  # the first checkpoints'; nobody reads it
    )

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.width = config["d_model"]
        self.start_token = config.get("decoder_start_token_id", config.get("pad_token_id", 0))
        self.padding = config.get("pad_token_id", 0)
        self.dropout = config.get("dropout_rate", 0.1)
        self.words = nn.Embedding(config["vocab_size"], self.width)
        self.head = nn.Linear(self.width, config["vocab_size"], bias=False)
        is_tied = config.get("tie_word_embeddings", True)
        if is_tied:
            self.head.weight = self.words.weight
        self.scale = self.width**-0.5 if config.get("scale_decoder_outputs", is_tied) else 1.0
        layers = config["num_layers"]
        self.encoder = self._side(config, layers, is_decoder=False)
        self.decoder = self._side(config, config.get("num_decoder_layers") or layers, is_decoder=True)

    def _side(self, config: Mapping[str, Any], layers: int, is_decoder: bool) -> Transformer:
        kind = config.get(KIND, "relu")
        gated = kind.removeprefix("gated-")
        return Transformer(
            self.width,
            layers,
            config["num_heads"],
            self.width if is_decoder else None,
            shared_relative=RelativeBuckets(
                config["num_heads"],
                config.get("relative_attention_num_buckets", 32),
                config.get("relative_attention_max_distance", 128),
                is_causal=is_decoder,
            ),
            hidden=config["d_ff"],
            head_width=config["d_kv"],
            eps=config.get("layer_norm_epsilon", 1e-6),
            is_rms=True,
            activation="gelu-tanh"
            if kind == "gated-gelu"
            else activation({"feed_forward_proj": gated}, "feed_forward_proj"),
            is_gated=gated != kind,
            attention_bias=(False, False, False, False),
            feed_forward_bias=False,
            scale=1.0,
            dropout=self.dropout,
            hidden_dropout=self.dropout,
            attention_dropout=self.dropout,
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(config)

    def encode_text(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T) ids and (B, T) bool → (B, T, D)."""
        states = self.encoder(self._embed(tokens), mask=None if mask is None else masks.keys(mask.bool()))
        return functional.dropout(states, self.dropout, self.training)

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        labels: Tensor | None = None,
        written: Tensor | None = None,
        written_mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Read and write.

        Args:
            tokens, mask: (B, T), what is read.
            labels: (B, T_y), what is to be written, ``IGNORED`` where there is nothing to learn.
            written, written_mask: (B, T_y), what has been written so far; unless given, the start token and the labels
                but the last.

        Returns:
            ``states`` (B, T, D), ``words`` (B, T_y, V), and with labels the ``loss``.

        Raises:
            InputError: neither labels nor ``written`` are given.
        """
        if written is None:
            if labels is None:
                raise InputError("T5 was given nothing to write: give labels, or what is written so far")
            written = functional.pad(labels[:, :-1], (1, 0), value=self.start_token)
            written = written.masked_fill(written == IGNORED, self.padding)
        states = self.encode_text(tokens, mask)
        found = {"states": states, "words": self.decode(written, written_mask, states, mask)}
        if labels is not None:
            found["loss"] = word_loss(found["words"], labels)
        return found

    def decode(
        self,
        tokens: Tensor,
        mask: Tensor | None,
        states: Tensor | None,
        states_mask: Tensor | None = None,
        cache: list[BlockCache] | None = None,
    ) -> Tensor:
        """(B, T) ids after those in the cache, reading (B, L, D) → logits (B, T, V) of the token after each."""
        before = cache[0].attention.length if cache is not None else 0
        may = masks.causal(tokens.shape[1], before + tokens.shape[1]).to(tokens.device)
        may = may if mask is None else may & masks.keys(mask.bool())
        reads = None if states_mask is None else masks.keys(states_mask.bool())
        x = self.decoder(self._embed(tokens), states, cache, mask=may, context_mask=reads)
        return self.head(functional.dropout(x, self.dropout, self.training) * self.scale)

    def start(self, tokens: Tensor, mask: Tensor | None = None) -> Reading:
        """Read (B, T): the cache to begin writing with, after which `step` is given ``start_token``."""
        nothing = torch.ones(len(tokens), 0, dtype=torch.bool, device=tokens.device)
        return Reading(self.decoder.new_cache(), nothing, 0, self.encode_text(tokens, mask), mask)

    def step(self, tokens: Tensor, cache: Reading) -> tuple[Tensor, Reading]:
        """See `kemm.generate.NextToken`."""
        assert isinstance(cache.layers, list)
        return self.decode(tokens, None, cache.context, cache.context_mask, cache.layers)[:, -1], cache

    def _embed(self, tokens: Tensor) -> Tensor:
        return functional.dropout(self.words(tokens), self.dropout, self.training)
