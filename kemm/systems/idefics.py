"""Idefics, an open Flamingo: pictures between words, read by a frozen language model through gates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse import masks
from kemm.fuse.block import Block
from kemm.fuse.cache import BlockCache, Cache
from kemm.fuse.gated_cross_attention import GatedCrossAttention
from kemm.fuse.heads import next_word_loss
from kemm.fuse.perceiver_resampler import PerceiverResampler
from kemm.fuse.positions import Rotary
from kemm.fuse.residual import make_norm
from kemm.systems.clip import PictureEncoder, picture_names
from kemm.systems.idefics_names import language_names, resampler_names
from kemm.systems.names import Names
from kemm.systems.system import System, activation, refuse

#: What a checkpoint's config.json may leave unsaid.
DEFAULTS = {
    "vocab_size": 32_000,
    "additional_vocab_size": 0,
    "hidden_size": 4096,
    "intermediate_size": 11_008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "cross_layer_interval": 1,
    "alpha_type": "float",
    "qk_layer_norms": False,
    "use_resampler": False,
    "freeze_text_layers": True,
    "freeze_vision_layers": True,
    "freeze_lm_head": False,
}
VISION = {
    "embed_dim": 768,
    "image_size": 224,
    "intermediate_size": 5120,
    "patch_size": 14,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "num_channels": 3,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "attention_dropout": 0.0,
}
RESAMPLER = {
    "resampler_n_latents": 64,
    "resampler_depth": 6,
    "resampler_n_heads": 16,
    "resampler_head_dim": 96,
    "qk_layer_norms_perceiver": False,
}


@dataclass
class Read:
    """What has been read: keys and values of words and of pictures, true at real words of (B, L), which pictures the
    next word sees, (B, 1, N), and the pictures' states."""

    layers: list[BlockCache]
    gates: list[Cache]
    mask: Tensor
    sees: Tensor
    pictures: Tensor

    def select(self, rows: Tensor) -> None:
        for layer in self.layers:
            layer.select(rows)
        for gate in self.gates:
            gate.select(rows)
        self.mask, self.sees, self.pictures = self.mask[rows], self.sees[rows], self.pictures[rows]


