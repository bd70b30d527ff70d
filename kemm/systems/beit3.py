"""BEiT-3 (Wang et al., 2022, arXiv:2208.10442): sub-LN, experts of all but the attention, as it was released."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from kemm.fuse.inputs import PatchInput
from kemm.fuse.multiway import MultiwayTransformer
from kemm.fuse.positions import LearnedPositions
from kemm.systems.names import Names, Source
from kemm.systems.system import System, refuse


def _expert(ours: str, theirs: str) -> dict[str, Source]:
    """torchscale's names of one modality's expert."""
    own, layer = "fusion.blocks.{i}.", "encoder.layers.{i}."
    attention = f"{layer}self_attn."
    return {
        f"{own}attention.{ours}.qkv": tuple(f"{attention}{part}_proj.{theirs}" for part in "qkv"),
        f"{own}attention.{ours}.norm": f"{attention}inner_attn_ln.{theirs}",
        f"{own}attention.{ours}.out": f"{attention}out_proj.{theirs}",
        f"{own}attention_residual.{ours}.norm": f"{layer}self_attn_layer_norm.{theirs}",
        f"{own}feed_forward.{ours}.up": f"{layer}ffn.{theirs}.fc1",
        f"{own}feed_forward.{ours}.norm": f"{layer}ffn.{theirs}.ffn_layernorm",
        f"{own}feed_forward.{ours}.down": f"{layer}ffn.{theirs}.fc2",
        f"{own}feed_forward_residual.{ours}.norm": f"{layer}final_layer_norm.{theirs}",
        f"fusion.norm.{ours}": f"encoder.layer_norm.{theirs}",
    }


class BEiT3(System):
    """Pictures, texts or both → tokens, fused.

    Args:
        vocabulary: how many words.
        image, patch: sides in pixels.
        width, layers, heads, hidden: of the Transformer; hidden 4 D unless given.
        text_positions: the longest text.
        experts: "all", as released; "ffn", as the paper says.
        drop_path: chance at the last layer that a sample goes without a branch.
    """

    NAMES: ClassVar[Names] = {
        "patches.project": "vision_embed.proj",
        "patches.classes": "vision_embed.cls_token",
        "mask_token": "vision_embed.mask_token",
        "words": "text_embed",
        "vision_positions.table": "encoder.embed_positions.A.weight",
        "language_positions.table": "encoder.embed_positions.B.weight",
        **_expert("vision", "A"),
        **_expert("language", "B"),
    }

    def __init__(
        self,
        vocabulary: int,
        image: int = 224,
        patch: int = 16,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        hidden: int | None = None,
        text_positions: int = 1022,
        experts: Literal["all", "ffn"] = "all",
        drop_path: float = 0.0,
        is_checkpointed: bool = False,
    ) -> None:
        super().__init__()
        self.patches = PatchInput(image, patch, width, has_positions=False)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.words = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.words.weight, std=width**-0.5)
        # Both tables start at row 2, as fairseq's do
        self.vision_positions = LearnedPositions((image // patch) ** 2 + 1, width, first=2)
        self.language_positions = LearnedPositions(text_positions, width, first=2)
        self.fusion = MultiwayTransformer(
            width,
            layers,
            heads,
            ("vision", "language"),
            experts=experts,
            order="sub",
            hidden=hidden,
            drop_path=drop_path,
            is_checkpointed=is_checkpointed,
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build from torchscale's ``EncoderConfig``, as a mapping."""
        refuse(config, "BEiT-3", multiway=True, activation_fn="gelu", subln=True, layernorm_embedding=False)
        return cls(
            config["vocab_size"],
            config["img_size"],
            config["patch_size"],
            config["encoder_embed_dim"],
            config["encoder_layers"],
            config["encoder_attention_heads"],
            config["encoder_ffn_embed_dim"],
            config["max_source_positions"] - 2,
            drop_path=config.get("drop_path_rate", 0.0),
        )

    def forward(
        self,
        pixels: Tensor | None = None,
        words: Tensor | None = None,
        text_mask: Tensor | None = None,
        masked: Tensor | None = None,
        is_packed: bool = False,
    ) -> dict[str, Tensor]:
        """Encode.

        Args:
            pixels: (B, 3, height, width); None: texts alone.
            words: (B, T) numbers of words; None: pictures alone.
            text_mask: (B, T) bool, true at real words.
            masked: (B, P) bool, patches that are hidden.
            is_packed: compute nothing for padding.

        Returns:
            ``vision`` (B, 1 + P, D) and ``language`` (B, T, D), those that were given.

        Raises:
            InputError: neither is given, or there are more tokens than positions.
        """
        tokens: dict[str, Tensor] = {}
        if pixels is not None:
            tokens["vision"] = self.vision_positions(self.patches(pixels, masked, self.mask_token))
        if words is not None:
            tokens["language"] = self.language_positions(self.words(words))
        masks = {"language": text_mask} if words is not None and text_mask is not None else None
        return self.fusion(tokens, masks, is_packed=is_packed)


def magneto_(fusion: MultiwayTransformer) -> None:
    """Scale weights at the start as Magneto does for sub-LN: value, output and feed-forward by √ln 2N, N layers."""
    gain = torch.tensor(2.0 * len(fusion.blocks)).log().sqrt()
    with torch.no_grad():
        for name, weight in fusion.named_parameters():
            if ".up." in name or ".down." in name or ".out." in name:
                weight.mul_(gain)
            elif ".qkv." in name:
                weight[2 * len(weight) // 3 :].mul_(gain)
