"""What every loss owes: slopes that finite differences find, and no heed of padding or of the order of the batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.objectives.losses import (
    captioning,
    entities,
    entity_alignment,
    graph_text,
    paths,
    picture_targets,
    regions,
    retrieval,
    triples,
    vq_kd,
)
from tests.kemm.objectives.losses import cases_of_pairs
from tests.kemm.objectives.losses.cases import Case, normal

HIDDEN = torch.tensor([[True, False, True, True], [False, False, True, False], [False, False, False, False]])
CLASSES = torch.tensor([[1, 4, 0, 2], [3, 3, 1, 0], [2, 2, 2, 2]])
PREFIX_MASK = torch.tensor([[True, True, True, True], [True, True, True, False], [True, False, False, False]])
RIGHT = torch.tensor([[True, False, True, False], [False, True, False, False], [False, False, False, False]])
PATCHES = {"hidden": (1, 0.0)}
TRIPLES = {
    "head": normal(3, 6),
    "relation": normal(3, 6).flip(1),
    "tail": normal(3, 6).flip(0),
    "others": normal(3, 4, 6),
    "wrong": PREFIX_MASK,
}
SHARES = normal(3, 4, 5).softmax(-1)

CASES = {
    "pixels": Case(
        picture_targets.squared_error,
        ["predicted"],
        {"predicted": normal(3, 4, 6), "target": normal(3, 4, 6).flip(0), "hidden": HIDDEN},
        padding={"predicted": (1, 9.0), "target": (1, 9.0), **PATCHES},
    ),
    "codes": Case(
        picture_targets.code_loss,
        ["logits"],
        {"logits": normal(3, 4, 5), "codes": CLASSES, "hidden": HIDDEN},
        padding={"logits": (1, 9.0), "codes": (1, -1), **PATCHES},
    ),
    "teacher": Case(
        picture_targets.negative_cosine,
        ["predicted"],
        {"predicted": normal(3, 4, 6), "teacher": normal(3, 4, 6).flip(0), "hidden": HIDDEN},
        padding={"predicted": (1, 9.0), "teacher": (1, 9.0), **PATCHES},
    ),
    "unmasked teacher": Case(
        lambda student, teacher, shown: picture_targets.unmasked_alignment(student[None], teacher[None], shown),
        ["student"],
        {"student": normal(3, 4, 6), "teacher": normal(3, 4, 6).flip(0), "shown": HIDDEN},
        padding={"student": (1, 9.0), "teacher": (1, 9.0), "shown": (1, 0.0)},
    ),
    "region features": Case(
        regions.feature_regression,
        ["predicted"],
        {"predicted": normal(3, 4, 6), "features": normal(3, 4, 6).flip(0), "hidden": HIDDEN},
        padding={"predicted": (1, 9.0), "features": (1, 9.0), **PATCHES},
    ),
    "smooth region features": Case(
        regions.feature_regression,
        ["predicted"],
        {"predicted": normal(3, 4, 6), "features": normal(3, 4, 6).flip(0), "hidden": HIDDEN},
        {"smooth": True},
        {"predicted": (1, 9.0), "features": (1, 9.0), **PATCHES},
    ),
    "region classes": Case(
        regions.class_loss,
        ["logits"],
        {"logits": normal(3, 4, 5), "classes": CLASSES, "hidden": HIDDEN, "confidence": normal(3, 4).sigmoid()},
        padding={"logits": (1, 9.0), "classes": (1, -1), "confidence": (1, 9.0), **PATCHES},
    ),
    "region distributions": Case(
        regions.distribution_divergence,
        ["logits"],
        {"logits": normal(3, 4, 5), "detected": SHARES, "hidden": HIDDEN},
        padding={"logits": (1, 9.0), "detected": (1, 9.0), **PATCHES},
    ),
    "written words": Case(
        captioning.written_words,
        ["logits"],
        {"logits": normal(3, 4, 5), "targets": CLASSES.masked_fill(~HIDDEN, -1)},
        {"smoothing": 0.1},
        {"logits": (1, 9.0), "targets": (1, -1)},
    ),
    "next words": Case(
        captioning.next_words,
        ["logits"],
        {"logits": normal(3, 4, 5), "ids": CLASSES, "is_word": PREFIX_MASK},
        padding={"logits": (1, 9.0), "ids": (1, 0), "is_word": (1, 0.0)},
    ),
    "words after a prefix": Case(
        captioning.words_after_prefix,
        ["logits"],
        {"logits": normal(3, 4, 5), "ids": CLASSES, "is_word": PREFIX_MASK, "prefix": torch.tensor([2, 0, 1])},
        padding={"logits": (1, 9.0), "ids": (1, 0), "is_word": (1, 0.0)},
    ),
    "masked entities": Case(
        entities.masked_entity,
        ["states", "entities"],
        {"states": normal(3, 6), "right": RIGHT},
        {"entities": normal(4, 6), "temperature": 0.5},
    ),
    "masked relations": Case(
        entities.masked_relation,
        ["head", "tail", "relations"],
        {"head": normal(3, 6), "tail": normal(3, 6).flip(1), "target": torch.tensor([1, -1, 0])},
        {"relations": normal(2, 6)},
        {"head": (0, 1.0), "tail": (0, 1.0), "target": (0, -1)},
    ),
    "entity types": Case(
        entities.entity_typing,
        ["logits"],
        {"logits": normal(3, 4, 2), "types": normal(3, 4, 2) > 0.5, "is_entity": PREFIX_MASK},
        padding={"logits": (1, 9.0), "types": (1, 1.0), "is_entity": (1, 0.0)},
    ),
    "denoising alignment": Case(
        entity_alignment.denoising_alignment,
        ["words", "candidates"],
        {
            "words": normal(3, 4, 6),
            "candidates": normal(3, 2, 6),
            "right": CLASSES % 2,
            "is_mention": PREFIX_MASK,
            "is_candidate": torch.tensor([[True, True], [True, True], [True, False]]),
        },
        padding={"candidates": (1, 9.0), "is_candidate": (1, 0.0)},
    ),
    "linking by likelihood": Case(
        entity_alignment.linking_likelihood,
        ["scores"],
        {"scores": normal(3, 4), "gold": torch.tensor([1, 2, -1]), "is_candidate": PREFIX_MASK},
        padding={"scores": (1, 9.0), "is_candidate": (1, 0.0)},
    ),
    "linking by margin": Case(
        entity_alignment.linking_margin,
        ["scores"],
        {"scores": normal(3, 4), "gold": torch.tensor([1, 2, -1]), "is_candidate": PREFIX_MASK},
        {"margin": 0.2},
        padding={"scores": (1, 9.0), "is_candidate": (1, 0.0)},
    ),
    "TransE": Case(
        lambda head, relation, tail, others, wrong: triples.negative_sampling(
            -triples.transe_distance(head, relation, tail),
            -triples.transe_distance(head[:, None], relation[:, None], others),
            4.0,
            wrong,
        ),
        ["head", "relation", "tail", "others"],
        TRIPLES,
        padding={"others": (1, 9.0), "wrong": (1, 0.0)},
    ),
    "DistMult": Case(
        lambda head, relation, tail, others, wrong: triples.negative_sampling(
            triples.distmult_score(head, relation, tail),
            triples.distmult_score(head[:, None], relation[:, None], others),
            wrong=wrong,
        ),
        ["head", "relation", "tail", "others"],
        TRIPLES,
        padding={"others": (1, 9.0), "wrong": (1, 0.0)},
    ),
    **{
        f"paths by {'product' if by_product else 'sum'}": Case(
            lambda start, relations, is_step, right, entities, by_product: paths.path_completion(
                paths.follow(start, relations, is_step, by_product), entities, right, by_product
            ),
            ["start", "relations", "entities"],
            {
                "start": normal(3, 6),
                "relations": normal(3, 2, 6),
                "is_step": torch.tensor([[True, True], [True, False], [True, True]]),
                "right": RIGHT,
            },
            {"entities": normal(4, 6), "by_product": by_product},
            {"relations": (1, 9.0), "is_step": (1, 0.0)},
        )
        for by_product in (False, True)
    },
    "entity–entity": Case(
        graph_text.entity_entity,
        ["head_and_relation", "tail"],
        {
            "head_and_relation": normal(3, 6),
            "tail": normal(3, 6).flip(0),
            "tail_id": torch.tensor([7, 2, 7]),
        },
    ),
    "entity–relation": Case(
        graph_text.entity_relation,
        ["head_and_tail", "relations"],
        {"head_and_tail": normal(3, 6), "relation": torch.tensor([1, 0, 1])},
        {"relations": normal(2, 6)},
    ),
    "graph–entity": Case(
        graph_text.graph_entity,
        ["around", "entity"],
        {"around": normal(3, 6), "entity": normal(3, 6).flip(0), "entity_id": torch.tensor([0, 1, 2])},
    ),
    "joint retrieval": Case(
        retrieval.joint_retrieval,
        ["reader", "retriever"],
        {"reader": normal(3, 4), "retriever": normal(3, 4).flip(0), "right": RIGHT, "is_fact": PREFIX_MASK},
        padding={"reader": (1, 9.0), "retriever": (1, 9.0), "right": (1, 0.0), "is_fact": (1, 0.0)},
    ),
    "distillation": Case(
        retrieval.distillation,
        ["retriever"],
        {"reader": normal(3, 4), "retriever": normal(3, 4).flip(0), "is_fact": PREFIX_MASK},
        padding={"reader": (1, 9.0), "retriever": (1, 9.0), "is_fact": (1, 0.0)},
    ),
    "reader": Case(
        retrieval.reader_loss,
        ["reader"],
        {"reader": normal(3, 4), "right": RIGHT, "is_fact": PREFIX_MASK},
        padding={"reader": (1, 9.0), "right": (1, 0.0), "is_fact": (1, 0.0)},
    ),
    "tokenizer": Case(
        vq_kd.tokenizer_loss,
        ["decoded", "vectors"],
        {
            "decoded": normal(3, 6),
            "teacher": normal(3, 6).flip(0),
            "vectors": normal(3, 4),
            "codes": torch.tensor([1, 0, 1]),
        },
        {"codebook": F.normalize(normal(2, 4), dim=-1)},
    ),
    **cases_of_pairs.CASES,
}


def padded(values: Tensor, axis: int, fill: float) -> Tensor:
    shape = list(values.shape)
    shape[axis] = 2
    return torch.cat([values, torch.full(shape, fill, dtype=torch.float64).to(values.dtype)], dim=axis)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.is_held])
def test_slopes_are_those_of_finite_differences(name: str) -> None:
    case = CASES[name]
    inputs = {**case.rows, **case.fixed}

    def loss(*learned: Tensor) -> Tensor:
        return case.loss(**{**inputs, **dict(zip(case.slopes, learned))})

    assert torch.autograd.gradcheck(loss, [inputs[name].clone().requires_grad_() for name in case.slopes])  # type: ignore[union-attr]


@pytest.mark.parametrize("name", CASES)
def test_the_order_of_the_batch_does_not_matter(name: str) -> None:
    case = CASES[name]
    turned = {key: value[[2, 0, 1]] for key, value in case.rows.items()}
    straight = case.loss(**case.rows, **case.fixed)
    assert straight.item() != 0
    assert case.loss(**turned, **case.fixed).item() == pytest.approx(straight.item(), abs=1e-12)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.padding])
def test_padding_changes_neither_the_loss_nor_its_slopes_whatever_number_stands_in_it(name: str) -> None:
    case = CASES[name]
    results = []
    for rows in (
        case.rows,
        {key: padded(value, *case.padding[key]) if key in case.padding else value for key, value in case.rows.items()},
    ):
        rows = {key: value.clone().requires_grad_(key in case.slopes) for key, value in rows.items()}
        loss = case.loss(**rows, **case.fixed)
        loss.backward()
        slopes = [rows[key].grad for key in case.slopes if key in rows]
        results.append((loss.item(), [slope.sum().item() for slope in slopes]))
    assert results[1][0] == pytest.approx(results[0][0], abs=1e-12)
    assert results[1][1] == pytest.approx(results[0][1], abs=1e-12)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "hidden" in case.rows])
def test_nothing_hidden_costs_nothing_and_moves_nothing(name: str) -> None:
    case = CASES[name]
    rows = {**case.rows, "hidden": torch.zeros_like(HIDDEN)}
    learned = rows[case.slopes[0]] = rows[case.slopes[0]].clone().requires_grad_()
    loss = case.loss(**rows, **case.fixed)
    loss.backward()
    assert loss.item() == 0
    assert learned.grad is not None and learned.grad.abs().max() == 0


@pytest.mark.parametrize("name", CASES)
def test_a_loss_in_bfloat16_is_a_finite_float32(name: str) -> None:
    case = CASES[name]
    inputs = {
        key: value.bfloat16() if isinstance(value, Tensor) and value.is_floating_point() else value
        for key, value in {**case.rows, **case.fixed}.items()
    }
    loss = case.loss(**inputs)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(case.loss(**case.rows, **case.fixed).item(), rel=0.05, abs=0.05)
