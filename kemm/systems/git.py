"""GIT: a picture's tokens, then words, in one decoder that writes the words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse import masks
from kemm.fuse.heads import next_word_loss
from kemm.generate.decoder import Reading
from kemm.systems import bert, clip
from kemm.systems.clip import PictureEncoder, picture_names
from kemm.systems.names import Either, Names
from kemm.systems.system import System, refuse
from kg.errors import InputError

#: What a checkpoint's config.json may leave unsaid.
TEXT = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "max_position_embeddings": 1024,
    "layer_norm_eps": 1e-12,
}
VISION = {**clip.VISION, "patch_size": 16}


class GIT(System):
    """GIT (Wang et al., 2022, arXiv:2205.14100).

        L = − mean over i of log p(w_i | picture, w_1 … w_{i−1})

    The picture's tokens read each other, a word reads them and the words before it. A video is up to N pictures, each
    with a vector of its place added, one after another.

    Args:
        text, vision: keys as in ``config.json`` and in its ``vision_config``.
        frames: N, for videos; None: pictures alone.
    """

    SIDE: ClassVar[tuple[str, ...]] = ("vision_config", "image_size")
    NAMES: ClassVar[Names] = {
        **picture_names("vision.", "git.image_encoder.vision_model."),
        "enter.0": "git.visual_projection.visual_projection.0",
        "enter.1": "git.visual_projection.visual_projection.1",
        "places.{i}": "git.img_temporal_embedding.{i}",
        **bert.encoder_names("text.", "git."),
        "words.weight": Either("output.weight", "git.embeddings.word_embeddings.weight"),
        "words.bias": "output.bias",
    }
    IGNORED: ClassVar[tuple[str, ...]] = ("*.position_ids",)

    def __init__(self, text: Mapping[str, Any], vision: Mapping[str, Any], frames: int | None = None) -> None:
        super().__init__()
        width = text["hidden_size"]
        self.vision = PictureEncoder(vision)
        self.enter = nn.Sequential(
            nn.Linear(vision["hidden_size"], width), nn.LayerNorm(width, eps=vision["layer_norm_eps"])
        )
        self.places = nn.ParameterList(torch.zeros(vision["hidden_size"]) for _ in range(frames or 0))
        self.text = bert.TextEncoder(text, sentences=0)
        self.words = nn.Linear(width, text["vocab_size"])
        if text.get("tie_word_embeddings", False):
            self.words.weight = self.text.input.word.weight

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        refuse(config, "GIT", type_vocab_size=0)
        frames = config.get("num_image_with_embedding")
        return cls({**TEXT, **config}, {**VISION, **(config.get("vision_config") or {})}, frames)

    def encode_image(self, pictures: Tensor) -> Tensor:
        """(B, 3, rows, columns), or (B, N, 3, rows, columns) of a video → (B, P, D), the tokens that words read.

        Raises:
            InputError: there are more pictures than places.
        """
        if pictures.dim() == 4:
            return self.enter(self.vision(pictures))
        if pictures.shape[1] > len(self.places):
            raise InputError(f"a video has {pictures.shape[1]} pictures, the model has places for {len(self.places)}")
        frames = self.vision(pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2])  # (B, N, P, D_v)
        places = torch.stack(list(self.places)[: pictures.shape[1]])[:, None]  # (N, 1, D_v)
        return self.enter(frames + places).flatten(1, 2)

    def forward(
        self, pictures: Tensor | None, tokens: Tensor, mask: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Read captions.

        Args:
            pictures: see `encode_image`; None: text alone.
            tokens: (B, T) ids.
            mask: (B, T) bool, true at real tokens.
            labels: (B, T), the tokens themselves, ``IGNORED`` where there is nothing to learn.

        Returns:
            ``states`` (B, P + T, D), ``words`` (B, T, V), and with labels the ``loss``.
        """
        x = self.text.input(tokens)
        seen = self.encode_image(pictures) if pictures is not None else x[:, :0]
        first, length = seen.shape[1], seen.shape[1] + tokens.shape[1]
        may = masks.prefix(length, first).to(tokens.device)
        if mask is not None:
            may = may & masks.keys(functional.pad(mask.bool(), (first, 0), value=True))
        states = self.text.transformer(torch.cat([seen, x], dim=1), mask=may)
        found = {"states": states, "words": self.words(states[:, first:])}
        if labels is not None:
            found["loss"] = next_word_loss(found["words"], labels)
        return found

    def start(self, pictures: Tensor) -> Reading:
        """Read a picture: the cache to begin writing with, after which `step` is given the first word."""
        seen = self.encode_image(pictures)
        layers = self.text.transformer.new_cache()
        self.text.transformer(seen, cache=layers)
        return Reading(layers, torch.ones(seen.shape[:2], dtype=torch.bool, device=seen.device))

    def step(self, tokens: Tensor, cache: Reading) -> tuple[Tensor, Reading]:
        """See `kemm.generate.NextToken`."""
        assert isinstance(cache.layers, list)
        x = self.text.input(tokens, offset=cache.seen)
        cache.seen += tokens.shape[1]
        cache.mask = functional.pad(cache.mask, (0, tokens.shape[1]), value=True)
        may = masks.causal(tokens.shape[1], cache.mask.shape[1]).to(tokens.device) & masks.keys(cache.mask)
        return self.words(self.text.transformer(x, cache=cache.layers, mask=may)[:, -1]), cache