class Idefics(System):
    """LLaMA with gated cross-attention before each, or each c-th, block (Laurençon et al., 2023, arXiv:2306.16527).

        L = − mean log p(t_i | t_<i, the pictures that t_i may see)

    What the configuration freezes is frozen here: by default the language model and the vision tower.

    Args:
        config: keys as in an Idefics checkpoint's ``config.json``.
    """

    SIDE: ClassVar[tuple[str, ...]] = ("vision_config", "image_size")
    NAMES: ClassVar[Names] = {
        "words": "model.embed_tokens",
        "more_words": "model.embed_tokens.additional_embedding",
        **picture_names("vision.", "model.vision_model."),
        **resampler_names(),
        **language_names(),
        "norm": "model.norm",
        "head": "lm_head",
        "more_head": "lm_head.additional_fc",
    }
    IGNORED: ClassVar[tuple[str, ...]] = (
        "model.vision_model.post_layernorm.*",  # of the pooled vector, which nothing here reads
        "model.vision_model.embeddings.position_ids",
        "*rotary_emb.inv_freq",
    )

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        refuse(config, "Idefics", tie_word_embeddings=False, alpha_type=("float", "vector"), dropout=0.0)
        vision = {**VISION, **config["vision_config"]}
        width, heads, eps = config["hidden_size"], config["num_attention_heads"], config["rms_norm_eps"]
        more = config["additional_vocab_size"]
        self.vision = PictureEncoder({**vision, "hidden_size": vision["embed_dim"]}, has_final_norm=False)
        resampler = {**RESAMPLER, **(config.get("perceiver_config") or {})}
        self.resampler = (
            PerceiverResampler(
                vision["embed_dim"],
                resampler["resampler_depth"],
                resampler["resampler_n_heads"],
                resampler["resampler_head_dim"],
                resampler["resampler_n_latents"],
                activation="relu",
                head_norm=nn.LayerNorm if resampler["qk_layer_norms_perceiver"] else None,
            )
            if config["use_resampler"]
            else None
        )
        self.words = nn.Embedding(config["vocab_size"], width)
        self.more_words = nn.Embedding(more, width) if more else None
        base = (config.get("rope_parameters") or {}).get("rope_theta", 10_000.0)
        rotary = Rotary(width // heads, base)
        feed_forward = {"hidden": config["intermediate_size"], "activation": activation(config), "is_gated": True}
        self.blocks = nn.ModuleList(
            Block(
                width,
                heads,
                rotary=rotary,
                eps=eps,
                is_rms=True,
                attention_bias=(False, False, False, False),
                feed_forward_bias=False,
                **feed_forward,
            )
            for _ in range(config["num_hidden_layers"])
        )
        self.every = config["cross_layer_interval"]
        self.gates = nn.ModuleList(
            GatedCrossAttention(
                width,
                heads,
                vision["embed_dim"],
                eps=eps,
                is_rms=True,
                is_gate_wide=config["alpha_type"] == "vector",
                head_norm=partial(make_norm, eps=eps, is_rms=True) if config["qk_layer_norms"] else None,
                **feed_forward,
            )
            for _ in range(len(self.blocks) // self.every)
        )
        self.norm = make_norm(width, eps, is_rms=True)
        self.head = nn.Linear(width, config["vocab_size"], bias=False)
        self.more_head = nn.Linear(width, more, bias=False) if more else None
        if config["freeze_text_layers"]:
            for part in (self.words, self.blocks, self.norm):
                part.requires_grad_(False)
        if config["freeze_vision_layers"]:
            self.vision.requires_grad_(False)
        if config["freeze_lm_head"]:
            self.head.requires_grad_(False)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls({**DEFAULTS, **config})

    def encode_image(self, pictures: Tensor) -> Tensor:
        """(B, N, C, rows, columns) → (B, N, K, D_v), K latents or patches each."""
        states = self.vision(pictures.flatten(0, 1))
        states = states if self.resampler is None else self.resampler(states)
        return states.unflatten(0, pictures.shape[:2])

    def forward(
        self,
        pictures: Tensor,
        tokens: Tensor,
        mask: Tensor | None = None,
        sees: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Read words between pictures.

        Args:
            pictures: (B, N, C, rows, columns).
            tokens, mask: (B, T).
            sees: (B, T, N) bool, which pictures each word may see; all unless given.
            labels: (B, T), the tokens themselves, ``IGNORED`` where there is nothing to learn.

        Returns:
            ``pictures`` (B, N, K, D_v), ``words`` (B, T, V), and with labels the ``loss``.
        """
        states = self.encode_image(pictures)
        real = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask.bool()
        if sees is None:
            sees = tokens.new_ones(*tokens.shape, pictures.shape[1])
        found = {"pictures": states, "words": self.decode(tokens, real, sees.bool(), states)}
        if labels is not None:
            found["loss"] = next_word_loss(found["words"], labels)
        return found

    def decode(self, tokens: Tensor, mask: Tensor, sees: Tensor, states: Tensor, cache: Read | None = None) -> Tensor:
        """(B, T) ids, (B, L) true at real ones, these the last; (B, T, N); (B, N, K, D_v) → logits (B, T, V)."""
        count, length = tokens.shape[1], mask.shape[1]
        may = masks.causal(count, length).to(tokens.device) & masks.keys(mask)
        # A word's position is the number of real words before it; padding's is 1, as the reference has it
        positions = (mask.long().cumsum(dim=-1) - 1).masked_fill(~mask, 1)[:, -count:]
        sees = sees.repeat_interleave(states.shape[2], dim=-1)  # (B, T, N · K)
        context = states.flatten(1, 2)
        x = self._embed(tokens)
        for layer, block in enumerate(self.blocks):
            if layer % self.every == 0:
                place = layer // self.every
                x = self.gates[place](x, context, sees, None if cache is None else cache.gates[place])
            own = None if cache is None else cache.layers[layer]
            x = block(x, cache=own, mask=may, positions=positions)
        x = self.norm(x)
        return self.head(x) if self.more_head is None else torch.cat([self.head(x), self.more_head(x)], dim=-1)

    def start(self, pictures: Tensor) -> Read:
        """The cache to begin writing with; every word sees all pictures. See `step`."""
        batch, device = len(pictures), pictures.device
        return Read(
            [BlockCache() for _ in self.blocks],
            [Cache() for _ in self.gates],
            torch.ones(batch, 0, dtype=torch.bool, device=device),
            torch.ones(batch, 1, pictures.shape[1], dtype=torch.bool, device=device),
            self.encode_image(pictures),
        )

    def step(self, tokens: Tensor, cache: Read) -> tuple[Tensor, Read]:
        """See `kemm.generate.NextToken`."""
        cache.mask = functional.pad(cache.mask, (0, tokens.shape[1]), value=True)
        sees = cache.sees.expand(-1, tokens.shape[1], -1)
        return self.decode(tokens, cache.mask, sees, cache.pictures, cache)[:, -1], cache

    def _embed(self, tokens: Tensor) -> Tensor:
        if self.more_words is None:
            return self.words(tokens)
        first = self.words.num_embeddings
        known = tokens < first
        more = self.more_words((tokens - first).clamp(min=0))
        return torch.where(known[..., None], self.words(tokens.where(known, 0)), more)
