"""Words and entities: LUKE."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.parity_case import Case, Pair
from benchmarks.parity_text import LABELS, MASK, SMALL
from kemm.systems.luke import LUKE

TOKENS = torch.tensor([[0, 7, 11, 3, 5, 9, 2], [0, 8, 3, 6, 2, 1, 1]])  # 1 is padding, as in RoBERTa
ENTITIES, REAL = torch.tensor([[3, 2, 5], [2, 4, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]])
MENTIONS = torch.tensor([[[1, 2], [3, -1], [4, 5]], [[1, -1], [2, 3], [-1, -1]]])
ENTITY_LABELS = torch.tensor([[-100, 6, -100], [1, -100, -100]])


def luke(inner: int = 8) -> Pair:
    from transformers import LukeConfig, LukeForMaskedLM

    config = LukeConfig(**SMALL, vocab_size=20, entity_vocab_size=9, entity_emb_size=inner, max_position_embeddings=12)

    def pick(states: torch.Tensor, words: torch.Tensor) -> dict[str, torch.Tensor]:
        real = MASK.bool()  # the reference gives padding a position of its own, which only padding can see
        return {"states": states[real], "words": words[real]}

    def reference(model: Any) -> dict[str, torch.Tensor]:
        given = {"entity_ids": ENTITIES, "entity_attention_mask": REAL, "entity_position_ids": MENTIONS}
        found = model(TOKENS, MASK, **given, labels=LABELS, entity_labels=ENTITY_LABELS, output_hidden_states=True)
        alone = model.luke(TOKENS, MASK).last_hidden_state
        return {
            **pick(found.hidden_states[-1], found.logits),
            "entity_states": found.entity_hidden_states[-1],
            "entities": found.entity_logits,
            "alone": alone[MASK.bool()],
            "mlm": found.mlm_loss,
            "mep": found.mep_loss,
            "loss": found.loss,
        }

    def ours(model: Any) -> dict[str, torch.Tensor]:
        found = model(TOKENS, MASK, ENTITIES, MENTIONS, REAL, LABELS, ENTITY_LABELS)
        alone = model.encode(TOKENS, MASK)[0]
        return {**found, **pick(found["states"], found["words"]), "alone": alone[MASK.bool()]}

    return Pair(LukeForMaskedLM(config), LUKE.from_config(config.to_dict()), reference, ours, LUKE.NAMES, LUKE.IGNORED)


CASES = (
    Case("luke", "transformers LukeForMaskedLM", luke),
    Case("luke", "transformers LukeForMaskedLM, entities as wide", lambda: luke(SMALL["hidden_size"])),
)
