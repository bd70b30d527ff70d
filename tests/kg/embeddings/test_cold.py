"""Cold entities: the solve is the one written out, exact facts are met, and a new entity of a real set is placed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kg.embeddings.bilinear import ComplEx, DistMult
from kg.embeddings.cold import Prior, embed_cold, learn_prior
from kg.embeddings.gate import Gated
from kg.embeddings.held_out import hold_out_entities
from kg.embeddings.known import Known
from kg.embeddings.objectives import OneVsAll
from kg.embeddings.ranking import rank
from kg.embeddings.sources import read_folder
from kg.embeddings.tensors import TuckER
from kg.embeddings.translational import RotatE
from kg.errors import InputError
from tests.kg.embeddings.modality_models import modalities

CODEX_S = Path(__file__).parents[3].parent / "shared" / "data" / "codex-s"


def wide_prior(model: torch.nn.Module, right: float, noise: float) -> Prior:
    width = model.entities.shape[1]  # type: ignore[union-attr, index]
    scores = torch.full((2, model.num_relations), right).double()  # type: ignore[arg-type]
    return Prior(torch.zeros(width).double(), torch.eye(width).double(), scores, noise)


def test_one_fact_of_a_product_moves_the_vector_along_its_query() -> None:
    model = DistMult(3, 1, 2, initial=0.0)
    with torch.no_grad():
        model.entities[1], model.relations[0] = torch.tensor([3.0, 0.0]), torch.tensor([1.0, 1.0])
    # f(e, r, 1) = 3 e₀, wanted 6: with Σ = I and σ² = 9 it is e₀ = 3 · 6 / (9 + 9) = 1
    found = embed_cold(model, np.array([[2, 0, 1]]), 2, wide_prior(model, 6.0, 9.0))
    assert found.tolist() == pytest.approx([1, 0])
    exact = embed_cold(model, np.array([[2, 0, 1]]), 2, wide_prior(model, 6.0, 1e-9))
    assert exact.tolist() == pytest.approx([2, 0])


@pytest.mark.parametrize("reciprocal", [False, True])
@pytest.mark.parametrize("kind", [ComplEx, TuckER])
def test_facts_on_either_side_score_what_was_wanted_where_nothing_speaks_against_it(
    kind: type[ComplEx], reciprocal: bool
) -> None:
    model = kind(6, 2, 16, reciprocal=reciprocal, initial=0.5)
    facts = np.array([[5, 0, 1], [2, 1, 5], [5, 1, 3]])
    vector = embed_cold(model, facts, 5, wide_prior(model, 7.0, 1e-9))
    with torch.no_grad():
        model.entities[5] = vector
        h, r, t = torch.from_numpy(facts).T
        assert model.score(h, r, t).tolist() == pytest.approx([7, 7, 7], abs=1e-2)
        if reciprocal:
            assert model.score(t, r + 2, h).tolist() == pytest.approx([7, 7, 7], abs=1e-2)


def test_without_facts_it_is_the_mean_of_what_was_trained() -> None:
    model = ComplEx(4, 1, 2, initial=1.0)
    train = np.array([[0, 0, 1], [1, 0, 2]])
    prior = learn_prior(model, train)
    found = embed_cold(model, np.empty((0, 3), dtype=np.int64), 3, prior)
    torch.testing.assert_close(found, model.entities.detach()[:3].mean(0))  # 3 is in no triple
    loop = embed_cold(model, np.array([[3, 0, 3]]), 3, prior)
    torch.testing.assert_close(loop, found)  # the only fact is not linear in the entity
    wanted = model.score(*torch.from_numpy(train).T).detach().double()
    assert float(prior.right[0, 0]) == pytest.approx(float(wanted.mean()))


def test_what_cannot_be_solved_for_says_so() -> None:
    rotate = RotatE(4, 1, 2)
    with pytest.raises(InputError, match="RotatE's score isn't linear in an entity: embed cold ones with a model that"):
        embed_cold(rotate, np.array([[3, 0, 1]]), 3, wide_prior(rotate, 1.0, 1.0))
    model = ComplEx(4, 1, 2)
    with pytest.raises(InputError, match="1 facts are not about entity 3"):
        embed_cold(model, np.array([[3, 0, 1], [0, 0, 1]]), 3, wide_prior(model, 1.0, 1.0))
    with pytest.raises(InputError, match="Gated makes vectors from modalities: give the new entity's in `modalities`"):
        learn_prior(Gated(7, 3, 2, modalities=modalities()), np.array([[0, 0, 1]]))


@pytest.mark.skipif(not CODEX_S.is_dir(), reason="../shared/data/codex-s is not there")
def test_an_entity_of_codex_that_was_held_out_is_placed_by_half_of_its_facts() -> None:
    held = hold_out_entities(read_folder(CODEX_S), 60, least=6)
    model = ComplEx(held.triples.num_entities, held.triples.num_relations, 24, reciprocal=True, initial=1e-2)
    objective = OneVsAll(model, held.triples["train"], group=16, weight=0.01)
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.1)
    rows = objective.rows()
    for epoch in range(4):
        for chosen in np.array_split(np.random.default_rng(epoch).permutation(len(rows)), 60):
            optimizer.zero_grad()
            objective(torch.from_numpy(rows[chosen]), np.random.default_rng(0)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    known = Known(read_folder(CODEX_S).splits.values(), held.triples.num_entities)

    def mrr(split: str) -> float:
        return float((1 / rank(model, held.triples, split, known=known, limit=500).realistic).mean())

    untrained, ordinary = mrr("asked"), mrr("train")
    prior, given = learn_prior(model, held.triples["train"]), held.triples["given"]
    assert 0 < prior.shrink < 1
    for entity in held.entities.tolist():
        about = given[(given[:, [0, 2]] == entity).any(axis=1)]
        model.entities.data[entity] = embed_cold(model, about, entity, prior)
    placed = mrr("asked")
    assert placed > 5 * untrained and placed > 0.15
    assert mrr("train") > 0.9 * ordinary  # new entities don't push themselves before others
