"""NBFNet as an embedding model: no edge answers its own question, and what it learns holds for other entities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kg.embeddings import optimizers
from kg.embeddings.path_model import PathModel, PathNegatives, carried_over
from kg.embeddings.ranking import rank
from kg.embeddings.runs import train
from kg.embeddings.settings import EmbeddingSettings
from kg.embeddings.training import fit
from kg.embeddings.triples import Triples, number
from kg.errors import InputError


def ring(size: int, name: str) -> Triples:
    """Entities in a ring, "one" step to the next, "two" to the one after it; every fourth "two" is to be found."""
    ones = [(f"{name}{n}", "one", f"{name}{(n + 1) % size}") for n in range(size)]
    twos = [(f"{name}{n}", "two", f"{name}{(n + 2) % size}") for n in range(size)]
    held_out = twos[::4]
    rest = [row for row in twos if row not in held_out]
    return number({"train": ones + rest, "test": held_out})


def few() -> PathModel:
    """The edges 0 -0→ 1, 1 -1→ 2, 0 -1→ 1 of three entities."""
    return PathModel(3, 2, 4, np.array([[0, 0, 1], [1, 1, 2], [0, 1, 1]]), layers=2)


@pytest.mark.parametrize(
    ("one_hop", "left"), [(False, [(0, 1, 1), (1, 1, 2), (1, 3, 0), (2, 3, 1)]), (True, [(1, 1, 2), (2, 3, 1)])]
)
def test_the_edge_asked_for_is_left_out_in_both_directions(one_hop: bool, left: list[tuple[int, int, int]]) -> None:
    model = (
        few()
        if not one_hop
        else PathModel(3, 2, 4, np.array([[0, 0, 1], [1, 1, 2], [0, 1, 1]]), layers=2, remove_one_hop=True)
    )
    for asked in ([0, 0, 1], [1, 2, 0]):  # as it is, and turned round
        kept = model.without(*torch.tensor([asked]).T).bool()
        columns = (model.plan.source, model.plan.relation, model.plan.target)
        assert sorted(zip(*(column[kept].tolist() for column in columns))) == left


def test_an_edge_left_out_is_as_if_it_had_never_been() -> None:
    model = few()
    without = model.on(np.array([[1, 1, 2], [0, 1, 1]]), 3)
    query = torch.tensor([0, 2]), torch.tensor([0, 3])
    kept = model.without(*torch.tensor([[0, 0, 1]]).T)
    for aggregate in ("sum", "mean"):
        for layer in model.net.layers:
            layer.aggregate = aggregate  # type: ignore[assignment]
        torch.testing.assert_close(model.score_tails(*query, kept=kept), without.score_tails(*query))
    assert not torch.allclose(model.score_tails(*query), without.score_tails(*query))


def test_no_negative_is_a_known_answer() -> None:
    rows = np.array([[0, 0, tail] for tail in range(6)])  # of 8 entities, 6 and 7 are no tail of (0, 0)
    objective = PathNegatives(PathModel(8, 1, 4, rows, layers=1), rows, count=50)
    drawn = objective.drawn(np.array([[0, 0], [3, 1]]), np.random.default_rng(0))
    assert drawn.shape == (2, 50)
    assert np.isin(drawn[0], [0, 1, 2, 3, 4, 5]).mean() < 0.2  # 0.75 if drawn once
    assert 0 not in drawn[1] and set(drawn[1].tolist()) == {1, 2, 3, 4, 5, 6, 7}


def test_what_was_learnt_on_one_graph_ranks_entities_of_another(tmp_path: Path) -> None:
    trained_on, other = ring(16, "a"), ring(40, "b")
    model = PathModel(16, 2, 8, trained_on["train"], layers=2, seed=1)
    objective = PathNegatives(model, trained_on["train"], count=8)
    elsewhere, triples = carried_over(model, trained_on, other)
    before = rank(elsewhere, triples).realistic
    fit(model, trained_on, objective, optimizers.make("adam", model, 0.02), epochs=30, batch=7, folder=tmp_path)
    assert not set(other.entities) & set(trained_on.entities)
    after = rank(elsewhere, triples).realistic  # the weights are shared
    assert float((1 / after).mean()) == 1.0 and float((1 / before).mean()) < 0.6


def test_relations_of_another_graph_are_found_by_name() -> None:
    trained_on = ring(6, "a")
    other = number({"train": [("x", "two", "y"), ("y", "one", "z")]})
    model = PathModel(6, 2, 4, trained_on["train"], layers=1)
    elsewhere, triples = carried_over(model, trained_on, other)
    assert trained_on.relations == ["one", "two"] and triples["train"].tolist() == [[0, 1, 1], [1, 0, 2]]
    assert (elsewhere.num_entities, model.num_entities) == (3, 6)
    with pytest.raises(InputError, match="1 relations of the other graph are not in training, such as 'three'"):
        carried_over(model, trained_on, number({"train": [("x", "three", "y")]}))


def settings(folder: Path, **objective: Any) -> EmbeddingSettings:
    return EmbeddingSettings.model_validate(
        {
            "data": {"folder": str(folder)},
            "model": {"name": "nbfnet", "dimension": 8, "layers": 2, "dependent": False},
            "training": {"objective": objective, "epochs": 30, "batch": 8, "learning_rate": 0.02, "optimizer": "adam"},
            "evaluation": {"every": 10},
            "run": str(folder / "run"),
        }
    )


def test_a_run_learns_the_ring(tmp_path: Path) -> None:
    found = ring(16, "a")
    for split, rows in {"train": found["train"], "valid": found["test"]}.items():
        names = [(found.entities[h], found.relations[r], found.entities[t]) for h, r, t in rows.tolist()]
        (tmp_path / f"{split}.tsv").write_text("".join("\t".join(row) + "\n" for row in names), encoding="utf-8")
    result = train(settings(tmp_path, kind="negatives", count=8, adversarial=1.0))
    assert result["valid"]["mrr"] > 0.95
    with pytest.raises(InputError, match="nbfnet trains by negatives"):
        train(settings(tmp_path, kind="1-vs-all"))
    with pytest.raises(InputError, match=r"set training\.objective\.shared to false"):
        train(settings(tmp_path, kind="negatives", shared=True))
