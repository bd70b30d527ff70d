"""Comparing and captioning: CoCa, beside open_clip's."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.parity_case import Case, Pair
from kemm.systems.coca import CoCa

CONFIG: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 24,
        "patch_size": 8,
        "layers": 2,
        "width": 24,
        "head_width": 8,
        "attentional_pool": True,
        "attn_pooler_heads": 2,
        "attn_pooler_queries": 4,
        "output_tokens": True,
    },
    "text_cfg": {
        "context_length": 7,
        "vocab_size": 20,
        "width": 16,
        "heads": 2,
        "layers": 2,
        "embed_cls": True,
        "output_tokens": True,
    },
    "multimodal_cfg": {"context_length": 7, "vocab_size": 20, "width": 16, "heads": 2, "layers": 2},
}
TOKENS = torch.tensor([[2, 7, 11, 4, 5, 9, 3], [2, 8, 14, 6, 3, 0, 0]])


def coca(width: int) -> Pair:
    from open_clip.coca_model import CoCa as Reference
    from open_clip.loss import CoCaLoss

    config = {**CONFIG, "vision_cfg": {**CONFIG["vision_cfg"], "width": width}}
    pictures, criterion = torch.randn(2, 3, 24, 24), CoCaLoss(caption_loss_weight=2.0, clip_loss_weight=1.0)

    def reference(model: Any) -> dict[str, torch.Tensor]:
        found = model(pictures, TOKENS)
        itc, caption = criterion(
            found["image_features"], found["text_features"], found["logits"], found["labels"], found["logit_scale"]
        )
        return {
            "image": found["image_features"],
            "text": found["text_features"],
            "words": found["logits"],
            "itc": itc,
            "caption": caption / 2,
            "loss": itc + caption,
        }

    return Pair(
        Reference(**config), CoCa.from_config(config), reference, lambda model: model(pictures, TOKENS), CoCa.NAMES
    )


CASES = (
    Case("coca", "open_clip CoCa", lambda: coca(24)),
    Case("coca", "open_clip CoCa, one width", lambda: coca(16)),
)
