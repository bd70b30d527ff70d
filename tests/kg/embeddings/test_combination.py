"""Sums of models: the sum by hand, distances by hand, and weights that follow the part that knows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kg.embeddings.combination import Combination, fit_weights
from kg.embeddings.near import Near
from kg.embeddings.ranking import rank
from kg.embeddings.triples import Triples, number
from kg.errors import InputError
from tests.kg.embeddings.fixed import FixedScores, scores


@pytest.fixture
def rings() -> Triples:
    """Thirty entities: "one" goes on by one, "two" by two; of every six triples one is validation and one test."""
    triples = [(f"e{n}", name, f"e{(n + step) % 30}") for n in range(30) for name, step in (("one", 1), ("two", 2))]
    parts = [[triple for triple in triples if int(triple[0][1:]) % 6 in places] for places in ([0, 2, 3, 5], [1], [4])]
    return number(dict(zip(("train", "valid", "test"), parts, strict=True)))


def truth(triples: Triples, relations: list[int]) -> torch.Tensor:
    """A table that scores 3 what is true of some relations and 0 all else."""
    table = torch.zeros(triples.num_entities, triples.num_relations, triples.num_entities)
    for rows in triples.splits.values():
        for h, r, t in rows.tolist():
            table[h, r, t] = 3.0 if r in relations else 0.0
    return table


def test_distances_are_counted_along_edges_of_both_directions() -> None:
    rows = np.array([[0, 0, 1], [2, 0, 1], [2, 1, 3], [5, 0, 5]])  # 0 → 1 ← 2 → 3; 4 and 5 stand alone
    found = Near(rows, 6, hops=2)(torch.tensor([0, 4, 3, 5]))
    assert found.tolist() == [[0, 1, 2, 3, 3, 3], [3, 3, 3, 3, 0, 3], [3, 2, 1, 0, 3, 3], [3, 3, 3, 3, 3, 0]]


def test_a_score_is_the_weighted_sum_of_the_parts_and_of_the_distance() -> None:
    tables = [scores(4, 2, 9, seed) for seed in (1, 2)]
    rows = np.array([[0, 0, 1]])
    model = Combination([FixedScores(table) for table in tables], Near(rows, 4, hops=1))
    with torch.no_grad():
        model.weights.copy_(torch.tensor([2.0, 0.5]))
        model.offsets[3, 1] = 1.0  # heads of relation 1
        model.nearness.copy_(torch.tensor([-1.0, 10.0, 0.0]))
    e = torch.tensor([0])
    tails = model.score_tails(e, torch.tensor([1]))[0]
    assert tails.tolist() == (2 * tables[0][0, 1] + 0.5 * tables[1][0, 1] + torch.tensor([-1.0, 10, 0, 0])).tolist()
    heads = model.score_heads(torch.tensor([1]), e)[0]
    assert (
        heads.tolist() == (2 * tables[0][:, 1, 0] + 1.5 * tables[1][:, 1, 0] + torch.tensor([-1.0, 10, 0, 0])).tolist()
    )
    assert model.score(e, torch.tensor([1]), torch.tensor([2])).tolist() == [float(tails[2].detach())]
    some = torch.tensor([3, 1])
    assert model.score_tails(e, torch.tensor([1]), some)[0].tolist() == tails[some].tolist()


def test_weights_follow_the_part_that_knows_the_relation(rings: Triples) -> None:
    noise = scores(30, 2, 1000, seed=1) / 250  # up to 4
    parts = [FixedScores(truth(rings, [0]) + noise), FixedScores(truth(rings, [1]) + noise.flip(0))]
    model = Combination(parts)
    before = rank(model, rings, "test").realistic
    fit_weights(model, rings, rings["valid"], penalty=1e-3)
    found = rank(model, rings, "test").realistic
    assert (1 / found).mean() > (1 / before).mean() + 0.1
    weights = (model.weights + model.offsets).detach()  # (2R, parts): tails of both relations, then heads
    assert weights[0, 0] > weights[0, 1] and weights[2, 0] > weights[2, 1]
    assert weights[1, 1] > weights[1, 0] and weights[3, 1] > weights[3, 0]


def test_distances_are_weighed_where_they_tell(rings: Triples) -> None:
    """What is asked is some steps away by other edges, and the part knows nothing."""
    model = Combination([FixedScores(torch.zeros(30, 2, 30))], Near(rings["train"], 30, hops=2))
    fit_weights(model, rings, rings["valid"])
    of = model.nearness.detach()
    assert max(of[1], of[2]) > of[3] and of[0] < of[3]  # itself is never right
    assert (1 / rank(model, rings, "test").realistic).mean() > 0.2


def test_weights_are_the_same_whatever_the_test_split_holds(rings: Triples) -> None:
    found = []
    for test in (rings["test"], rings["test"][:, [2, 1, 0]]):
        changed = Triples(rings.entities, rings.relations, {**rings.splits, "test": test})
        model = Combination([FixedScores(scores(30, 2, 50, seed=3)), FixedScores(truth(rings, [0]))])
        fit_weights(model, changed, changed["valid"])
        found.append(model.weights.detach().clone())
    assert torch.equal(*found)


def test_a_checkpoint_of_a_sum_holds_its_weights_and_not_its_parts(rings: Triples) -> None:
    model = Combination([FixedScores(torch.zeros(30, 2, 30))], Near(rings["train"], 30, hops=1))
    assert set(model.state_dict()) >= {"weights", "offsets", "nearness", "nearness_offsets"}
    assert not any("parts" in name for name in model.state_dict())


# -- one weight a model: late fusion -----------------------------------------------------------------------------------


def test_weights_that_all_relations_share_are_the_best_there_are_and_tell_what_helps() -> None:
    """One model knows a little, one nothing, one the opposite of a little."""
    generator = torch.Generator().manual_seed(0)
    E, R, N = 12, 2, 80
    rows = torch.stack([torch.randint(n, (N,), generator=generator) for n in (E, R, E)], 1)
    truth = torch.zeros(E, R, E)
    truth[tuple(rows.T)] = 1
    noise = [torch.randn(E, R, E, generator=generator) for _ in range(3)]
    tables = [truth + noise[0], noise[1], -0.5 * truth + noise[2]]
    triples = Triples([str(n) for n in range(E)], ["r", "s"], {"train": rows.numpy()[:1], "valid": rows.numpy()})
    model = Combination([FixedScores(table) for table in tables], by_relation=False)
    before = rank(model, triples, "valid").realistic
    best = fit_weights(model, triples, triples["valid"])  # twelve entities: all are candidates
    useful, useless, opposite = model.weights.tolist()
    assert useful > 0.5 and abs(useless) < 0.25 and opposite < -0.2
    assert not model.offsets.any() and not model.offsets.requires_grad
    assert (1 / rank(model, triples, "valid").realistic).mean() > (1 / before).mean() + 0.1
    assert loss_at(tables, triples, [useful, useless, opposite]) == pytest.approx(best, rel=1e-5)
    for n in range(3):
        for change in (-0.05, 0.05):
            moved = [weight + change * (k == n) for k, weight in enumerate((useful, useless, opposite))]
            assert loss_at(tables, triples, moved) > best


def loss_at(tables: list[torch.Tensor], triples: Triples, weights: list[float]) -> float:
    """The filtered cross-entropy of both sides, written out triple by triple."""
    table = torch.stack([weight * table.double() for weight, table in zip(weights, tables)]).sum(0)
    asked = triples["valid"].tolist()
    known = {tuple(row) for row in asked}
    total = 0.0
    for h, r, t in asked:
        tails = [e for e in range(12) if e == t or (h, r, e) not in known]
        heads = [e for e in range(12) if e == h or (e, r, t) not in known]
        total += float(torch.logsumexp(table[h, r, tails], 0) - table[h, r, t])
        total += float(torch.logsumexp(table[heads, r, t], 0) - table[h, r, t])
    return total / (2 * len(asked))


def test_models_of_different_vocabularies_are_refused() -> None:
    with pytest.raises(InputError, match=r"models of one vocabulary .* \[\(2, 3\), \(3, 3\)\]"):
        Combination([FixedScores(torch.ones(2, 3, 2)), FixedScores(torch.ones(3, 3, 3))])
