"""Words and pictures in streams of their own that meet further up: LXMERT, FLAVA."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.parity_case import Case, Pair
from benchmarks.parity_single_stream import REGION_MASK, REGIONS, SENTENCES
from benchmarks.parity_text import LABELS, MASK, SMALL, TOKENS
from kemm.systems.flava import FLAVA
from kemm.systems.flava_codes import FLAVACodes
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
        found = model(REGIONS, boxes, TOKENS, MASK, REGION_MASK, SENTENCES, LABELS, matches, answers, shown)
        names = ("text", "vision", "pooled", "words", "matches", "answers", "loss")
        return {name: found[name] for name in names}

    built = LXMERT.from_config(config.to_diff_dict())
    return Pair(LxmertForPreTraining(config), built, reference, ours, LXMERT.NAMES, LXMERT.IGNORED)


def flava(kinds: str, matches: list[int] | None = None) -> Pair:
    """Pictures, texts or both; a pair that does not match is learned from by the match alone."""
    from transformers import FlavaConfig, FlavaForPreTraining

    config = FlavaConfig(
        image_config={**SMALL, "image_size": 24, "patch_size": 8, "vocab_size": 11},
        text_config={**SMALL, "vocab_size": 20, "max_position_embeddings": 9},
        multimodal_config=SMALL,
        hidden_size=32,
        projection_dim=12,
        init_codebook=False,
        mmm_text_weight=0.5,
    )
    pictures = torch.randn(2, 3, 24, 24, generator=GENERATOR)
    hidden = torch.tensor([[1, 0, 0, 1, 0, 0, 1, 0, 0], [0, 1, 1, 0, 0, 0, 0, 0, 1]]).bool()
    codes = torch.arange(18).view(2, 9) % 11
    masked = TOKENS.masked_fill(LABELS != -100, 1)
    given: dict[str, Any] = {}
    theirs: dict[str, Any] = {}
    if "pictures" in kinds:
        given |= {"pictures": pictures, "hidden": hidden, "codes": codes}
        theirs |= {"pixel_values": pictures, "bool_masked_pos": hidden, "mim_labels": codes}
    if "texts" in kinds:
        given |= {"tokens": TOKENS, "mask": MASK, "sentences": SENTENCES, "masked_tokens": masked, "labels": LABELS}
        theirs |= {"input_ids": TOKENS, "attention_mask": MASK, "token_type_ids": SENTENCES}
        theirs |= {"input_ids_masked": masked, "mlm_labels": LABELS}
    if matches is not None:
        given["matches"] = theirs["itm_labels"] = torch.tensor(matches)

    def reference(model: Any) -> dict[str, torch.Tensor]:
        found = model(**{key: value.clone() for key, value in theirs.items()})
        losses = {f"loss_{name}": loss for name, loss in found.loss_info.items() if loss is not None}
        states = {"vision": found.image_embeddings, "text": found.text_embeddings}
        states |= {"itm": found.itm_logits}
        return {**{name: state for name, state in states.items() if state is not None}, **losses, "loss": found.loss}

    def ours(model: Any) -> dict[str, torch.Tensor]:
        found = model(**given)
        return {name: value for name, value in found.items() if name in ("vision", "text", "itm") or "loss" in name}

    built = FLAVA.from_config(config.to_diff_dict())
    return Pair(FlavaForPreTraining(config), built, reference, ours, FLAVA.NAMES, FLAVA.IGNORED)


def flava_codes() -> Pair:
    from transformers import FlavaImageCodebook, FlavaImageCodebookConfig

    config = FlavaImageCodebookConfig(hidden_size=8, vocab_size=11, freeze=False)
    pictures = torch.rand(2, 3, 16, 24, generator=GENERATOR)

    def reference(model: Any) -> dict[str, torch.Tensor]:
        codes = model.get_codebook_indices(pictures)
        return {"logits": model(pictures), "codes": codes.flatten(1)}

    built = FLAVACodes.from_config(config.to_diff_dict())
    names, ignored = FLAVACodes.NAMES, FLAVACodes.IGNORED
    return Pair(FlavaImageCodebook(config), built, reference, lambda model: model(pictures), names, ignored)


CASES = (
    Case("flava-codes", "transformers FlavaImageCodebook", flava_codes),
    Case("lxmert", "transformers LxmertForPreTraining", lxmert),
    Case("flava", "transformers FlavaForPreTraining, pairs", lambda: flava("pictures, texts")),
    Case("flava", "transformers FlavaForPreTraining, one pair matches", lambda: flava("pictures, texts", [0, 1])),
    Case("flava", "transformers FlavaForPreTraining, no pair matches", lambda: flava("pictures, texts", [0, 0])),
    Case("flava", "transformers FlavaForPreTraining, pictures alone", lambda: flava("pictures")),
    Case("flava", "transformers FlavaForPreTraining, texts alone", lambda: flava("texts")),
)
