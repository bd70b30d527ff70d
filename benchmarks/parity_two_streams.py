"""Words and pictures in streams of their own that meet further up: LXMERT, FLAVA."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.parity_case import Case, Pair
from benchmarks.parity_single_stream import REGION_MASK, REGIONS, SENTENCES
from benchmarks.parity_text import LABELS, MASK, SMALL, TOKENS
from kemm.systems.lxmert import LXMERT

GENERATOR = torch.Generator().manual_seed(0)


def lxmert() -> Pair:
    from transformers import LxmertConfig, LxmertForPreTraining

    small = {key: value for key, value in SMALL.items() if key != "num_hidden_layers"}
    config = LxmertConfig(
        **small,
        vocab_size=20,
        max_position_embeddings=12,
        num_qa_labels=6,
        num_object_labels=7,
        num_attr_labels=5,
        visual_feat_dim=10,
        l_layers=2,
        x_layers=2,
        r_layers=1,
    )
    boxes, matches, answers = torch.rand(2, 3, 4, generator=GENERATOR), torch.tensor([1, 0]), torch.tensor([4, -100])
    sure = torch.tensor([[0.9, 0.0, 0.4], [0.0, 0.7, 0.0]])
    shown = {
        "obj": (torch.tensor([[3, 0, 6], [1, 2, -100]]), sure),
        "attr": (torch.tensor([[4, 0, 1], [1, -100, 3]]), sure),
        "feat": (torch.randn(2, 3, 10, generator=GENERATOR), sure),
    }

    def reference(model: Any) -> dict[str, torch.Tensor]:
        given = (TOKENS, REGIONS, boxes, MASK, REGION_MASK, SENTENCES)
        found = model(*given, labels=LABELS, obj_labels=shown, matched_label=matches, ans=answers)
        states = model.lxmert(*given)
        return {
            "text": states.language_output,
            "vision": states.vision_output,
            "pooled": states.pooled_output,
            "words": found.prediction_logits,
            "matches": found.cross_relationship_score,
            "answers": found.question_answering_score,
            "loss": found.loss,
        }

    def ours(model: Any) -> dict[str, torch.Tensor]:
        found = model(
            REGIONS, boxes, TOKENS, MASK, REGION_MASK, SENTENCES, LABELS, matches, answers, shown
        )
        names = ("text", "vision", "pooled", "words", "matches", "answers", "loss")
        return {name: found[name] for name in names}

    built = LXMERT.from_config(config.to_diff_dict())
    return Pair(LxmertForPreTraining(config), built, reference, ours, LXMERT.NAMES, LXMERT.IGNORED)


CASES = (Case("lxmert", "transformers LxmertForPreTraining", lxmert),)
