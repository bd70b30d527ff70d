"""Experts for each modality: BEiT-3. Needs torchscale, whose own requirements are long out of date:

pip install --no-deps torchscale fairscale
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.parity_case import Case, Pair
from kemm.systems.beit3 import BEiT3


def beit3() -> Pair:
    from torchscale.architecture.config import EncoderConfig
    from torchscale.model.BEiT3 import BEiT3 as Reference

    config = EncoderConfig(
        multiway=True,
        vocab_size=20,
        img_size=16,
        patch_size=8,
        encoder_embed_dim=32,
        encoder_attention_heads=4,
        encoder_ffn_embed_dim=48,
        encoder_layers=2,
        no_output_layer=True,
        max_source_positions=9,
    )
    pixels, words = torch.randn(2, 3, 16, 16), torch.tensor([[2, 7, 11, 3, 5], [2, 8, 3, 0, 0]])
    mask, masked = words > 0, torch.tensor([[True, False, True, False], [False, False, False, True]])

    def reference(model: Any) -> dict[str, torch.Tensor]:
        both = model(words, pixels, ~mask, vision_masked_position=masked)["encoder_out"]  # (B, 1 + P + T, D)
        text = model(words, text_padding_position=~mask)["encoder_out"]
        return {"vision": both[:, :5], "language": both[:, 5:][mask], "text alone": text[mask]}

    def ours(model: Any) -> dict[str, torch.Tensor]:
        both = model(pixels, words, mask, masked)
        text = model(words=words, text_mask=mask)["language"]
        return {"vision": both["vision"], "language": both["language"][mask], "text alone": text[mask]}

    return Pair(Reference(config), BEiT3.from_config(vars(config)), reference, ours, BEiT3.NAMES)


CASES = (Case("beit3", "torchscale BEiT3", beit3),)
