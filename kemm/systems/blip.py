"""BLIP: one text Transformer as encoder of text, as encoder of text that reads a picture, and as writer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse.cache import BlockCache
from kemm.fuse.heads import WordHead, next_word_loss
from kemm.generate.decoder import Reading
from kemm.systems.bert import TextEncoder, encoder_names, word_head_names
from kemm.systems.names import Names, Source
from kemm.systems.system import System, activation, refuse
from kemm.systems.vit import PictureEncoder

#: What a checkpoint's config.json may leave unsaid.
TEXT = {
    "vocab_size": 30524,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "label_smoothing": 0.0,
}
VISION = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "image_size": 384,
    "patch_size": 16,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
}


def vision_names(ours: str, theirs: str) -> dict[str, Source]:
    """BLIP's names of ViT: our prefix and theirs, each ending in a dot or empty."""
    layer, block = f"{theirs}encoder.layers.{{i}}.", f"{ours}transformer.blocks.{{i}}."
    return {
        f"{ours}input.classes": f"{theirs}embeddings.class_embedding",
        f"{ours}input.position": f"{theirs}embeddings.position_embedding",
        f"{ours}input.project": f"{theirs}embeddings.patch_embedding",
        f"{block}attention.qkv": f"{layer}self_attn.qkv",
        f"{block}attention.out": f"{layer}self_attn.projection",
        f"{block}attention_residual.norm": f"{layer}layer_norm1",
        f"{block}feed_forward.up": f"{layer}mlp.fc1",
        f"{block}feed_forward.down": f"{layer}mlp.fc2",
        f"{block}feed_forward_residual.norm": f"{layer}layer_norm2",
        f"{ours}transformer.norm": f"{theirs}post_layernorm",
    }


def text_names(ours: str, theirs: str) -> dict[str, Source]:
    """BERT's names, and those of cross-attention."""
    layer, block = f"{theirs}encoder.layer.{{i}}.crossattention.", f"{ours}transformer.blocks.{{i}}."
    return {
        **encoder_names(ours, theirs),
        f"{block}cross.query": f"{layer}self.query",
        f"{block}cross.key_value": (f"{layer}self.key", f"{layer}self.value"),
        f"{block}cross.out": f"{layer}output.dense",
        f"{block}cross_residual.norm": f"{layer}output.LayerNorm",
    }


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


class BLIPRetrieval(System):
    """How well a text goes with a picture (Li et al., 2022, arXiv:2201.12086).

        s_itc = ⟨W_v v_cls / ‖·‖, W_t t_cls / ‖·‖⟩,   z_itm = W x_cls

    t is of the text alone, x of the same Transformer reading the picture by cross-attention.
    """

    NAMES: ClassVar[Names] = {
        **vision_names("vision.", "vision_model."),
        **text_names("text.", "text_encoder."),
        "project_vision": "vision_proj",
        "project_text": "text_proj",
        "matches": "itm_head",
    }
    IGNORED: ClassVar[tuple[str, ...]] = ("text_encoder.embeddings.position_ids",)

    def __init__(self, text: Mapping[str, Any], vision: Mapping[str, Any], embed: int = 256) -> None:
        super().__init__()
        self.vision = PictureEncoder(vision)
        self.text = TextEncoder(text, vision["hidden_size"], sentences=0)
        self.project_vision = nn.Linear(vision["hidden_size"], embed)
        self.project_text = nn.Linear(text["hidden_size"], embed)
        self.matches = nn.Linear(text["hidden_size"], 2)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(*both(config), config.get("image_text_hidden_size", 256))

    def encode_image(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, rows, columns) → states (B, 1 + P, D) and a vector of length 1, (B, E)."""
        states = self.vision(pictures)
        return states, functional.normalize(self.project_vision(states[:, 0]), dim=-1)

    def encode_text(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T) ids and (B, T) bool → vectors of length 1, (B, E)."""
        return functional.normalize(self.project_text(self.text(tokens, mask)[:, 0]), dim=-1)

    def match(self, tokens: Tensor, mask: Tensor | None, states: Tensor) -> Tensor:
        """Texts beside the states of pictures, (B, 1 + P, D) → logits (B, 2), the second that they match."""
        return self.matches(self.text(tokens, mask, context=states)[:, 0])

    def forward(self, pictures: Tensor, tokens: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Encode and compare.

        Returns:
            ``states`` (B, 1 + P, D) of pictures, ``itc`` (B, B), pictures by texts, and ``itm`` (B, 2), each picture
            with its text.
        """
        states, image = self.encode_image(pictures)
        return {
            "states": states,
            "itc": image @ self.encode_text(tokens, mask).T,
            "itm": self.match(tokens, mask, states),
        }


class BLIPCaptioner(System):
    """What a picture shows, in words: L = − mean log p(t_i | t_<i, picture), with label smoothing."""

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


def both(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of text and vision, with what config.json leaves unsaid."""
    refuse(config, "BLIP", tie_word_embeddings=True)
    refuse(config["vision_config"], "BLIP", attention_dropout=0.0)
    return {**TEXT, **config["text_config"]}, {**VISION, **config["vision_config"]}
