"""Filtered ranks and their figures, by hand and against counting one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kg.embeddings.bilinear import DistMult
from kg.embeddings.figures import by_cardinality, by_pattern, figures, summarise
from kg.embeddings.ranking import Ranks, rank
from kg.embeddings.triples import Triples
from kg.errors import InputError
from tests.kg.embeddings.fixed import FixedScores, scores


def numbered(num_entities: int, num_relations: int, **splits: list[list[int]]) -> Triples:
    names = [f"e{n}" for n in range(num_entities)], [f"r{n}" for n in range(num_relations)]
    return Triples(*names, {split: np.array(rows, dtype=np.int32).reshape(-1, 3) for split, rows in splits.items()})


def test_known_answers_are_left_out_and_the_target_is_not() -> None:
    # Tails of (0, r, ?) score 9, 8, 7, 6, 5. Asked for 3; 0 and 1 are known in training: only 2 stands before it.
    table = torch.zeros(5, 1, 5)
    table[0, 0] = torch.tensor([9.0, 8.0, 7.0, 6.0, 5.0])
    triples = numbered(5, 1, train=[[0, 0, 0], [0, 0, 1]], test=[[0, 0, 3]])
    ranks = rank(FixedScores(table), triples)
    assert ranks.realistic[0].tolist() == [2.0] and ranks.candidates[0].tolist() == [3]
    # Heads of (?, r, 3): 0 scores 6, the others 0; nobody is known.
    assert ranks.realistic[1].tolist() == [1.0] and ranks.candidates[1].tolist() == [5]


def test_a_tie_ranks_in_the_middle_and_both_ends_are_kept() -> None:
    table = torch.zeros(4, 1, 4)
    table[0, 0] = torch.tensor([1.0, 1.0, 1.0, 2.0])
    ranks = rank(FixedScores(table), numbered(4, 1, train=[[3, 0, 3]], test=[[0, 0, 1]]))
    assert (ranks.optimistic[0, 0], ranks.realistic[0, 0], ranks.pessimistic[0, 0]) == (2, 3.0, 4)
    found = figures(ranks)
    assert found["tails"]["mrr"] == pytest.approx(1 / 3)
    assert found["optimistic"]["mrr"] > found["both"]["mrr"] > found["pessimistic"]["mrr"]


def test_a_model_that_scores_all_alike_ranks_in_the_middle() -> None:
    found = figures(rank(FixedScores(torch.zeros(9, 1, 9)), numbered(9, 1, train=[[8, 0, 8]], test=[[0, 0, 1]])))
    assert found["both"]["mean_rank"] == 5 and found["both"]["amri"] == pytest.approx(0)


@pytest.mark.parametrize("where", ["target", "all", "others"])
def test_nan_never_ranks_first(where: str) -> None:
    table = torch.ones(4, 1, 4)
    if where == "all":
        table[:] = torch.nan
    elif where == "target":
        table[0, 0, 1] = torch.nan
    else:
        table[0, 0, [0, 2, 3]] = torch.nan
    ranks = rank(FixedScores(table), numbered(4, 1, train=[[3, 0, 3]], test=[[0, 0, 1]]))
    if where == "others":  # a candidate without a score is behind every one that has one
        assert ranks.pessimistic[0].tolist() == [1] and ranks.num_nan == 0
    else:
        assert ranks.optimistic[0].tolist() == ranks.realistic[0].tolist() == [4] and ranks.num_nan > 0


def test_infinite_scores_rank_as_the_highest_and_the_lowest() -> None:
    table = torch.zeros(4, 1, 4)
    table[0, 0] = torch.tensor([torch.inf, -torch.inf, 0, 0])
    triples = numbered(4, 1, train=[[3, 0, 3]], test=[[0, 0, 0], [0, 0, 1]])
    assert rank(FixedScores(table), triples).realistic[0].tolist() == [1, 3]  # 0 is known when 1 is asked for


@pytest.mark.parametrize("levels", [2, 5, 10_000])
def test_ranks_are_those_of_counting_one_by_one(levels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kg.embeddings.ranking.BLOCK", 60)  # two queries a block
    random = np.random.default_rng(levels)
    num_entities, num_relations = 30, 3
    rows = np.unique(random.integers(0, [num_entities, num_relations, num_entities], (400, 3)), axis=0)
    random.shuffle(rows)
    triples = numbered(num_entities, num_relations, train=rows[:250], valid=rows[250:300], test=rows[300:])
    table = scores(num_entities, num_relations, levels, seed=levels)
    ranks = rank(FixedScores(table), triples)
    true = {tuple(row) for row in rows.tolist()}
    for n, (h, r, t) in enumerate(triples["test"].tolist()):
        for side in (0, 1):
            asked = [(h, r, e) if side == 0 else (e, r, t) for e in range(num_entities)]
            others = [float(table[one]) for one in asked if one not in true]
            own = float(table[h, r, t])
            assert ranks.greater[side, n] == sum(score > own for score in others)
            assert ranks.equal[side, n] == 1 + sum(score == own for score in others)
            assert ranks.candidates[side, n] == 1 + len(others)


def test_figures_by_hand() -> None:
    found = summarise(np.array([1.0, 2.0, 4.0, 10.5]), np.array([11, 11, 21, 21]))
    assert found["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 4 + 2 / 21) / 4)
    assert [found[f"hits@{k}"] for k in (1, 3, 5, 10)] == [0.25, 0.5, 0.75, 0.75]
    assert found["mean_rank"] == 4.375
    assert found["amri"] == pytest.approx(1 - 3.375 / 7.5)  # by chance (10 + 20) / 2 / 2 above 1
    assert summarise(np.empty(0), np.empty(0)) == {"count": 0}


def all_first(rows: list[list[int]]) -> Ranks:
    """Ranks of triples that all come first on both sides, of four candidates."""
    of_both = (2, len(rows))
    return Ranks(np.array(rows), np.zeros(of_both), np.ones(of_both), np.full(of_both, 4))


def test_a_relation_is_many_from_one_and_a_half_on() -> None:
    train = [[0, 0, 1], [2, 0, 3]]  # one to one
    train += [[0, 1, 1], [0, 1, 2], [0, 1, 3]]  # three tails a head
    train += [[0, 2, 3], [1, 2, 3], [2, 2, 0]]  # three heads of two tails: 1.5
    train += [[0, 3, 1], [0, 3, 2], [1, 3, 1], [1, 3, 2]]  # two each way
    found = by_cardinality(all_first([[0, n, 0] for n in range(5)]), np.array(train), 4, 5)
    counts = {name: (group["relations"], group["tails"]["count"]) for name, group in found.items()}
    assert counts == {"1-1": (1, 1), "1-n": (1, 1), "n-1": (1, 1), "n-n": (1, 1)}  # relation 4 is in none


def test_relations_are_symmetric_inverse_or_composed_as_training_has_them() -> None:
    train = [[n, 0, n + 100] for n in range(10)] + [[n + 100, 0, n] for n in range(10)]  # symmetric
    train += [[n, 1, n + 200] for n in range(10)]
    train += [[n + 200, 2, n] for n in range(10)]  # 1 turned round, and so is 1 of 2
    train += [[n + 200, 3, n + 300] for n in range(10)]
    train += [[n, 4, n + 300] for n in range(10)]  # 1, then 3
    train += [[n + 400, 5, n] for n in range(10)]  # nothing of these
    train += [[500, 6, 501], [501, 6, 500]]  # symmetric, but on two pairs only
    found = by_pattern(all_first([[0, n, 0] for n in range(7)]), np.array(train), 600, 7)
    counts = {name: group["relations"] for name, group in found.items()}
    assert counts["symmetric"] == 1 and counts["inverse"] == 2 and counts["none"] >= 2
    assert found["composed"]["relations"] >= 1 and found["composed"]["heads"]["mrr"] == 1


def test_figures_are_given_by_pattern_by_cardinality_and_by_degree() -> None:
    triples = numbered(4, 2, train=[[0, 0, 1], [0, 1, 1], [0, 1, 2]], test=[[0, 0, 3], [0, 1, 3]])
    ranks = Ranks(triples["test"], np.array([[0, 1], [3, 0]]), np.ones((2, 2)), np.full((2, 2), 4))
    found = figures(ranks, triples)
    assert (
        found["by_cardinality"]["1-1"]["tails"]["mrr"] == 1 and found["by_cardinality"]["1-1"]["heads"]["mrr"] == 0.25
    )
    assert found["by_cardinality"]["1-n"]["tails"]["mrr"] == 0.5 and found["by_cardinality"]["n-n"]["tails"] == {
        "count": 0
    }
    assert found["by_pattern"]["none"]["tails"]["mrr"] == 0.75 and found["by_pattern"]["inverse"]["relations"] == 0
    degrees = found["by_degree"]
    assert degrees["0"]["count"] == 2 and degrees["0"]["mrr"] == 0.75  # tails: entity 3, in no triple of training
    assert degrees["3-9"]["count"] == 2 and degrees["3-9"]["mrr"] == pytest.approx((0.25 + 1) / 2)
    assert degrees["1-2"] == {"count": 0}


def test_a_limit_draws_evenly_and_a_foreign_model_is_refused() -> None:
    triples = numbered(4, 1, train=[[0, 0, n] for n in range(4)], test=[[1, 0, n] for n in range(4)])
    model = DistMult(4, 1, 2)
    assert rank(model, triples, limit=2).triples.tolist() == [[1, 0, 0], [1, 0, 3]]
    with pytest.raises(InputError, match="the model knows 5 entities and 1 relations, the triples have 4 and 1"):
        rank(DistMult(5, 1, 2), triples)
