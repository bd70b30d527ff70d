"""Training: what a step computes, that it learns, goes on where it stopped, and refuses what does not belong."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from kg.embeddings import checkpoint, optimizers
from kg.embeddings.bilinear import ComplEx, DistMult
from kg.embeddings.model import KGEModel
from kg.embeddings.negatives import NegativeSampling
from kg.embeddings.objectives import ManyVsAll, Objective, OneVsAll, penalty
from kg.embeddings.ranking import rank
from kg.embeddings.softmax import cross_entropy_of_products
from kg.embeddings.training import History, fit
from kg.embeddings.translational import TransE
from kg.embeddings.triples import Triples, number
from kg.errors import InputError


@pytest.fixture
def ring() -> Triples:
    """Twelve entities in a ring, one and two steps on; a third of the second relation's triples is held out."""
    near = [(f"e{n}", "one", f"e{(n + 1) % 12}") for n in range(12)]
    far = [(f"e{n}", "two", f"e{(n + 2) % 12}") for n in range(12)]
    return number({"train": near + far[:8], "valid": far[8:10], "test": far[10:]})


def slopes(loss: torch.Tensor, model: KGEModel) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


@pytest.mark.parametrize("reciprocal", [False, True])
@pytest.mark.parametrize("group", [1, 3, 100])
def test_answers_scored_together_give_the_loss_and_slopes_of_scoring_each_alone(
    ring: Triples, reciprocal: bool, group: int
) -> None:
    model = ComplEx(12, 2, 3, reciprocal=reciprocal, initial=0.5)
    rows = torch.tensor([[0, 0, 1], [0, 0, 2], [0, 0, 5], [1, 1, 2], [3, 1, 2], [2, 0, 2]])
    objective = OneVsAll(model, rows.numpy(), group=group, weight=0.1, relation_prediction=0.5)
    found = objective(torch.from_numpy(objective.rows()), np.random.default_rng(0))
    h, r, t = rows.T
    parts = []
    for heads, relations, tails, turned in ((h, r, t, False), (t, r, h, True)):
        asked = model.turned(relations) if turned and reciprocal else relations
        scores = model.score_heads(relations, heads) if turned else model.score_tails(heads, relations)
        parts.append(cross_entropy(scores, tails))
        ends = model.entity(heads), model.entity(tails)
        first, second = ends[::-1] if turned and not reciprocal else ends
        query = model.relation_query(first, second)
        parts.append(0.5 * cross_entropy(query @ model.relations.T, asked))
        parts.append(0.1 * penalty(model.factors(first, model.relation(asked), second), "n3", [None] * 3) / len(rows))
    expected = torch.stack(parts).sum() / 2
    torch.testing.assert_close(found, expected)
    for one, two in zip(slopes(found, model), slopes(expected, model)):
        torch.testing.assert_close(one, two)


def test_products_in_bfloat16_are_near_those_in_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    query, keys = (torch.randn(n, 16, generator=generator).requires_grad_() for n in (9, 50))
    which, answers = torch.arange(9), torch.randint(50, (9,), generator=generator)
    exact, near = (
        cross_entropy_of_products(query, keys, which, answers, precision=p) for p in (torch.float32, torch.bfloat16)
    )
    assert near.item() == pytest.approx(exact.item(), rel=0.02)
    for one, two in zip(torch.autograd.grad(exact, (query, keys)), torch.autograd.grad(near, (query, keys))):
        assert float((one - two).norm() / one.norm()) < 0.02


def test_k_vs_all_is_binary_cross_entropy_with_every_known_answer(ring: Triples) -> None:
    model = ComplEx(12, 2, 3, reciprocal=True, initial=0.5)
    train = np.array([[0, 0, 1], [0, 0, 2], [3, 1, 2]])
    objective = ManyVsAll(model, train, label_smoothing=0.1)
    found = objective(torch.from_numpy(objective.rows()), np.random.default_rng(0))
    labels = torch.full((5, 12), 0.1 / 12)
    for query, answers in enumerate(
        [[1, 2], [2], [0], [0], [3]]
    ):  # (0, 0, ?), (3, 1, ?), (?, 0, 1), (?, 0, 2), (?, 1, 2)
        labels[query, answers] += 0.9
    scores = torch.cat(
        [
            model.score_tails(torch.tensor([0, 3]), torch.tensor([0, 1])),
            model.score_heads(torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2])),
        ]
    )
    torch.testing.assert_close(found, binary_cross_entropy_with_logits(scores, labels))


