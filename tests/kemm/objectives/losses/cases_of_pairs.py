"""Losses of contrast, matching, alignment, teachers and video, with inputs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.objectives.losses import (
    adversarial,
    contrastive,
    distillation,
    grounding,
    matching,
    sigmoid,
    token_wise,
    video,
    word_region,
)
from tests.kemm.objectives.losses.cases import Case, normal

LABELS = torch.tensor([4, 7, 4])
TOKENS = torch.tensor([[True, True, True, True], [True, True, True, False], [True, False, False, False]])
REGIONS = torch.tensor([[True, True], [True, False], [True, True]])
NAMED = torch.tensor([[[1, 0, 1, 0], [0, 1, 0, 0]], [[0, 1, 0, 0], [0, 0, 0, 0]], [[1, 0, 0, 0], [0, 0, 0, 0]]]).bool()
PAIR = {"a": normal(3, 6), "b": normal(3, 6).flip(0)}
TAUGHT = {"student": normal(3, 4, 5), "teacher": normal(3, 4, 5).flip(0), "mask": TOKENS}
TAUGHT_PADDING = {"student": (1, 9.0), "teacher": (1, 9.0), "mask": (1, 0.0)}
SEQUENCES = {"image": normal(3, 2, 6), "text": normal(3, 4, 6), "image_mask": REGIONS, "text_mask": TOKENS}
SEQUENCE_PADDING = {"image": (1, 9.0), "text": (1, 9.0), "image_mask": (1, 0.0), "text_mask": (1, 0.0)}
BOXES = torch.tensor([[[0.3, 0.3, 0.2, 0.4], [0.7, 0.6, 0.3, 0.3]]] * 3).double() + 0.02 * normal(3, 2, 4)


def unit(values: Tensor) -> Tensor:
    return F.normalize(values, dim=-1)


def cosines(a: Tensor, b: Tensor) -> Tensor:
    return unit(a) @ unit(b).T


def filip(image: Tensor, text: Tensor, image_mask: Tensor, text_mask: Tensor) -> Tensor:
    forth, back = token_wise.token_wise(unit(image), unit(text), image_mask, text_mask)
    return token_wise.token_wise_contrast(forth, back, 5.0)


CASES = {
    "InfoNCE": Case(lambda a, b: contrastive.info_nce(cosines(a, b) / 0.2), ["a", "b"], PAIR),
    "UniCL": Case(
        lambda a, b, labels: contrastive.label_contrast(cosines(a, b) / 0.2, labels),
        ["a", "b"],
        {**PAIR, "labels": LABELS},
    ),
    "MIL-NCE": Case(
        lambda a, b, labels: contrastive.any_positive(cosines(a, b) / 0.2, labels[:, None] == labels[None]),
        ["a", "b"],
        {**PAIR, "labels": LABELS},
    ),
    "hardest negative": Case(
        lambda a, b, labels: contrastive.hardest_negative_hinge(cosines(a, b), 2.0, labels),
        ["a", "b"],
        {**PAIR, "labels": LABELS},
    ),
    "SigLIP": Case(lambda a, b: sigmoid.sigmoid_contrast(cosines(a, b), 10.0, -3.0), ["a", "b"], PAIR),
    "FILIP": Case(filip, ["image", "text"], SEQUENCES, padding=SEQUENCE_PADDING),
    "words to regions": Case(
        lambda words, regions, word_mask, region_mask: word_region.word_region(
            words, regions, word_mask, region_mask, iterations=5
        ).mean(),
        ["words", "regions"],
        {"words": normal(3, 4, 6), "regions": normal(3, 2, 6), "word_mask": TOKENS, "region_mask": REGIONS},
        padding={"words": (1, 9.0), "regions": (1, 9.0), "word_mask": (1, 0.0), "region_mask": (1, 0.0)},
        is_held=True,
    ),
    "phrases to regions": Case(
        lambda regions, words, named, region_mask, word_mask: grounding.region_word_contrast(
            unit(regions), unit(words), named, 0.2, region_mask, word_mask
        ),
        ["regions", "words"],
        {
            "regions": normal(3, 2, 6),
            "words": normal(3, 4, 6),
            "named": NAMED,
            "region_mask": REGIONS,
            "word_mask": TOKENS,
        },
    ),
    "objects as a set": Case(
        lambda logits, boxes, labels, targets: grounding.set_prediction(
            logits, boxes, list(labels), list(targets), nothing=1.0
        ),
        ["logits", "boxes"],
        {
            "logits": normal(3, 2, 4),
            "boxes": BOXES,
            "labels": torch.tensor([[0], [2], [1]]),
            "targets": BOXES[:, :1].flip(0) + 0.05,
        },
    ),
    "matching": Case(
        lambda matched, wrong: matching.match_cross_entropy(matched, wrong),
        ["matched", "wrong"],
        {"matched": normal(3, 2), "wrong": normal(3, 2).flip(0)},
    ),
    "momentum's words": Case(
        distillation.momentum_distillation,
        ["logits"],
        {
            "logits": normal(3, 4, 5),
            "teacher": normal(3, 4, 5).flip(0),
            "target": torch.tensor([[1, 4, 0, 2], [3, -100, 1, -100], [-100] * 4]),
        },
        padding={"logits": (1, 9.0), "teacher": (1, 9.0), "target": (1, -100)},
    ),
    "cosine to a teacher": Case(distillation.cosine_distillation, ["student"], TAUGHT, padding=TAUGHT_PADDING),
    "features of a teacher": Case(distillation.feature_distillation, ["student"], TAUGHT, padding=TAUGHT_PADDING),
    "distribution of a teacher": Case(
        distillation.logit_distillation, ["student"], TAUGHT, {"temperature": 2.0}, TAUGHT_PADDING
    ),
    "two distributions": Case(
        adversarial.symmetric_kl, ["p", "q"], {"p": normal(3, 4, 5), "q": normal(3, 4, 5).flip(0)}
    ),
    "order of frames": Case(video.frame_order, ["logits"], {"logits": normal(3, 6), "target": torch.tensor([5, 0, 2])}),
    "places of frames": Case(
        video.frame_places,
        ["logits"],
        {"logits": normal(3, 4, 4), "places": torch.tensor([[1, 0, -100, -100], [-100] * 4, [3, 1, 2, 0]])},
    ),
    "span of a subtitle": Case(
        video.subtitle_span,
        ["start", "end"],
        {
            "start": normal(3, 4),
            "end": normal(3, 4).flip(0),
            "span": torch.tensor([[0, 3], [1, 2], [0, 0]]),
            "mask": TOKENS,
        },
        padding={"start": (1, 9.0), "end": (1, 9.0), "mask": (1, 0.0)},
    ),
    "video of a subtitle": Case(
        video.subtitle_match,
        ["subtitles", "frames"],
        {"subtitles": normal(3, 6), "frames": normal(3, 4, 6), "videos": LABELS, "mask": TOKENS},
        {"margin": 0.9},
        {"frames": (1, 9.0), "mask": (1, 0.0)},
    ),
}
