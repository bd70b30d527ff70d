"""What every embedding model owes: its paper's formula, and one score whichever way it is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from kg.embeddings import EMBEDDING_MODELS
from kg.embeddings.distances import distance, distances, distances_to_rows
from kg.embeddings.gathered import product_of_rows
from kg.embeddings.model import KGEModel
from kg.embeddings.objectives import penalty
from kg.errors import InputError
from kg.registry import resolve
from tests.kg.embeddings.literal_forms import literal

GRAPH = np.array([[0, 0, 4], [1, 1, 1], [2, 2, 5], [6, 1, 0], [3, 0, 6], [4, 2, 3], [5, 1, 2]])
OPTIONS: dict[str, dict[str, Any]] = {
    "conve": {"dimension": 12, "height": 3, "channels": 2, "reciprocal": True},
    "tucker": {"dimension": 4, "relation_dimension": 3},
    "transr": {"dimension": 4, "relation_dimension": 3},
    "transd": {"dimension": 4, "relation_dimension": 5},
    "ntn": {"dimension": 4, "slices": 3},
    "convtranse": {"channels": 2, "reciprocal": True},
    "encoded": {"train": GRAPH, "encoder": {"kind": "rgcn", "num_bases": 2}, "decoder": {"name": "distmult"}},
    "nbfnet": {"train": GRAPH, "layers": 3},
}
CASES = [(name, {}) for name in EMBEDDING_MODELS] + [("transe", {"norm": 2}), ("rotate", {"norm": 2})]
#: NBFNet has no vectors to write its formula in: tests/kg/gnn has it, edge by edge.
WITH_VECTORS = [case for case in CASES if case[0] != "nbfnet"]
E, R = 7, 3


def build(name: str, **more: Any) -> KGEModel:
    options = {"dimension": 6, "initial": 0.7, "seed": 3, **OPTIONS.get(name, {}), **more}
    model: KGEModel = resolve(EMBEDDING_MODELS, name, "embedding model")(E, R, **options)
    return model.eval()


def queries() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.tensor([0, 1, 2, 6, 3]), torch.tensor([0, 1, 2, 1, 0]), torch.tensor([4, 1, 5, 0, 6])


@pytest.mark.parametrize(("name", "more"), WITH_VECTORS)
def test_the_score_is_the_papers_formula_written_out(name: str, more: dict[str, Any]) -> None:
    model = build(name, **more)
    heads, relations, tails = queries()
    with torch.no_grad():
        found = model.score(heads, relations, tails)
        h, r, t = model.entities[heads], model.relations[relations], model.entities[tails]
    expected = [literal(model, name, *one) for one in zip(h, r, t)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert len({round(value, 4) for value in expected}) == len(expected)


@pytest.mark.parametrize("reciprocal", [False, True])
@pytest.mark.parametrize(("name", "more"), CASES)
@pytest.mark.parametrize("grad", [False, True])
def test_a_triple_scores_the_same_among_all_entities_among_some_and_alone(
    name: str, more: dict[str, Any], reciprocal: bool, grad: bool
) -> None:
    model = build(name, **more, **({"reciprocal": True} if reciprocal else {}))
    heads, relations, tails = queries()
    some = torch.tensor([[4, 2], [1, 1], [5, 0], [0, 6], [6, 3]])
    with torch.set_grad_enabled(grad):
        alone = torch.stack([model.score(heads, relations, torch.full_like(tails, e)) for e in range(E)], 1)
        assert_close(model.score_tails(heads, relations), alone)
        assert_close(model.score_tails(heads, relations, some), alone.gather(1, some))
        assert_close(model.score_tails(heads, relations, torch.tensor([3, 0])), alone[:, [3, 0]])
        asked = model.turned(relations) if model.reciprocal else relations
        for_heads = torch.stack(
            [
                model.score(tails, asked, torch.full_like(tails, e))
                if model.reciprocal
                else model.score(torch.full_like(heads, e), relations, tails)
                for e in range(E)
            ],
            1,
        )
        assert_close(model.score_heads(relations, tails), for_heads)
        assert_close(model.score_heads(relations, tails, some), for_heads.gather(1, some))


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", EMBEDDING_MODELS)
def test_the_seed_alone_decides_where_a_model_starts(name: str) -> None:
    first, again, other = build(name), build(name), build(name, seed=4)
    same = [torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values())]
    differ = [not torch.equal(a, b) for a, b in zip(first.state_dict().values(), other.state_dict().values())]
    assert all(same) and any(differ)


@pytest.mark.parametrize("name", ["distmult", "complex", "cp", "simple", "rescal", "tucker", "hole"])
def test_a_relation_can_be_asked_for_where_the_score_is_linear_in_it(name: str) -> None:
    model = build(name)
    heads, relations, tails = queries()
    with torch.no_grad():
        scores = model.relation_query(model.entity(heads), model.entity(tails)) @ model.relations.T  # type: ignore[operator]
        assert_close(scores[torch.arange(5), relations], model.score(heads, relations, tails))


def test_a_model_that_cannot_ask_for_heads_says_what_to_set() -> None:
    with pytest.raises(InputError, match=r"set model.reciprocal to true"):
        build("conve", reciprocal=False)
    with pytest.raises(InputError, match=r"model.height \(5\) must divide model.dimension \(12\)"):
        build("conve", height=5)


@pytest.mark.parametrize("norm", [1, 2, "modulus"])
def test_compiled_distances_and_their_derivatives_are_those_of_plain_torch(norm: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(5, 8, generator=generator).requires_grad_()
    keys = torch.randn(70, 8, generator=generator).requires_grad_()
    some = torch.randint(70, (5, 40), generator=generator)  # many come twice
    weights = torch.randn(5, 40, generator=generator)
    expected = distance(query[:, None] - keys[some], norm)
    found = distances_to_rows(query, keys, some, norm)
    assert_close(found, expected)
    for one, two in zip(
        torch.autograd.grad((found * weights).sum(), (query, keys)),
        torch.autograd.grad((expected * weights).sum(), (query, keys)),
    ):
        assert_close(one, two)
    weights = torch.randn(5, 70, generator=generator)
    expected, found = distance(query[:, None] - keys, norm), distances(query, keys, norm)
    assert_close(found, expected)
    for one, two in zip(
        torch.autograd.grad((found * weights).sum(), (query, keys)),
        torch.autograd.grad((expected * weights).sum(), (query, keys)),
    ):
        assert_close(one, two)
    with torch.no_grad():
        assert_close(distances(query, keys, norm), expected)


def test_a_distance_of_zero_has_no_slope_and_a_nan_stays_one() -> None:
    query, keys = torch.ones(1, 4, requires_grad=True), torch.ones(2, 4, requires_grad=True)
    for norm in (1, 2, "modulus"):
        found = distances_to_rows(query, keys, torch.tensor([[0, 1]]), norm)  # type: ignore[arg-type]
        slopes = torch.autograd.grad(found.sum(), (query, keys))
        assert found.abs().max() < 1e-6 and all(slope.abs().max() < 1e-6 for slope in slopes)
        found = distances(query, keys, norm)  # type: ignore[arg-type]
        slopes = torch.autograd.grad(found.sum(), (query, keys))
        assert found.abs().max() < 1e-6 and all(slope.abs().max() < 1e-6 for slope in slopes)
        with torch.no_grad():
            assert torch.isnan(distances(query, torch.full((2, 4), torch.nan), norm)).all()  # type: ignore[arg-type]


@pytest.mark.parametrize("sparse", [False, True])
def test_products_of_rows_and_their_derivatives_are_those_of_plain_torch(sparse: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(5, 8, generator=generator).requires_grad_()
    keys = torch.randn(20, 8, generator=generator).requires_grad_()
    some = torch.randint(20, (5, 30), generator=generator)
    weights = torch.randn(5, 30, generator=generator)
    expected = torch.autograd.grad(((query[:, None] * keys[some]).sum(-1) * weights).sum(), (query, keys))
    found = torch.autograd.grad((product_of_rows(query, keys, some, sparse) * weights).sum(), (query, keys))
    assert found[1].is_sparse == sparse
    assert_close(found[0], expected[0])
    assert_close(found[1].to_dense() if sparse else found[1], expected[1])


def test_n3_is_the_sum_of_cubes_of_moduli() -> None:
    model = build("complex", dimension=1)
    factors = model.factors(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]]))
    assert float(penalty(factors, "n3", [None] * 3)) == pytest.approx(125 + 8 + 1)
    assert float(penalty(factors, "l2", [torch.tensor([2]), None, None])) == pytest.approx(2 * 25 + 4 + 1)