def test_losses_of_negatives_by_hand() -> None:
    right, wrong = torch.tensor([2.0]), torch.tensor([[1.0, 3.0]])

    def loss(**options: Any) -> float:
        return float(NegativeSampling(DistMult(3, 1, 2), np.zeros((1, 3)), count=2, **options).compare(right, wrong))

    def log_sigmoid(x: float) -> float:
        return -float(np.log1p(np.exp(-x)))

    even = -(log_sigmoid(2) + (log_sigmoid(-1) + log_sigmoid(-3)) / 2) / 2
    assert loss() == pytest.approx(even)
    p = np.exp(3) / (np.exp(1) + np.exp(3))
    hard = -(log_sigmoid(1 + 2) + (1 - p) * log_sigmoid(-1 - 1) + p * log_sigmoid(-1 - 3)) / 2
    assert loss(margin=1.0, adversarial=1.0) == pytest.approx(hard)
    assert loss(loss="softmax") == pytest.approx(-2 + np.log(np.exp(1) + np.exp(2) + np.exp(3)))
    assert loss(loss="margin", margin=1.5) == pytest.approx((0.5 + 2.5) / 2)


@pytest.mark.parametrize("name", ["adagrad", "adam"])
@pytest.mark.parametrize("sparse", [False, True])
def test_row_optimizers_do_what_torchs_do(name: str, sparse: bool) -> None:
    start = torch.arange(12.0).view(6, 2)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    mine = optimizers.RowOptimizer([ours], name, 0.1)
    kinds: dict[str, Any] = {
        "adagrad": torch.optim.Adagrad,
        "adam": torch.optim.SparseAdam if sparse else torch.optim.Adam,
    }
    other = kinds[name]([theirs], lr=0.1)
    for step in range(3):
        rows = torch.tensor([4, 1, 4, step])  # one row twice
        values = torch.arange(8.0).view(4, 2) - step
        gradient = torch.sparse_coo_tensor(rows[None], values, (6, 2))
        ours.grad = gradient if sparse else gradient.to_dense()
        theirs.grad = gradient.coalesce() if sparse else gradient.to_dense()
        mine.step()
        other.step()
    torch.testing.assert_close(ours, theirs)


def make(triples: Triples, kind: str, seed: int = 0) -> tuple[KGEModel, Objective, torch.optim.Optimizer]:
    entities, relations = triples.num_entities, triples.num_relations
    if kind == "negatives":
        model: KGEModel = TransE(entities, relations, 16, seed=seed, dropout=0.1)
        objective: Objective = NegativeSampling(model, triples["train"], count=6, loss="softmax")
    else:
        model = ComplEx(entities, relations, 8, reciprocal=True, initial=0.1, dropout=0.1, seed=seed)
        objective = (
            OneVsAll(model, triples["train"], weight=1e-3) if kind == "1-vs-all" else ManyVsAll(model, triples["train"])
        )
    return model, objective, optimizers.make("adam", model, 0.05, sparse=kind == "negatives")


@pytest.mark.parametrize("kind", ["1-vs-all", "k-vs-all", "negatives"])
def test_training_learns_a_ring_and_goes_on_as_if_it_had_not_stopped(ring: Triples, kind: str, tmp_path: Path) -> None:
    model, objective, optimizer = make(ring, kind)
    options: dict[str, Any] = {"batch": 8, "every": 20, "decay": 0.99}
    history = fit(model, ring, objective, optimizer, epochs=40, folder=tmp_path / "whole", **options)
    assert history.losses[-1] < 0.7 * history.losses[0]
    for until in (20, 40):
        again, objective, optimizer = make(ring, kind)
        second = fit(again, ring, objective, optimizer, epochs=until, folder=tmp_path / "parts", **options)
    assert second.losses == history.losses and second.validations == history.validations
    for one, two in zip(model.state_dict().values(), again.state_dict().values()):
        assert torch.equal(one, two)


