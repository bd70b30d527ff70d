"""ViT: a picture as a sequence of patches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse.inputs import PatchInput
from kemm.fuse.transformer import Transformer
from kemm.systems.names import Names, Plain, Source
from kemm.systems.system import System, activation, refuse


def blocks(config: Mapping[str, Any], **options: Any) -> Transformer:
    """ViT's blocks, norms before them and one at the end; ``options`` of `Transformer` besides."""
    has_bias = config.get("qkv_bias", True)
    return Transformer(
        config["hidden_size"],
        config["num_hidden_layers"],
        config["num_attention_heads"],
        hidden=config["intermediate_size"],
        eps=config.get("layer_norm_eps", 1e-12),
        activation=activation(config),
        attention_bias=(has_bias, has_bias, has_bias, True),
        dropout=config.get("hidden_dropout_prob", 0.0),
        attention_dropout=config.get("attention_probs_dropout_prob", 0.0),
        **options,
    )


class PictureEncoder(nn.Module):
    """ViT's encoder: a class token and patches, blocks with norms before them, a norm at the end.

    Args:
        config: keys as in a ViT checkpoint's ``config.json``.
        options: of `Transformer`, besides what ``config`` says.
    """

    def __init__(self, config: Mapping[str, Any], **options: Any) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.input = PatchInput(
            config["image_size"], config["patch_size"], width, channels=config.get("num_channels", 3)
        )
        self.transformer = blocks(config, **options)

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, rows, columns) normalised pixels → (B, 1 + P, D)."""
        return self.transformer(self.input(pictures))


def encoder_names(ours: str, theirs: str) -> dict[str, Source]:
    """ViT's names of a picture encoder: our prefix and theirs, each ending in a dot or empty."""
    return {
        f"{ours}input.classes": f"{theirs}embeddings.cls_token",
        f"{ours}input.position": f"{theirs}embeddings.position_embeddings",
        f"{ours}input.project": f"{theirs}embeddings.patch_embeddings.projection",
        **block_names(ours, theirs),
    }


def block_names(ours: str, theirs: str, layers: str = "encoder.layer.") -> dict[str, Plain]:
    """ViT's names of blocks and of the norm after them; ``layers`` is their name of all blocks."""
    layer, block = f"{theirs}{layers}{{i}}.", f"{ours}transformer.blocks.{{i}}."
    return {
        f"{block}attention.qkv": (
            f"{layer}attention.attention.query",
            f"{layer}attention.attention.key",
            f"{layer}attention.attention.value",
        ),
        f"{block}attention.out": f"{layer}attention.output.dense",
        f"{block}attention_residual.norm": f"{layer}layernorm_before",
        f"{block}feed_forward.up": f"{layer}intermediate.dense",
        f"{block}feed_forward.down": f"{layer}output.dense",
        f"{block}feed_forward_residual.norm": f"{layer}layernorm_after",
        f"{ours}transformer.norm": f"{theirs}layernorm",
    }


class ViT(System):
    """ViT as a classifier (Dosovitskiy et al., 2021, arXiv:2010.11929): L = CE(W x_cls + b, y)."""

    SIDE: ClassVar[tuple[str, ...]] = ("image_size",)
    NAMES: ClassVar[Names] = {**encoder_names("vision.", "vit."), "classify": "classifier"}

    def __init__(self, config: Mapping[str, Any], num_classes: int) -> None:
        super().__init__()
        self.vision = PictureEncoder(config)
        self.classify = nn.Linear(config["hidden_size"], num_classes)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        refuse(config, "ViT", pooler_act="tanh")
        return cls(config, len(config["id2label"]))

    def forward(self, pictures: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Classify (B, 3, rows, columns).

        Returns:
            ``states`` (B, 1 + P, D), ``logits`` (B, classes), and with labels (B,) the ``loss``.
        """
        states = self.vision(pictures)
        found = {"states": states, "logits": self.classify(states[:, 0])}
        if labels is not None:
            found["loss"] = functional.cross_entropy(found["logits"], labels)
        return found
