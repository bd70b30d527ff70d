"""The bi-encoder of texts: its contrast by hand, what a step sees, one score whichever way it is asked for."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from kg.embeddings import bi_encoder, optimizers
from kg.embeddings.bi_encoder import BiEncoder
from kg.embeddings.entity_texts import file_texts
from kg.embeddings.info_nce import InfoNCE, clusters, info_nce
from kg.embeddings.objectives import with_reciprocals
from kg.embeddings.ranking import rank
from kg.embeddings.training import fit
from kg.embeddings.triples import Triples, number
from kg.errors import InputError
from tests.kg.embeddings import tiny_bert


@pytest.fixture
def ring(tmp_path: Path) -> Triples:
    """Twelve entities in a ring, one and two steps on, each with a text of its own."""
    near = [(f"e{n}", "one", f"e{(n + 1) % 12}") for n in range(12)]
    far = [(f"e{n}", "two", f"e{(n + 2) % 12}") for n in range(12)]
    tiny_bert.write(tmp_path / "bert")
    lines = [f"e{n}\tw{n} w{n + 20} w{n % 3 + 14}\n" for n in range(12)]
    (tmp_path / "entity2text.tsv").write_text("".join(lines), encoding="utf-8")
    return number({"train": near + far[:8], "valid": far[8:10], "test": far[10:]})


def make(ring: Triples, folder: Path, trained_layers: int = 2) -> BiEncoder:
    return bi_encoder.read(
        file_texts(folder, ring.entities),
        ring,
        encoder=str(folder / "bert"),
        max_tokens=8,
        trained_layers=trained_layers,
        cache=folder / "cache",
        precision="float32",
        hidden=16,
    )


# -- the contrast ------------------------------------------------------------------------------------------------------

KEYS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.6, 0.8]])
QUERY = torch.tensor([[1.0, 0.0]])


def loss(masked: list[list[int]], is_self_right: bool, keys: torch.Tensor = KEYS) -> torch.Tensor:
    head = torch.tensor([[0.8, 0.6]])
    which, targets, pairs = torch.tensor([0]), torch.tensor([0]), torch.tensor(masked)
    own = torch.tensor([is_self_right])
    return info_nce(
        QUERY, keys, head, which, targets, masked=pairs, is_self_right=own, scale=torch.tensor(2.0), margin=0.1
    )


def test_the_loss_by_hand() -> None:
    # γ = 2: the right one scores 2 (1 − 0.1) = 1.8; others 0, −2 and 1.2; the head itself 2 · 0.8 = 1.6.
    others = math.exp(0) + math.exp(-2) + math.exp(1.2) + math.exp(1.6)
    assert float(loss([[0, 0]], False)) == pytest.approx(-math.log(math.exp(1.8) / (math.exp(1.8) + others)))


def test_a_known_answer_and_a_head_that_is_right_are_no_negatives() -> None:
    others = math.exp(0) + math.exp(-2)
    keys = KEYS.clone().requires_grad_()
    found = loss([[0, 0], [0, 3]], True, keys)
    assert float(found.detach()) == pytest.approx(-math.log(math.exp(1.8) / (math.exp(1.8) + others)))
    found.backward()  # type: ignore[no-untyped-call]
    assert keys.grad is not None and keys.grad[3].abs().sum() == 0 and keys.grad[1].abs().sum() > 0


def test_a_step_asks_all_that_training_says_of_its_entities_and_nothing_else(ring: Triples, tmp_path: Path) -> None:
    objective = InfoNCE(make(ring, tmp_path), ring["train"], negatives=4, queries=100, cluster=2)
    live = np.array([0, 5])
    asked = {tuple(row) for row in objective._asked(live, np.random.default_rng(0)).tolist()}
    both = with_reciprocals(ring["train"], 2).tolist()
    assert asked == {tuple(row) for row in both if row[0] in live or row[2] in live}
    objective.queries = 3
    drawn = {tuple(row) for row in objective._asked(live, np.random.default_rng(0)).tolist()}
    assert len(drawn) == 3 and drawn < asked


def test_every_known_tail_of_training_and_the_head_are_masked(ring: Triples, tmp_path: Path) -> None:
    """With all entities live, the loss is that of scoring each against all that are not known to be right."""
    model = make(ring, tmp_path).eval()
    objective = InfoNCE(model, ring["train"], negatives=1, queries=1000, margin=0.0, cluster=12)
    found = objective(torch.from_numpy(objective.rows()), np.random.default_rng(0))
    assert len(objective.rows()) == 1
    train = {tuple(row) for row in with_reciprocals(ring["train"], 2).tolist()}
    expected = []
    for h, r, t in train:
        scores = model.score_tails(torch.tensor([h]), torch.tensor([r]))[0]
        wrong = [e for e in range(12) if (h, r, e) not in train]
        expected.append(float((torch.logsumexp(scores[[t, *wrong]], 0) - scores[t]).detach()))
    assert float(found.detach()) == pytest.approx(np.mean(expected), rel=1e-4)


def test_a_step_remembers_the_vectors_it_made_and_those_alone(ring: Triples, tmp_path: Path) -> None:
    model = make(ring, tmp_path)
    objective = InfoNCE(model, ring["train"], negatives=4, cluster=2)
    objective(torch.from_numpy(objective.rows()[:1]), np.random.default_rng(0))
    model.refresh()
    before = model.vectors.clone()
    model.train()
    objective(torch.from_numpy(objective.rows()[:2]), np.random.default_rng(0))  # dropout: other vectors
    changed = (model.vectors != before).any(dim=1).nonzero()[:, 0].tolist()
    assert changed == sorted(objective._order[:4].tolist()) and not model.is_fresh


def test_clusters_hold_every_entity_once_and_neighbours_together() -> None:
    pairs = np.array([[n, 0, n + 1] for n in range(40) if n % 4 != 3])  # ten chains of four
    order = clusters(with_reciprocals(pairs, 1), 40, 4, np.random.default_rng(0))
    assert sorted(order.tolist()) == list(range(40))
    assert all(len({n // 4 for n in order[start : start + 4].tolist()}) == 1 for start in range(0, 40, 4))


# -- the model ---------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_triple_scores_the_same_among_all_among_some_and_alone(ring: Triples, tmp_path: Path) -> None:
    model = make(ring, tmp_path).eval()
    model.matrices.copy_(model.normal(*model.matrices.shape, std=0.1))  # type: ignore[union-attr]
    h, r, t = torch.tensor([0, 1, 2]), torch.tensor([0, 1, 0]), torch.tensor([4, 1, 7])
    alone = model.score(h, r, t)
    torch.testing.assert_close(model.score_tails(h, r)[[0, 1, 2], t], alone)
    torch.testing.assert_close(model.score_tails(h, r, t)[[0, 1, 2], [0, 1, 2]], alone)
    torch.testing.assert_close(model.score_tails(h, r, torch.stack([h, t], 1))[:, 1], alone)
    x, number = model.refresh()[0], model.scale
    asked = x + model.relations[0] + x @ model.matrices[0]  # type: ignore[index]
    inner = torch.cat([x, model.relations[0] / model.relations[0].norm()]) * 8**0.5 @ model.inner.T  # type: ignore[union-attr]
    asked = asked + torch.nn.functional.gelu(inner + model.inner_bias) @ model.outer.T  # type: ignore[union-attr, operator]
    torch.testing.assert_close(alone[0], number * (asked / asked.norm()) @ model.refresh()[4])
    assert float(model.refresh().norm(dim=1).sub(1).abs().max()) < 1e-5


def test_vectors_are_made_anew_after_the_weights_have_changed_and_only_then(ring: Triples, tmp_path: Path) -> None:
    model = make(ring, tmp_path).eval()
    before = model.refresh().clone()
    with torch.no_grad():
        model.upper[0].wide.weight.mul_(2)  # type: ignore[union-attr, operator]
    assert torch.equal(model.refresh(), before)
    model.forget()
    assert not torch.allclose(model.refresh(), before)


def test_an_entity_that_training_never_saw_has_a_vector_of_its_text(ring: Triples, tmp_path: Path) -> None:
    unseen = number({"train": [("e0", "one", "e1"), ("e1", "one", "e2")], "test": [("e2", "one", "e9")]})
    model, whole = make(unseen, tmp_path), make(ring, tmp_path)
    torch.testing.assert_close(model.refresh()[3], whole.refresh()[9], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("trained_layers", [0, 2])
def test_training_learns_the_ring_and_goes_on_after_ctrl_c(ring: Triples, tmp_path: Path, trained_layers: int) -> None:
    def run(folder: Path, stop: int) -> tuple[BiEncoder, list[float]]:
        model = make(ring, tmp_path, trained_layers)

        class Stopped(InfoNCE):
            calls = 0

            def __call__(self, rows: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
                self.calls += 1
                if self.calls == stop:
                    os.kill(os.getpid(), signal.SIGINT)
                return super().__call__(rows, generator)

        objective = Stopped(model, ring["train"], negatives=12, cluster=2)
        optimizer = optimizers.make("adam", model, 1e-2)
        found = fit(model, ring, objective, optimizer, epochs=12, batch=6, folder=folder, every=6, decay=0.95)
        return model, found.losses

    whole, losses = run(tmp_path / "whole", 0)
    assert losses[-1] < 0.9 * losses[0]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", 10)
    parts, again = run(tmp_path / "parts", 0)
    assert again == losses
    assert all(torch.equal(one, two) for one, two in zip(whole.state_dict().values(), parts.state_dict().values()))
    assert np.array_equal(rank(whole, ring).realistic, rank(parts, ring).realistic)


def test_the_encoders_layers_learn_at_a_rate_of_their_own(ring: Triples, tmp_path: Path) -> None:
    model = make(ring, tmp_path)
    rest, upper = optimizers.make("adam", model, 1e-2).param_groups
    assert (rest["lr"], upper["lr"]) == (1e-2, pytest.approx(1e-3))
    counted = sum(value.numel() for group in (rest, upper) for value in group["params"])
    assert counted == sum(value.numel() for value in model.parameters())
    with pytest.raises(InputError, match="has 3 layers, 4 are to be trained"):
        make(ring, tmp_path, 4)