def test_ctrl_c_ends_after_a_step_and_the_rest_is_as_if_it_had_not(ring: Triples, tmp_path: Path) -> None:
    model, objective, optimizer = make(ring, "1-vs-all")
    fit(model, ring, objective, optimizer, epochs=4, batch=8, folder=tmp_path / "whole", every=2)

    class Interrupted(OneVsAll):
        calls = 0

        def __call__(self, rows: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
            self.calls += 1
            if self.calls == 8:  # in the middle of the second epoch of five steps
                os.kill(os.getpid(), signal.SIGINT)
            return super().__call__(rows, generator)

    again, _, optimizer = make(ring, "1-vs-all")
    usual = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        stopped = Interrupted(again, ring["train"], weight=1e-3)
        fit(again, ring, stopped, optimizer, epochs=4, batch=8, folder=tmp_path / "parts", every=2)
    assert signal.getsignal(signal.SIGINT) is usual
    about = checkpoint.read_about(tmp_path / "parts" / "last")
    assert about is not None and (about["history"]["epoch"], about["history"]["step"]) == (1, 3)
    again, objective, optimizer = make(ring, "1-vs-all")
    fit(again, ring, objective, optimizer, epochs=4, batch=8, folder=tmp_path / "parts", every=2)
    for one, two in zip(model.state_dict().values(), again.state_dict().values()):
        assert torch.equal(one, two)


def test_training_stops_when_validation_no_longer_gets_better(ring: Triples, tmp_path: Path) -> None:
    model, objective, optimizer = make(ring, "1-vs-all")
    for group in optimizer.param_groups:
        group["lr"] = 0.0  # nothing changes, so nothing gets better
    history = fit(model, ring, objective, optimizer, epochs=50, batch=8, folder=tmp_path, every=1, patience=3)
    assert history.epoch == 4 and history.best["epoch"] == 1


@pytest.mark.parametrize("kind", ["1-vs-all", "k-vs-all", "negatives"])
def test_a_relation_with_one_triple_loops_and_duplicates_train_and_rank(kind: str, tmp_path: Path) -> None:
    facts = [("a", "one", "b"), ("b", "two", "b"), ("b", "two", "b"), ("a", "two", "c")]
    triples = number({"train": facts, "valid": [], "test": [("b", "one", "c"), ("c", "two", "c")]})
    model, objective, optimizer = make(triples, kind)
    history = fit(model, triples, objective, optimizer, epochs=3, batch=2, folder=tmp_path, every=1)
    assert np.isfinite(history.losses).all() and history.validations == []  # an empty split is not looked at
    ranks = rank(model, triples)
    assert ((ranks.realistic >= 1) & (ranks.realistic <= ranks.candidates)).all() and ranks.num_nan == 0
    with pytest.raises(InputError, match="the split 'valid' is empty"):
        rank(model, triples, "valid")


def test_training_that_runs_away_stops_and_says_so(ring: Triples, tmp_path: Path) -> None:
    model, objective, optimizer = make(ring, "1-vs-all")
    for group in optimizer.param_groups:
        group["lr"] = 1e30
    with pytest.raises(InputError, match=r"the loss is (nan|inf) in epoch 1, step 2: lower training.learning_rate"):
        fit(model, ring, objective, optimizer, epochs=4, batch=8, folder=tmp_path)


def test_a_checkpoint_of_another_vocabulary_or_shape_is_refused(ring: Triples, tmp_path: Path) -> None:
    model, objective, optimizer = make(ring, "1-vs-all")
    fit(model, ring, objective, optimizer, epochs=1, batch=8, folder=tmp_path)
    other = number({"train": [(h.replace("e", "x"), "one", "x0") for h in ring.entities] + [("x0", "two", "x1")]})
    with pytest.raises(InputError, match="the checkpoint is of another vocabulary"):
        fit(model, other, objective, optimizer, epochs=2, batch=8, folder=tmp_path)
    with pytest.raises(InputError, match=r"entities is \(12, 16\) there and \(12, 6\) by the settings"):
        checkpoint.load_model(tmp_path / "best", ComplEx(12, 2, 3, reciprocal=True), ring.fingerprint())
    (tmp_path / "best" / "model.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="not a readable safetensors file"):
        checkpoint.load_model(tmp_path / "best", model, ring.fingerprint())


def test_history_names_the_best_validation() -> None:
    history = History(validations=[{"epoch": 1, "mrr": 0.2}, {"epoch": 2, "mrr": 0.4}, {"epoch": 3, "mrr": 0.3}])
    assert history.best["epoch"] == 2 and history.since_best == 1 and History().best == {}
