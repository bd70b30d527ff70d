"""ViLT: words and patches in one Transformer, with nothing but a linear map before it for either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse import masks
from kemm.fuse.heads import FirstTokenPooler, WordHead, word_loss
from kemm.fuse.inputs import WordInput, unfold
from kemm.systems.names import Either, Names, Source
from kemm.systems.system import System, activation, asking, refuse
from kemm.systems.vit import block_names, blocks
from kg.errors import InputError

#: What a checkpoint's config.json may leave unsaid.
DEFAULTS = {
    "vocab_size": 30522,
    "type_vocab_size": 2,
    "modality_type_vocab_size": 2,
    "max_position_embeddings": 40,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "image_size": 384,
    "patch_size": 32,
    "num_channels": 3,
}


class PaddedPictureInput(nn.Module):
    """Patches of pictures of any size, padded to one: positions are stretched to each picture's own grid.

    Args:
        side: of the pictures whose positions are learned, in patches.
        patch: side of a patch, in pixels.
        width: D.
        channels: of a picture.
    """

    def __init__(self, side: int, patch: int, width: int, channels: int) -> None:
        super().__init__()
        self.side, self.patch = side, patch
        self.project = nn.Linear(channels * patch * patch, width)
        self.classes = nn.Parameter(torch.zeros(width))
        self.position = nn.Parameter(torch.randn(1 + side * side, width) * 0.02)

    def forward(self, pictures: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read pictures.

        Args:
            pictures: (B, C, rows, columns), padded on the right and below.
            mask: (B, rows, columns) bool, true at real pixels.

        Returns:
            (B, 1 + P, D), and (B, 1 + P) true at real tokens.

        Raises:
            InputError: patches do not fill the pictures.
        """
        rows, columns = (n // self.patch for n in pictures.shape[-2:])
        if (rows * self.patch, columns * self.patch) != tuple(pictures.shape[-2:]):
            raise InputError(
                f"patches of {self.patch} pixels do not fill a picture of {' × '.join(map(str, pictures.shape[-2:]))}"
            )
        if mask is None:
            mask = torch.ones_like(pictures[:, 0], dtype=torch.bool)
        real = mask.bool()[:, :: self.patch, :: self.patch]  # (B, rows, columns)
        sizes = list(zip(real[:, :, 0].sum(1).tolist(), real[:, 0].sum(1).tolist(), strict=True))
        known = {size: self._positions(*size, rows, columns) for size in set(sizes)}
        x = self.project(unfold(pictures, self.patch)) + torch.stack([known[size] for size in sizes])
        first = (self.classes + self.position[0]).expand(len(x), 1, -1)
        return torch.cat([first, x], dim=1), functional.pad(real.flatten(1), (1, 0), value=True)

    def _positions(self, rows: int, columns: int, most_rows: int, most_columns: int) -> Tensor:
        """Those of a picture of so many patches, zeros at its padding: (P, D)."""
        learned = self.position[1:].T.unflatten(1, (self.side, self.side))[None]  # (1, D, side, side)
        own = functional.interpolate(learned, size=(rows, columns), mode="bilinear", align_corners=True)
        return functional.pad(own, (0, most_columns - columns, 0, most_rows - rows)).flatten(2)[0].T


class Encoder(nn.Module):
    """x = [words + m_0; class token and patches + m_1], blocks, a norm: m says of which modality a token is."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        refuse(config, "ViLT", max_image_length=-1)
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        self.words = WordInput(
            config["vocab_size"],
            width,
            config["max_position_embeddings"],
            config["type_vocab_size"],
            eps=eps,
            dropout=config.get("hidden_dropout_prob", 0.0),
            padding=config.get("pad_token_id"),
        )
        side = config["image_size"] // config["patch_size"]
        self.patches = PaddedPictureInput(side, config["patch_size"], width, config["num_channels"])
        self.modality = nn.Parameter(torch.randn(config["modality_type_vocab_size"], width) * 0.02)
        self.transformer = blocks(config)
        self.pooler = FirstTokenPooler(width)

    @asking
    def forward(
        self,
        pictures: Tensor,
        tokens: Tensor,
        mask: Tensor | None = None,
        picture_mask: Tensor | None = None,
        sentences: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Fuse.

        Args:
            pictures, picture_mask: see `PaddedPictureInput.forward`.
            tokens: (B, T) ids.
            mask: (B, T) bool, true at real tokens.
            sentences: (B, T), which of two.

        Returns:
            ``text`` (B, T, D), ``vision`` (B, 1 + P, D), ``pooled`` (B, D), and ``vision_mask`` (B, 1 + P).
        """
        text = self.words(tokens, sentences) + self.modality[0]
        vision, real = self.patches(pictures, picture_mask)
        text_mask = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask.bool()
        x = torch.cat([text, vision + self.modality[1]], dim=1)
        states = self.transformer(x, mask=masks.keys(torch.cat([text_mask, real], dim=1)))
        length = tokens.shape[1]
        return {
            "text": states[:, :length],
            "vision": states[:, length:],
            "pooled": self.pooler(states),
            "vision_mask": real,
        }


def encoder_names(ours: str, theirs: str) -> dict[str, Source]:
    """ViLT's names of its encoder: our prefix and theirs, each ending in a dot or empty."""
    text = f"{theirs}embeddings.text_embeddings."
    return {
        f"{ours}words.word": f"{text}word_embeddings",
        f"{ours}words.position.table": f"{text}position_embeddings.weight",
        f"{ours}words.sentence": f"{text}token_type_embeddings",
        f"{ours}words.norm": f"{text}LayerNorm",
        f"{ours}patches.project": f"{theirs}embeddings.patch_embeddings.projection",
        f"{ours}patches.classes": f"{theirs}embeddings.cls_token",
        f"{ours}patches.position": f"{theirs}embeddings.position_embeddings",
        f"{ours}modality": f"{theirs}embeddings.token_type_embeddings.weight",
        **block_names(ours, theirs),
        f"{ours}pooler.project": f"{theirs}pooler.dense",
    }


POSITIONS = ("vilt.embeddings.text_embeddings.position_ids", "vilt.embeddings.text_embeddings.token_type_ids")


class ViLTMaskedWords(System):
    """ViLT with its head for masked words (Kim et al., 2021, arXiv:2102.03334)."""

    NAMES: ClassVar[Names] = {
        **encoder_names("encoder.", "vilt."),
        "words.transform": "mlm_score.transform.dense",
        "words.norm": "mlm_score.transform.LayerNorm",
        "words.bias": Either("mlm_score.decoder.bias", "mlm_score.bias"),
        "words.words": "vilt.embeddings.text_embeddings.word_embeddings",
    }
    IGNORED: ClassVar[tuple[str, ...]] = (*POSITIONS, "mlm_score.decoder.weight", "mlm_score.bias")

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.words = WordHead(self.encoder.words.word, config["layer_norm_eps"], activation(config))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        refuse(config, "ViLT", tie_word_embeddings=True)
        return cls({**DEFAULTS, **config})

    def forward(self, *given: Tensor | None, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Fuse, and predict words.

        Args:
            given: see `Encoder.forward`.
            labels: (B, T), the words at masked places, ``IGNORED`` elsewhere.

        Returns:
            what `Encoder.forward` gives, ``words`` (B, T, V), and with labels the ``loss``.
        """
        found = self.encoder(*given)
        found["words"] = self.words(found["text"])
        if labels is not None:
            found["loss"] = word_loss(found["words"], labels)
        return found


class ViLTRetrieval(System):
    """ViLT as a judge of whether a text and a picture belong together: s = w · pooled + b."""

    NAMES: ClassVar[Names] = {**encoder_names("encoder.", "vilt."), "rank": "rank_output"}
    IGNORED: ClassVar[tuple[str, ...]] = POSITIONS

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.rank = nn.Linear(config["hidden_size"], 1)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls({**DEFAULTS, **config})

    def forward(self, *given: Tensor | None) -> dict[str, Tensor]:
        """See `Encoder.forward`; adds ``score`` (B,)."""
        found = self.encoder(*given)
        found["score"] = self.rank(found["pooled"])[:, 0]
        return found
