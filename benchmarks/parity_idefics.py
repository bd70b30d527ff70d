"""Pictures between words: Idefics, its resampler and its gated cross-attention."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.parity_case import Case, Pair
from benchmarks.parity_text import MASK, SMALL, TOKENS
from kemm.systems.idefics import Idefics

VISION = {
    "embed_dim": 16,
    "image_size": 16,
    "patch_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
RESAMPLER = {"resampler_n_latents": 3, "resampler_depth": 2, "resampler_n_heads": 2, "resampler_head_dim": 6}


def idefics(norms: bool = False, **options: Any) -> Pair:
    from transformers import IdeficsConfig, IdeficsForVisionText2Text

    config = IdeficsConfig(
        **SMALL,
        vocab_size=20,
        vision_config=VISION,
        perceiver_config={**RESAMPLER, "qk_layer_norms_perceiver": norms},
        qk_layer_norms=norms,
        **options,
    )
    pictures = torch.randn(2, 2, 3, 16, 16)
    # The first words see no picture, the next the first, the last the second; padding sees none
    sees = torch.zeros(2, 7, 2, dtype=torch.long)
    sees[:, 2:4, 0] = 1
    sees[:, 4:, 1] = 1
    sees *= MASK[..., None]
    tokens, labels = TOKENS.clone(), None
    if config.additional_vocab_size:
        tokens[0, 3] = 21  # the reference can't compute a loss with words of its own
    else:
        labels = TOKENS.masked_fill(MASK == 0, -100)

    def pick(words: torch.Tensor, loss: torch.Tensor | None) -> dict[str, torch.Tensor]:
        return {"words": words} if loss is None else {"words": words, "loss": loss}

    def reference(model: Any) -> dict[str, torch.Tensor]:
        given = {"attention_mask": MASK, "pixel_values": pictures, "image_attention_mask": sees}
        found = model(tokens, **given, labels=labels)
        return {**pick(found.logits, found.loss), "pictures": model.model(tokens, **given).image_hidden_states}

    def ours(model: Any) -> dict[str, torch.Tensor]:
        found = model(pictures, tokens, MASK, sees, labels)
        return {**pick(found["words"], found.get("loss")), "pictures": found["pictures"]}

    return Pair(
        IdeficsForVisionText2Text(config),
        Idefics.from_config(config.to_dict()),
        reference,
        ours,
        Idefics.NAMES,
        Idefics.IGNORED,
    )


CASES = (
    Case(
        "idefics",
        "transformers IdeficsForVisionText2Text",
        lambda: idefics(use_resampler=True, freeze_text_layers=False, freeze_vision_layers=False),
    ),
    Case(
        "idefics",
        "transformers IdeficsForVisionText2Text, head norms, wide gates, frozen",
        lambda: idefics(norms=True, use_resampler=True, alpha_type="vector", additional_vocab_size=3),
    ),
    Case(
        "idefics",
        "transformers IdeficsForVisionText2Text, no resampler",
        lambda: idefics(cross_layer_interval=2, freeze_text_layers=False, freeze_lm_head=True),
    ),
)
