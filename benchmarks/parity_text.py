"""Text or pictures alone: BERT, ViT."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.parity_case import Case, Pair
from kemm.systems.bert import BERT
from kemm.systems.vit import ViT

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
TOKENS = torch.tensor([[2, 7, 11, 3, 5, 9, 3], [2, 8, 3, 6, 3, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0]])
LABELS = torch.tensor([[-100, 4, -100, -100, 12, -100, -100], [-100, 10, -100, -100, -100, -100, -100]])


def bert() -> Pair:
    from transformers import BertConfig, BertForPreTraining

    config = BertConfig(**SMALL, vocab_size=20, max_position_embeddings=12)
    sentences = torch.tensor([[0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 0, 0]])
    follows = torch.tensor([0, 1])

    def reference(model: Any) -> dict[str, torch.Tensor]:
        found = model(TOKENS, MASK, sentences, labels=LABELS, next_sentence_label=follows, output_hidden_states=True)
        return {
            "states": found.hidden_states[-1],
            "words": found.prediction_logits,
            "follows": found.seq_relationship_logits,
            "loss": found.loss,
        }

    def ours(model: Any) -> dict[str, torch.Tensor]:
        found = model(TOKENS, MASK.bool(), sentences, LABELS, follows)
        return {name: found[name] for name in ("states", "words", "follows", "loss")}

    return Pair(
        BertForPreTraining(config), BERT.from_config(config.to_dict()), reference, ours, BERT.NAMES, BERT.IGNORED
    )


def vit() -> Pair:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(**SMALL, image_size=24, patch_size=8, num_labels=5)
    pictures, labels = torch.randn(2, 3, 24, 24), torch.tensor([3, 1])

    def reference(model: Any) -> dict[str, torch.Tensor]:
        found = model(pictures, labels=labels)
        return {"states": model.vit(pictures).last_hidden_state, "logits": found.logits, "loss": found.loss}

    return Pair(
        ViTForImageClassification(config),
        ViT.from_config(config.to_dict()),
        reference,
        lambda model: model(pictures, labels),
        ViT.NAMES,
    )


CASES = (
    Case("bert", "transformers BertForPreTraining", bert),
    Case("vit", "transformers ViTForImageClassification", vit),
)
