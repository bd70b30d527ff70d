"""Words and what a picture shows in one Transformer: ViLT, VisualBERT, GIT."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.parity_case import Case, Pair
from benchmarks.parity_text import LABELS, MASK, SMALL, TOKENS
from kemm.systems.git import GIT
from kemm.systems.vilt import ViLTMaskedWords, ViLTRetrieval
from kemm.systems.visual_bert import VisualBERT

SENTENCES = torch.tensor([[0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 0, 0]])
GENERATOR = torch.Generator().manual_seed(0)
PADDED = torch.randn(2, 3, 24, 32, generator=GENERATOR)
PIXELS = torch.ones(2, 24, 32, dtype=torch.long)
PIXELS[1, 16:], PIXELS[1, :, 24:] = 0, 0
REGIONS = torch.randn(2, 3, 10, generator=GENERATOR)
REGION_MASK = torch.tensor([[1, 1, 1], [1, 1, 0]])


def vilt(has_words: bool) -> Pair:
    from transformers import ViltConfig, ViltForImageAndTextRetrieval, ViltForMaskedLM

    config = ViltConfig(**SMALL, vocab_size=20, max_position_embeddings=9, image_size=24, patch_size=8)
    given: dict[str, Any] = {"labels": LABELS} if has_words else {}

    def reference(model: Any) -> dict[str, torch.Tensor]:
        found = model(TOKENS, MASK, SENTENCES, PADDED, PIXELS, **given)
        states = model.vilt(TOKENS, MASK, SENTENCES, PADDED, PIXELS)
        # The reference draws the order of patches anew; padding comes last
        vision = torch.stack([states.last_hidden_state[0, 7:].mean(0), states.last_hidden_state[1, 7:14].mean(0)])
        known = {"text": states.last_hidden_state[:, :7], "pooled": states.pooler_output, "vision": vision}
        if has_words:
            return {**known, "words": found.logits, "loss": found.loss}
        return {**known, "score": found.logits[:, 0]}

    def ours(model: Any) -> dict[str, torch.Tensor]:
        found = model(PADDED, TOKENS, MASK, PIXELS, SENTENCES, **given)
        real = found.pop("vision_mask")
        found["vision"] = torch.stack([one[kept].mean(0) for one, kept in zip(found["vision"], real, strict=True)])
        return found

    kind, system = (ViltForMaskedLM, ViLTMaskedWords) if has_words else (ViltForImageAndTextRetrieval, ViLTRetrieval)
    built = system.from_config(config.to_diff_dict())
    return Pair(kind(config), built, reference, ours, system.NAMES, system.IGNORED)


def visual_bert(has_places: bool) -> Pair:
    from transformers import VisualBertConfig, VisualBertForPreTraining

    config = VisualBertConfig(**SMALL, vocab_size=20, max_position_embeddings=12, visual_embedding_dim=10)
    matches = torch.tensor([1, 0])
    shown = torch.tensor([[[1, 2], [3, -1], [-1, -1]], [[4, -1], [1, 3], [-1, -1]]]) if has_places else None

    def reference(model: Any) -> dict[str, torch.Tensor]:
        labels = torch.cat([LABELS, torch.full((2, 3), -100)], dim=1)
        given: dict[str, Any] = {
            "token_type_ids": SENTENCES,
            "visual_embeds": REGIONS,
            "visual_attention_mask": REGION_MASK,
            "image_text_alignment": shown,
        }
        found = model(TOKENS, MASK, **given, labels=labels, sentence_image_labels=matches, output_hidden_states=True)
        return {
            "states": found.hidden_states[-1],
            "words": found.prediction_logits,
            "matches": found.seq_relationship_logits,
            "loss": found.loss,
        }

    def ours(model: Any) -> dict[str, torch.Tensor]:
        found = model(REGIONS, TOKENS, MASK, REGION_MASK, SENTENCES, shown, LABELS, matches)
        return {name: found[name] for name in ("states", "words", "matches", "loss")}

    built = VisualBERT.from_config(config.to_diff_dict())
    return Pair(VisualBertForPreTraining(config), built, reference, ours, VisualBERT.NAMES, VisualBERT.IGNORED)


def git(frames: int | None) -> Pair:
    from transformers import GitConfig, GitForCausalLM

    vision = {**SMALL, "hidden_size": 24, "image_size": 16, "patch_size": 8}
    config = GitConfig(
        vision_config=vision, **SMALL, vocab_size=20, max_position_embeddings=12, num_image_with_embedding=frames
    )
    pictures = torch.randn(2, *(() if frames is None else (frames,)), 3, 16, 16)
    labels = TOKENS.masked_fill(MASK == 0, -100)

    def reference(model: Any) -> dict[str, torch.Tensor]:
        found = model(TOKENS, MASK, pixel_values=pictures, labels=labels)
        return {"words": found.logits[:, -TOKENS.shape[1] :], "loss": found.loss}

    def ours(model: Any) -> dict[str, torch.Tensor]:
        found = model(pictures, TOKENS, MASK, labels)
        return {name: found[name] for name in ("words", "loss")}

    return Pair(GitForCausalLM(config), GIT.from_config(config.to_diff_dict()), reference, ours, GIT.NAMES, GIT.IGNORED)


CASES = (
    Case("git", "transformers GitForCausalLM", lambda: git(None)),
    Case("git", "transformers GitForCausalLM, videos of three pictures", lambda: git(3)),
    Case("vilt-masked-words", "transformers ViltForMaskedLM, padded pictures", lambda: vilt(True)),
    Case("vilt-retrieval", "transformers ViltForImageAndTextRetrieval, padded pictures", lambda: vilt(False)),
    Case("visual-bert", "transformers VisualBertForPreTraining", lambda: visual_bert(False)),
    Case("visual-bert", "transformers VisualBertForPreTraining, regions aligned to words", lambda: visual_bert(True)),
)
