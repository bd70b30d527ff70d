"""What every model of several modalities owes: one score whichever way it is asked; what is missing has no weight."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from kg.embeddings import FUSION_MODELS
from kg.embeddings.modalities import Modality
from kg.embeddings.objectives import OneVsAll
from kg.errors import InputError
from tests.kg.embeddings.modality_models import PICTURE_UNKNOWN, E, build, modalities, queries

CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in FUSION_MODELS),
    ("gated", {"relation_aware": True}),
    ("gated", {"reciprocal": False}),
    ("gated", {"base": "simple"}),
]


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize(("name", "more"), CASES)
def test_a_triple_scores_the_same_among_all_entities_among_some_and_alone(
    name: str, more: dict[str, Any], grad: bool
) -> None:
    model = build(name, **more)
    heads, relations, tails = queries()
    some = torch.tensor([[4, 2], [1, 1], [5, 0], [0, 6], [6, 3]])
    with torch.set_grad_enabled(grad):
        alone = torch.stack([model.score(heads, relations, torch.full_like(tails, e)) for e in range(E)], 1)
        close(model.score_tails(heads, relations), alone)
        close(model.score_tails(heads, relations, some), alone.gather(1, some))
        asked = model.turned(relations) if model.reciprocal else relations
        pairs = [(tails, torch.full_like(heads, e)) for e in range(E)]
        for_heads = [model.score(*((h, asked, t) if model.reciprocal else (t, asked, h))) for h, t in pairs]
        close(model.score_heads(relations, tails), torch.stack(for_heads, 1))
    assert len({round(float(value), 4) for value in alone.detach().flatten()}) > E


@pytest.mark.parametrize(("name", "more"), CASES)
def test_what_is_missing_could_be_anything(name: str, more: dict[str, Any]) -> None:
    text, picture = modalities()
    noisy = picture.vectors.copy()
    noisy[~picture.known] = 1000.0
    model, other = build(name, **more), build(name, [text, replace(picture, vectors=noisy)], **more)
    heads, relations, _ = queries()
    assert torch.equal(model.score_tails(heads, relations), other.score_tails(heads, relations))


@pytest.mark.parametrize(("name", "more"), CASES)
def test_what_is_known_counts(name: str, more: dict[str, Any]) -> None:
    text, picture = modalities()
    changed = Modality("picture", -picture.vectors[::-1].copy(), picture.known)
    model, other = build(name, **more), build(name, [text, changed], **more)
    heads, relations, _ = queries()
    differs = (model.score_tails(heads, relations) != other.score_tails(heads, relations)).any(0)
    assert differs[[n for n in range(E) if n not in PICTURE_UNKNOWN]].all()


@pytest.mark.parametrize(("name", "more"), CASES)
def test_keys_that_were_kept_are_made_anew_when_a_number_changes(name: str, more: dict[str, Any]) -> None:
    model = build(name, **more)
    heads, relations, _ = queries()
    with torch.no_grad():
        before = model.score_tails(heads, relations)
        model.entities += 0.5
        after = model.score_tails(heads, relations)
    assert not torch.equal(before, after)
    close(after, model.score_tails(heads, relations).detach())  # with gradients nothing is kept


@pytest.mark.parametrize(("name", "more"), CASES)
def test_a_step_of_training_makes_the_loss_smaller_and_reaches_every_number(name: str, more: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = build(name, **more)
    triples = np.array([[0, 0, 1], [2, 1, 3], [4, 2, 5], [6, 0, 2], [1, 1, 4]])
    objective = OneVsAll(model, triples, weight=0.01)
    rows = torch.from_numpy(objective.rows())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        loss = objective(rows, np.random.default_rng(0))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    idle = [label for label, parameter in model.named_parameters() if parameter.grad is None]
    assert idle == ([label for label in idle if "noises" in label])  # those train in training mode alone


@pytest.mark.parametrize(("name", "more"), CASES)
def test_the_seed_alone_decides_where_a_model_starts(name: str, more: dict[str, Any]) -> None:
    first, again, other = build(name, **more), build(name, **more), build(name, **more, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values()))
    assert not torch.equal(first.entities, other.entities)


def test_two_of_the_modalities_of_a_biquaternion_are_wanted() -> None:
    with pytest.raises(InputError, match="a biquaternion holds structure and 2 modalities, not 1"):
        build("mhyper", modalities()[:1])


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
