"""The gate: its formula, its weights, and that structure alone is the structure model."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kg.embeddings.bilinear import ComplEx
from kg.embeddings.fused import FusedModel
from kg.embeddings.gate import Gated
from kg.embeddings.modalities import Modality
from kg.embeddings.objectives import OneVsAll
from tests.kg.embeddings.modality_models import E, R, build, modalities, queries


@pytest.mark.parametrize("group", [1, 4])
def test_with_all_but_structure_missing_it_is_the_structure_model_to_the_last_bit_through_training(group: int) -> None:
    gated: FusedModel = Gated(E, R, 6, modalities=modalities(nobody=True), relation_aware=True, seed=3)
    plain = ComplEx(E, R, 6, reciprocal=True, seed=3)
    triples = np.array([[0, 0, 1], [2, 1, 3], [0, 0, 5], [6, 0, 2], [1, 1, 4]])
    for model in (gated, plain):
        objective = OneVsAll(model, triples, group=group, weight=0.05)
        optimizer = torch.optim.Adagrad(model.parameters(), lr=0.1)
        for _ in range(5):
            loss = objective(torch.from_numpy(objective.rows()), np.random.default_rng(0))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    heads, relations, tails = queries()
    assert torch.equal(gated.entities, plain.entities) and torch.equal(gated.relations, plain.relations)
    assert torch.equal(gated.score_tails(heads, relations), plain.score_tails(heads, relations))
    assert torch.equal(gated.score_heads(relations, tails), plain.score_heads(relations, tails))


def test_the_vector_is_the_gates_mean_of_structure_and_of_each_modality_that_is_known() -> None:
    model = build("gated")
    assert isinstance(model, Gated)
    entity = 5  # has a picture of three tokens and no text
    _, picture = modalities()
    mean = picture.vectors[entity].mean(axis=0)
    view = (mean / np.linalg.norm(mean)) @ model.projections[1].detach().numpy() / math.sqrt(4)
    structure = model.entities[entity].detach().numpy()
    looks, leanings = model.looks.detach().numpy(), model.leanings.detach().numpy()
    odds = [math.exp(looks[0] @ structure + leanings[0]), math.exp(looks[2] @ view + leanings[2])]
    share = odds[0] / sum(odds)
    numbers = torch.tensor([entity])
    found = model.fuse_key(model.spread(model.entity(numbers)))[0]
    np.testing.assert_allclose(found.detach().numpy(), share * structure + (1 - share) * view, rtol=1e-4, atol=1e-5)
    assert model.weights(numbers)[0].tolist() == pytest.approx([share, 0, 1 - share], abs=1e-5)


def test_the_relation_moves_the_gate_of_the_given_entity_alone() -> None:
    model = build("gated", relation_aware=True)
    assert isinstance(model, Gated)
    with torch.no_grad():
        model.of_relation[1] = torch.tensor([0.0, 50.0, 0.0])
    numbers = torch.tensor([1, 2])  # 2 is known by structure alone
    by_text = model.weights(numbers, torch.tensor([1, 1]))
    assert by_text[0].tolist() == pytest.approx([0, 1, 0], abs=1e-6) and by_text[1].tolist() == [1, 0, 0]
    assert model.weights(numbers)[0, 1] < 0.99


def test_an_entity_that_training_has_not_is_made_of_what_else_is_known_and_of_its_start_where_nothing_is() -> None:
    in_training = np.ones(E, dtype=bool)
    in_training[[1, 2]] = False  # 1 has text and picture, 2 neither
    model = build("gated", in_training=in_training)
    assert isinstance(model, Gated)
    weights = model.weights(torch.tensor([1, 2, 3]))
    assert weights[0, 0] == 0 and weights[0, 1:].min() > 0
    assert weights[1].tolist() == [1, 0, 0] and weights[2, 0] > 0
    with torch.no_grad():
        before = model.score_tails(*queries()[:2])
        model.entities[1] += 1
        after = model.score_tails(*queries()[:2])
    assert torch.equal(before[0], after[0]) and torch.equal(before[1], after[1])  # asked from 0 and from 1 itself


def test_hiding_modalities_in_training_never_hides_all_and_ranking_hides_none() -> None:
    torch.manual_seed(0)
    model = build("gated", modality_dropout=0.5).train()
    shown = torch.stack([model.table()[:, -5:] for _ in range(200)])  # known: structure, text, three tokens
    assert (shown.sum(-1) > 0).all()
    held = torch.from_numpy(np.concatenate([np.ones((E, 1), bool), *(m.known for m in modalities())], axis=1))
    assert (shown.bool() <= held).all() and abs(float(shown[:, 1, 0].detach().mean()) - 0.5 - 0.5**5) < 0.1
    assert torch.equal(model.eval().table()[:, -5:].bool(), held)


def test_vectors_do_not_go_into_checkpoints() -> None:
    assert not {"features", "known"} & set(build("gated").state_dict())


def test_a_model_without_modalities_is_its_base() -> None:
    model = build("gated", [])
    plain = ComplEx(E, R, 6, reciprocal=True, seed=3, initial=0.7)
    heads, relations, _ = queries()
    assert torch.equal(model.score_tails(heads, relations), plain.score_tails(heads, relations))
    assert isinstance(modalities()[0], Modality)
