"""BLIP's writer: captions of pictures, and answers to questions about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from kemm.fuse.cache import BlockCache
from kemm.fuse.heads import WordHead, next_word_loss
from kemm.generate.decoder import Reading
from kemm.systems.bert import TextEncoder, word_head_names
from kemm.systems.blip import BLIPRetrieval, both, text_names, vision_names
from kemm.systems.names import Names
from kemm.systems.system import System, activation, refuse
from kemm.systems.vit import PictureEncoder


class Writer(nn.Module):
    """BLIP's text decoder: BERT, causal, that reads a context, and a head of words."""

    def __init__(self, config: Mapping[str, Any], context_width: int) -> None:
        super().__init__()
        self.text = TextEncoder(config, context_width, sentences=0)
        self.words = WordHead(self.text.input.word, config["layer_norm_eps"], activation(config))
        self.label_smoothing = config["label_smoothing"]

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor | None,
        context: Tensor | None,
        cache: list[BlockCache] | None = None,
    ) -> Tensor:
        """(B, T) ids, (B, T) bool, (B, L, D_c) → logits (B, T, V)."""
        return self.words(self.text(tokens, mask, is_causal=True, context=context, cache=cache))

    def start(self, context: Tensor) -> Reading:
        """The cache to begin writing with (``kemm.generate``)."""
        nothing = torch.ones(len(context), 0, dtype=torch.bool, device=context.device)
        return Reading(self.text.transformer.new_cache(), nothing, 0, context)

    def step(self, tokens: Tensor, cache: Reading) -> tuple[Tensor, Reading]:
        """See `kemm.generate.NextToken`."""
        assert isinstance(cache.layers, list)
        logits = self(tokens, None, cache.context, cache.layers)
        return logits[:, -1], cache


class BLIPCaptioner(System):
    """What a picture shows, in words: L = − mean log p(t_i | t_<i, picture), with label smoothing."""

    SIDE: ClassVar[tuple[str, ...]] = ("vision_config", "image_size")
    NAMES: ClassVar[Names] = {
        **vision_names("vision.", "vision_model."),
        **text_names("writer.text.", "text_decoder.bert."),
        **word_head_names(
            "writer.words.", "text_decoder.cls.predictions.", "text_decoder.bert.embeddings.word_embeddings"
        ),
    }
    IGNORED: ClassVar[tuple[str, ...]] = (
        "text_decoder.bert.embeddings.position_ids",
        "text_decoder.cls.predictions.decoder.*",
    )

    def __init__(self, text: Mapping[str, Any], vision: Mapping[str, Any]) -> None:
        super().__init__()
        self.vision = PictureEncoder(vision)
        self.writer = Writer(text, vision["hidden_size"])

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(*both(config))

    def forward(
        self, pictures: Tensor, tokens: Tensor, mask: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Read captions.

        Args:
            pictures: (B, 3, rows, columns).
            tokens, mask: (B, T).
            labels: (B, T), the tokens themselves, ``IGNORED`` where there is nothing to learn.

        Returns:
            ``states`` (B, 1 + P, D), ``words`` (B, T, V), and with labels the ``loss``.
        """
        states = self.vision(pictures)
        found = {"states": states, "words": self.writer(tokens, mask, states)}
        if labels is not None:
            found["loss"] = next_word_loss(found["words"], labels, self.writer.label_smoothing)
        return found

    def start(self, pictures: Tensor) -> Reading:
        """The cache to begin writing with, after which `step` is given the first token (``kemm.generate``)."""
        return self.writer.start(self.vision(pictures))

    def step(self, tokens: Tensor, cache: Reading) -> tuple[Tensor, Reading]:
        """See `kemm.generate.NextToken`."""
        return self.writer.step(tokens, cache)


class BLIPAnswerer(System):
    """Answers to questions about a picture: the question reads the picture, the writer reads the question."""

    SIDE: ClassVar[tuple[str, ...]] = ("vision_config", "image_size")
    NAMES: ClassVar[Names] = {**BLIPCaptioner.NAMES, **text_names("text.", "text_encoder.")}
    IGNORED: ClassVar[tuple[str, ...]] = (*BLIPCaptioner.IGNORED, *BLIPRetrieval.IGNORED)

    def __init__(self, text: Mapping[str, Any], vision: Mapping[str, Any]) -> None:
        super().__init__()
        self.vision = PictureEncoder(vision)
        self.text = TextEncoder(text, vision["hidden_size"], sentences=0)
        self.writer = Writer(text, text["hidden_size"])

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        text, vision = both(config)
        if text["hidden_size"] != vision["hidden_size"]:  # the reference reads questions with the pictures' width
            refuse({"hidden_size": vision["hidden_size"]}, "BLIP's answerer", hidden_size=text["hidden_size"])
        return cls(text, vision)

    def forward(
        self,
        pictures: Tensor,
        tokens: Tensor,
        mask: Tensor | None,
        answer: Tensor,
        answer_mask: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Questions (B, T) and answers (B, T_a) → ``words`` (B, T_a, V), and with labels (B, T_a) the ``loss``."""
        # The writer reads the question's padding, too: the reference loses the mask on its way to cross-attention
        question = self.text(tokens, mask, context=self.vision(pictures))
        found = {"words": self.writer(answer, answer_mask, question)}
        if labels is not None:
            found["loss"] = next_word_loss(found["words"], labels, self.writer.label_smoothing)
        return found

    def start(self, pictures: Tensor, tokens: Tensor, mask: Tensor | None = None) -> Reading:
        """The cache to begin an answer with (``kemm.generate``)."""
        return self.writer.start(self.text(tokens, mask, context=self.vision(pictures)))

    def step(self, tokens: Tensor, cache: Reading) -> tuple[Tensor, Reading]:
        """See `kemm.generate.NextToken`."""
        return self.writer.step(tokens, cache)
