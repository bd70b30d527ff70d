"""A vector for a picture and one for a text: CLIP, SigLIP, ALIGN."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.parity_case import Case, Pair
from benchmarks.parity_text import MASK, SMALL, TOKENS
from kemm.systems.align import ALIGN
from kemm.systems.clip import CLIP
from kemm.systems.siglip import SigLIP
from kemm.systems.system import System

PICTURES = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))


def towers(reference: Any, system: type[System], config: Any) -> Pair:
    """A system of two towers and its reference of the same configuration, as it is written to disk."""

    def run_reference(model: Any) -> dict[str, torch.Tensor]:
        found = model(TOKENS, PICTURES, MASK, return_loss=True)
        return {
            "text": found.text_embeds,
            "vision": found.image_embeds,
            "logits": found.logits_per_text,
            "loss": found.loss,
        }

    return Pair(
        reference(config),
        system.from_config(config.to_diff_dict()),
        run_reference,
        lambda model: model(PICTURES, TOKENS, MASK.bool()),
        system.NAMES,
        system.IGNORED,
    )


def clip(end: int) -> Pair:
    from transformers import CLIPConfig, CLIPModel

    config = CLIPConfig(
        text_config={**SMALL, "vocab_size": 20, "max_position_embeddings": 9, "eos_token_id": end},
        vision_config={**SMALL, "hidden_size": 24, "image_size": 24, "patch_size": 8},
        projection_dim=16,
    )
    return towers(CLIPModel, CLIP, config)


def siglip() -> Pair:
    from transformers import SiglipConfig, SiglipModel

    config = SiglipConfig(
        text_config={**SMALL, "vocab_size": 20, "max_position_embeddings": 9},
        vision_config={**SMALL, "image_size": 24, "patch_size": 8},
    )
    return towers(SiglipModel, SigLIP, config)


def align() -> Pair:
    from transformers import AlignConfig, AlignModel

    vision = {
        "image_size": 24,
        "width_coefficient": 1.0,
        "depth_coefficient": 1.5,
        "kernel_sizes": [3, 5, 3],
        "in_channels": [32, 8, 16],
        "out_channels": [8, 16, 24],
        "strides": [1, 2, 2],
        "num_block_repeats": [1, 2, 1],
        "expand_ratios": [1, 6, 4],
        "depthwise_padding": [5],
        "hidden_dim": 24,
    }
    config = AlignConfig(
        text_config={**SMALL, "vocab_size": 20, "max_position_embeddings": 9}, vision_config=vision, projection_dim=24
    )
    pair = towers(AlignModel, ALIGN, config)
    generator = torch.Generator().manual_seed(1)
    for name, statistic in pair.reference.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            statistic.copy_(torch.rand(statistic.shape, generator=generator) + 0.5)
    return pair


CASES = (
    Case("align", "transformers AlignModel", align),
    Case("clip", "transformers CLIPModel, end token 2 as first released", lambda: clip(2)),
    Case("clip", "transformers CLIPModel, end token named", lambda: clip(3)),
    Case("siglip", "transformers SiglipModel", siglip),
)
