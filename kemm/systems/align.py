"""ALIGN: EfficientNet and BERT, trained to agree on noisy pairs of pictures and texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse.heads import FirstTokenPooler
from kemm.systems.bert import TextEncoder, encoder_names
from kemm.systems.clip import section
from kemm.systems.efficient_net import EfficientNet, efficient_net_names
from kemm.systems.names import Names
from kemm.systems.system import System, refuse

#: What a checkpoint's config.json may leave unsaid.
TEXT = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}


class ALIGN(System):
    """ALIGN (Jia et al., 2021, arXiv:2102.05918).

        s_ij = ⟨t_i / ‖t_i‖, v_j / ‖v_j‖⟩ / τ,   t = W x_0 + b,   v the mean over EfficientNet's last map
        L = ½ (CE(s, y) + CE(sᵀ, y)),   y smoothed by 0.1

    τ is learned as it is, not as a logarithm.
    """

    NAMES: ClassVar[Names] = {
        **encoder_names("text.", "text_model."),
        "pooler.project": "text_model.pooler.dense",
        **efficient_net_names("vision.", "vision_model."),
        "project_text": "text_projection",
        "temperature": "temperature",
    }
    IGNORED: ClassVar[tuple[str, ...]] = ("*.position_ids",)
    LABEL_SMOOTHING: ClassVar[float] = 0.1

    def __init__(self, text: Mapping[str, Any], vision: Mapping[str, Any], embed: int = 640) -> None:
        super().__init__()
        self.text, self.vision = TextEncoder(text), EfficientNet(vision)
        self.pooler = FirstTokenPooler(text["hidden_size"])  # in the checkpoint; the contrast goes without it
        self.project_text = nn.Linear(text["hidden_size"], embed)
        self.temperature = nn.Parameter(torch.tensor(1.0))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        vision, embed = section(config, "vision", {}), config.get("projection_dim", 640)
        refuse(vision, "ALIGN", pooling_type="mean")
        system = cls(section(config, "text", TEXT), vision, embed)
        refuse({"projection_dim": embed}, "ALIGN", projection_dim=system.vision.width)
        return system

    def encode_text(self, tokens: Tensor, mask: Tensor | None = None, sentences: Tensor | None = None) -> Tensor:
        """(B, T) ids, (B, T) bool true at real tokens → (B, E), of length 1."""
        return functional.normalize(self.project_text(self.text(tokens, mask, sentences)[:, 0]), dim=-1)

    def encode_image(self, pictures: Tensor) -> Tensor:
        """(B, 3, rows, columns) → (B, E), of length 1."""
        return functional.normalize(self.vision(pictures).mean((2, 3)), dim=-1)

    def forward(
        self, pictures: Tensor, tokens: Tensor, mask: Tensor | None = None, sentences: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compare every text with every picture.

        Returns:
            ``text`` (N, E), ``vision`` (M, E), ``logits`` (N, M) and, for N = M, ``loss``.
        """
        text, vision = self.encode_text(tokens, mask, sentences), self.encode_image(pictures)
        found = {"text": text, "vision": vision, "logits": text @ vision.T / self.temperature}
        if len(text) == len(vision):
            target = torch.arange(len(text), device=text.device)
            ways = [
                functional.cross_entropy(s, target, label_smoothing=self.LABEL_SMOOTHING)
                for s in (found["logits"], found["logits"].T)
            ]
            found["loss"] = torch.stack(ways).mean()
        return found
