"""Link prediction beside masked words, by hand: scores, negatives, hidden edges, paths."""

from __future__ import annotations

from math import exp, log, sqrt

import pytest
import torch

from kemm.objectives.losses.paths import follow, path_completion
from kemm.objectives.losses.triples import (
    distmult_score,
    draw_negatives,
    hide_edges,
    negative_sampling,
    transe_distance,
)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def softplus(value: float) -> float:
    return log(1 + exp(value))


def test_distances_and_scores() -> None:
    head, relation, tail = torch.tensor([1.0, 2.0]), torch.tensor([1.0, -1.0]), torch.tensor([5.0, 4.0])
    assert transe_distance(head, relation, tail).item() == 3 + 3
    assert transe_distance(head, relation, tail, norm=2).item() == pytest.approx(sqrt(18))
    assert distmult_score(head, relation, tail).item() == pytest.approx((5 - 8) / sqrt(2))


def test_truth_is_pushed_over_the_margin_and_the_mean_of_the_negatives_under_it() -> None:
    positive, negatives = torch.tensor([-1.0]), torch.tensor([[-5.0, -3.0]])  # TransE: distances 1; 5 and 3; γ = 4
    expected = softplus(-3) + (softplus(-1) + softplus(1)) / 2  # −log σ(x) = softplus(−x)
    assert negative_sampling(positive, negatives, margin=4.0).item() == pytest.approx(expected)


def test_drawn_triples_that_are_true_are_no_negatives() -> None:
    positive, negatives = torch.tensor([0.0, 0.0]), torch.tensor([[1.0, 50.0], [2.0, 3.0]])
    loss = negative_sampling(positive, negatives, wrong=torch.tensor([[True, False], [False, False]]))
    assert loss.item() == pytest.approx((log(2) + softplus(1) + log(2)) / 2)


def test_no_triples_cost_nothing_and_huge_scores_stay_finite() -> None:
    assert negative_sampling(torch.zeros(0), torch.zeros(0, 64)).item() == 0
    assert negative_sampling(torch.tensor([-1e4]), torch.tensor([[1e4]])).item() == pytest.approx(2e4)


def test_negatives_change_one_end_to_another_node() -> None:
    head, tail = torch.tensor([0, 3]), torch.tensor([1, 3])
    heads, tails = draw_negatives(head, tail, 5, 64, seeded())
    assert heads.shape == tails.shape == (2, 64)
    assert (heads[:, :32] == head[:, None]).all() and (tails[:, 32:] == tail[:, None]).all()
    assert (tails[:, :32] != tail[:, None]).all() and (heads[:, 32:] != head[:, None]).all()
    assert set(tails[0, :32].tolist()) == {0, 2, 3, 4}
    with pytest.raises(ValueError, match="needs two nodes"):
        draw_negatives(head, tail, 1, 4, seeded())


@pytest.mark.parametrize(("edges", "hidden"), [(100, 15), (3, 1), (1, 1), (0, 0)])
def test_fifteen_per_cent_of_the_edges_are_hidden_but_at_least_one(edges: int, hidden: int) -> None:
    assert int(hide_edges(edges, seeded()).sum()) == hidden


def test_a_path_is_followed_by_sum_or_by_product_and_padding_is_no_step() -> None:
    start, relations = torch.tensor([[1.0, 2.0]]), torch.tensor([[[2.0, 3.0], [5.0, 1.0], [9.0, 9.0]]])
    is_step = torch.tensor([[True, True, False]])
    assert follow(start, relations, is_step).tolist() == [[8.0, 6.0]]
    assert follow(start, relations, is_step, by_product=True).tolist() == [[10.0, 6.0]]


def test_the_end_of_a_path_is_the_nearest_entity_or_the_one_of_the_largest_product() -> None:
    entities = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    reached, right = torch.tensor([[1.0, 1.0]]), torch.tensor([[True, False]])
    assert path_completion(reached, entities, right).item() == pytest.approx(softplus(-2 + 1))  # distances² 1 and 2
    assert path_completion(reached, entities, right, by_product=True).item() == pytest.approx(softplus(2 - 1))
