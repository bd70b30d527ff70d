"""BLIP: one text Transformer as encoder of text and as encoder of text that reads a picture; its writer is beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from torch import Tensor, nn
from torch.nn import functional

from kemm.systems.bert import TextEncoder, encoder_names
from kemm.systems.names import Names, Source
from kemm.systems.system import System, refuse
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


def both(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of text and vision, with what config.json leaves unsaid."""
    refuse(config, "BLIP", tie_word_embeddings=True)
    refuse(config["vision_config"], "BLIP", attention_dropout=0.0)
    return {**TEXT, **config["text_config"]}, {**VISION, **config["vision_config"]}


class BLIPRetrieval(System):
    """How well a text goes with a picture (Li et al., 2022, arXiv:2201.12086).

        s_itc = ⟨W_v v_cls / ‖·‖, W_t t_cls / ‖·‖⟩,   z_itm = W x_cls

    t is of the text alone, x of the same Transformer reading the picture by cross-attention.
    """

    SIDE: ClassVar[tuple[str, ...]] = ("vision_config", "image_size")
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
