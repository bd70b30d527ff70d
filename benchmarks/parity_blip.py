"""Pictures and text, read or written: BLIP."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.parity_case import Case, Pair
from benchmarks.parity_text import LABELS, MASK, SMALL, TOKENS
from kemm.systems.blip import BLIPRetrieval
from kemm.systems.blip_writer import BLIPAnswerer, BLIPCaptioner

VISION = {**SMALL, "hidden_size": 16, "num_attention_heads": 2, "image_size": 24, "patch_size": 8}


def blip(width: int = 16, **options: Any) -> Any:
    from transformers import BlipConfig

    text = {**SMALL, "vocab_size": 20, "max_position_embeddings": 12, "label_smoothing": 0.1}
    return BlipConfig(text_config=text, vision_config=VISION | {"hidden_size": width}, **options)


def retrieval() -> Pair:
    from transformers import BlipForImageTextRetrieval

    config = blip(image_text_hidden_size=8)
    pictures = torch.randn(2, 3, 24, 24)

    def reference(model: Any) -> dict[str, torch.Tensor]:
        matched = model(TOKENS, pictures, attention_mask=MASK)
        alone = model(TOKENS, pictures, attention_mask=MASK, use_itm_head=False)
        return {"states": matched.last_hidden_state, "itm": matched.itm_score, "itc": alone.itm_score}

    return Pair(
        BlipForImageTextRetrieval(config),
        BLIPRetrieval.from_config(config.to_dict()),
        reference,
        lambda model: model(pictures, TOKENS, MASK.bool()),
        BLIPRetrieval.NAMES,
        BLIPRetrieval.IGNORED,
    )


def captioner() -> Pair:
    from transformers import BlipForConditionalGeneration

    config = blip()
    pictures, labels = torch.randn(2, 3, 24, 24), TOKENS.masked_fill(MASK == 0, -100)

    def reference(model: Any) -> dict[str, torch.Tensor]:
        found = model(pictures, TOKENS, MASK, labels)
        return {"states": found.last_hidden_state, "words": found.logits, "loss": found.loss}

    return Pair(
        BlipForConditionalGeneration(config),
        BLIPCaptioner.from_config(config.to_dict()),
        reference,
        lambda model: model(pictures, TOKENS, MASK.bool(), labels),
        BLIPCaptioner.NAMES,
        BLIPCaptioner.IGNORED,
    )


def answerer() -> Pair:
    from transformers import BlipForQuestionAnswering

    config = blip(width=32)
    pictures, answer = torch.randn(2, 3, 24, 24), torch.tensor([[2, 6, 3, 0], [2, 9, 4, 3]])
    real = answer > 0

    def reference(model: Any) -> dict[str, torch.Tensor]:
        found = model.text_encoder(TOKENS, MASK, encoder_hidden_states=model.vision_model(pictures).last_hidden_state)
        words = model.text_decoder(
            answer, real.long(), encoder_hidden_states=found.last_hidden_state, encoder_attention_mask=MASK
        )
        loss = model(TOKENS, pictures, answer, real.long(), MASK, LABELS[:, :4]).loss
        return {"words": words.logits, "loss": loss}

    return Pair(
        BlipForQuestionAnswering(config),
        BLIPAnswerer.from_config(config.to_dict()),
        reference,
        lambda model: model(pictures, TOKENS, MASK.bool(), answer, real, LABELS[:, :4]),
        BLIPAnswerer.NAMES,
        BLIPAnswerer.IGNORED,
    )


CASES = (
    Case("blip-retrieval", "transformers BlipForImageTextRetrieval", retrieval),
    Case("blip-captioner", "transformers BlipForConditionalGeneration", captioner),
    Case("blip-answerer", "transformers BlipForQuestionAnswering", answerer),
)
