"""CLIP: a picture's vector and a text's, near one another when the two belong together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse import masks
from kemm.fuse.inputs import PatchInput, WordInput
from kemm.fuse.transformer import Transformer
from kemm.systems.names import Names, Source
from kemm.systems.system import System, activation

#: What a checkpoint's config.json may leave unsaid.
TEXT = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "attention_dropout": 0.0,
    "eos_token_id": 49407,
}
VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "attention_dropout": 0.0,
}


def section(config: Mapping[str, Any], kind: str, unsaid: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration for one tower, ``kind`` being "text" or "vision"; old files have it twice."""
    said = {**(config.get(f"{kind}_config") or {}), **(config.get(f"{kind}_config_dict") or {})}
    return {**unsaid, **said}


def blocks(config: Mapping[str, Any], **options: Any) -> Transformer:
    """A tower's blocks, with norms before them; ``options`` of `Transformer`."""
    return Transformer(
        config["hidden_size"],
        config["num_hidden_layers"],
        config["num_attention_heads"],
        hidden=config["intermediate_size"],
        eps=config["layer_norm_eps"],
        activation=activation(config),
        attention_dropout=config["attention_dropout"],
        **options,
    )


class TextEncoder(nn.Module):
    """Words with positions, blocks, a norm at the end; a token reads what stands before it, if ``is_causal``."""

    def __init__(self, config: Mapping[str, Any], is_causal: bool = True) -> None:
        super().__init__()
        self.input = WordInput(config["vocab_size"], config["hidden_size"], config["max_position_embeddings"])
        self.transformer = blocks(config)
        self.is_causal = is_causal

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T) ids, (B, T) bool true at real tokens → (B, T, D)."""
        may = None if mask is None else masks.keys(mask.bool())
        if self.is_causal:
            earlier = masks.causal(tokens.shape[1]).to(tokens.device)
            may = earlier if may is None else earlier & may
        return self.transformer(self.input(tokens), mask=may)


class PictureEncoder(nn.Module):
    """A class token and patches with positions, a norm, blocks, and a norm at the end, unless told otherwise."""

    def __init__(self, config: Mapping[str, Any], has_final_norm: bool = True) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.input = PatchInput(
            config["image_size"], config["patch_size"], width, bias=False, channels=config["num_channels"]
        )
        self.norm = nn.LayerNorm(width, eps=config["layer_norm_eps"])
        self.transformer = blocks(config, has_final_norm=has_final_norm)

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, rows, columns) normalised pixels → (B, 1 + P, D)."""
        return self.transformer(self.norm(self.input(pictures)))


def block_names(ours: str, theirs: str) -> dict[str, Source]:
    """CLIP's names of a tower's blocks: our prefix and theirs, each ending in a dot or empty."""
    layer, block = f"{theirs}encoder.layers.{{i}}.", f"{ours}transformer.blocks.{{i}}."
    return {
        f"{block}attention.qkv": tuple(f"{layer}self_attn.{part}_proj" for part in "qkv"),
        f"{block}attention.out": f"{layer}self_attn.out_proj",
        f"{block}attention_residual.norm": f"{layer}layer_norm1",
        f"{block}feed_forward.up": f"{layer}mlp.fc1",
        f"{block}feed_forward.down": f"{layer}mlp.fc2",
        f"{block}feed_forward_residual.norm": f"{layer}layer_norm2",
    }


def text_names(ours: str, theirs: str) -> dict[str, Source]:
    """CLIP's names of a text encoder."""
    return {
        f"{ours}input.word": f"{theirs}embeddings.token_embedding",
        f"{ours}input.position.table": f"{theirs}embeddings.position_embedding.weight",
        **block_names(ours, theirs),
        f"{ours}transformer.norm": f"{theirs}final_layer_norm",
    }


def picture_names(ours: str, theirs: str) -> dict[str, Source]:
    """CLIP's names of a picture encoder, the misspelt one included."""
    return {
        f"{ours}input.classes": f"{theirs}embeddings.class_embedding",
        f"{ours}input.project": f"{theirs}embeddings.patch_embedding",
        f"{ours}input.position": f"{theirs}embeddings.position_embedding.weight",
        f"{ours}norm": f"{theirs}pre_layrnorm",
        **block_names(ours, theirs),
        f"{ours}transformer.norm": f"{theirs}post_layernorm",
    }


def contrast(similarity: Tensor) -> Tensor:
    """½ (CE over the rows of (N, N) + CE over its columns): each belongs to the one at its own place."""
    target = torch.arange(len(similarity), device=similarity.device)
    return (functional.cross_entropy(similarity, target) + functional.cross_entropy(similarity.T, target)) / 2


class CLIP(System):
    """CLIP (Radford et al., 2021, arXiv:2103.00020).

        s_ij = e^λ ⟨t_i / ‖t_i‖, v_j / ‖v_j‖⟩,   t = W_t x_end,   v = W_v x_class
        L = ½ (CE(s, y) + CE(sᵀ, y)),   y_i = i

    x_end is the text's state at its end token. λ starts at ln(1 / 0.07); training keeps it below ln 100.
    """

    SIDE: ClassVar[tuple[str, ...]] = ("vision_config", "image_size")
    NAMES: ClassVar[Names] = {
        **text_names("text.", "text_model."),
        **picture_names("vision.", "vision_model."),
        "project_text": "text_projection",
        "project_vision": "visual_projection",
        "scale": "logit_scale",
    }
    IGNORED: ClassVar[tuple[str, ...]] = ("*.position_ids",)

    def __init__(self, text: Mapping[str, Any], vision: Mapping[str, Any], embed: int = 512) -> None:
        super().__init__()
        self.text, self.vision = TextEncoder(text), PictureEncoder(vision)
        self.project_text = nn.Linear(text["hidden_size"], embed, bias=False)
        self.project_vision = nn.Linear(vision["hidden_size"], embed, bias=False)
        self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.end = text["eos_token_id"]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        sections = section(config, "text", TEXT), section(config, "vision", VISION)
        return cls(*sections, config.get("projection_dim", 512))

    def encode_text(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T) ids, (B, T) bool true at real tokens → (B, E), of length 1."""
        states = self.text(tokens, mask)
        # The first checkpoints call 2 the end, which it is not: there, the end is the word of the highest number
        end = tokens.argmax(dim=1) if self.end == 2 else (tokens == self.end).int().argmax(dim=1)
        return functional.normalize(self.project_text(states[torch.arange(len(tokens)), end]), dim=-1)

    def encode_image(self, pictures: Tensor) -> Tensor:
        """(B, 3, rows, columns) → (B, E), of length 1."""
        return functional.normalize(self.project_vision(self.vision(pictures)[:, 0]), dim=-1)

    def forward(self, pictures: Tensor, tokens: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Compare every text with every picture.

        Returns:
            ``text`` (N, E), ``vision`` (M, E), ``logits`` (N, M) and, for N = M, ``loss``.
        """
        text, vision = self.encode_text(tokens, mask), self.encode_image(pictures)
        found = {"text": text, "vision": vision, "logits": self.scale.exp() * text @ vision.T}
        if len(text) == len(vision):
            found["loss"] = contrast(found["logits"])
        return found
