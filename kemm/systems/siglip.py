"""SigLIP: each picture and text a yes-or-no question of its own, whether they belong together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse.attention_pool import OneQueryPool
from kemm.fuse.inputs import PatchInput
from kemm.systems import clip
from kemm.systems.clip import TextEncoder, block_names, section, text_names
from kemm.systems.names import Names
from kemm.systems.system import System, activation, refuse

#: What a checkpoint's config.json may leave unsaid.
TEXT = {
    **clip.TEXT,
    "vocab_size": 32000,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "max_position_embeddings": 64,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
VISION = {**clip.VISION, "patch_size": 16, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6}


class PictureEncoder(nn.Module):
    """Patches with positions and no class token, blocks, a norm at the end, a learned query that reads them."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.input = PatchInput(
            config["image_size"], config["patch_size"], width, classes=0, channels=config["num_channels"]
        )
        self.transformer = clip.blocks(config)
        self.pool = OneQueryPool(
            width,
            config["num_attention_heads"],
            config["intermediate_size"],
            activation(config),
            config["layer_norm_eps"],
        )

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, rows, columns) normalised pixels → (B, P, D) and (B, D)."""
        states = self.transformer(self.input(pictures))
        return states, self.pool(states)


class SigLIP(System):
    """SigLIP (Zhai et al., 2023, arXiv:2303.15343).

        s_ij = e^λ ⟨t_i / ‖t_i‖, v_j / ‖v_j‖⟩ + b,   L = − 1/N Σ_ij log σ(y_ij s_ij),   y_ij = 1 if i = j, else −1

    t is of the text's last place, which may be padding: SigLIP pads all texts to one length and masks nothing.
    """

    SIDE: ClassVar[tuple[str, ...]] = ("vision_config", "image_size")
    NAMES: ClassVar[Names] = {
        **text_names("text.", "text_model."),
        "project_text": "text_model.head",
        "vision.input.project": "vision_model.embeddings.patch_embedding",
        "vision.input.position": "vision_model.embeddings.position_embedding.weight",
        **block_names("vision.", "vision_model."),
        "vision.transformer.norm": "vision_model.post_layernorm",
        "vision.pool.probe": "vision_model.head.probe",
        **{
            f"vision.pool.attention.{ours}.{kind}": f"vision_model.head.attention.in_proj_{kind}[{part}/3]"
            for ours, part in (("query", "0:1"), ("key_value", "1:3"))
            for kind in ("weight", "bias")
        },
        "vision.pool.attention.out": "vision_model.head.attention.out_proj",
        "vision.pool.norm": "vision_model.head.layernorm",
        "vision.pool.feed_forward.up": "vision_model.head.mlp.fc1",
        "vision.pool.feed_forward.down": "vision_model.head.mlp.fc2",
        "scale": "logit_scale",
        "shift": "logit_bias",
    }
    IGNORED: ClassVar[tuple[str, ...]] = ("*.position_ids",)

    def __init__(self, text: Mapping[str, Any], vision: Mapping[str, Any]) -> None:
        super().__init__()
        self.text, self.vision = TextEncoder(text, is_causal=False), PictureEncoder(vision)
        self.project_text = nn.Linear(text["hidden_size"], text.get("projection_size") or text["hidden_size"])
        # λ = ln 10 and b = −10 at the start, so that the many negatives weigh little
        self.scale, self.shift = nn.Parameter(torch.tensor(10.0).log()), nn.Parameter(torch.tensor(-10.0))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        text, vision = section(config, "text", TEXT), section(config, "vision", VISION)
        refuse(vision, "SigLIP", vision_use_head=True)
        return cls(text, vision)

    def encode_text(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T) ids, (B, T) bool true at real tokens → (B, E), of length 1."""
        return functional.normalize(self.project_text(self.text(tokens, mask)[:, -1]), dim=-1)

    def encode_image(self, pictures: Tensor) -> Tensor:
        """(B, 3, rows, columns) → (B, E), of length 1."""
        return functional.normalize(self.vision(pictures)[1], dim=-1)

    def forward(self, pictures: Tensor, tokens: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Compare every text with every picture.

        Returns:
            ``text`` (N, E), ``vision`` (M, E), ``logits`` (N, M) and, for N = M, ``loss``.
        """
        text, vision = self.encode_text(tokens, mask), self.encode_image(pictures)
        found = {"text": text, "vision": vision, "logits": self.scale.exp() * text @ vision.T + self.shift}
        if len(text) == len(vision):
            wanted = 2 * torch.eye(len(text), device=text.device) - 1
            found["loss"] = -functional.logsigmoid(wanted * found["logits"]).sum() / len(text)
        return found
