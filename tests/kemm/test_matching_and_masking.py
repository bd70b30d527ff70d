"""Matching and masked objectives: what is paired, what is hidden, and that nothing of it can be seen."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from kemm.data.batch import Batch
from kemm.fuse.model import Encoded
from kemm.objectives.masked import MaskedEntity, MaskedLanguage
from kemm.objectives.matching import ImageTextMatching
from tests.kemm import tiny_batch


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def objective(name: str) -> Any:
    return tiny_batch.task([name]).objectives[name]


# ── matching ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_wrong_partner_is_never_of_the_same_entity_and_is_likelier_when_alike() -> None:
    itm: ImageTextMatching = objective("itm")
    pooled = torch.tensor([[1.0, 0.0], [0.99, 0.1], [0.0, 1.0], [1.0, 0.0]])
    entity = torch.tensor([0, 1, 2, 0])  # the first and the last are one entity
    drawn = torch.stack([itm.draw(pooled, entity, generator(seed)) for seed in range(200)])
    assert not (entity[drawn] == entity).any()
    assert (drawn[:, 0] == 1).float().mean() > 0.95  # odds e^(0.995/0.1) to 1 against row 2
    assert set(drawn[:, 2].tolist()) <= {0, 1, 3}


def test_pictures_of_one_entity_alone_are_all_matches() -> None:
    task, batch = tiny_batch.task(["itm"]), tiny_batch.batch()
    assert batch.pairs is not None
    same = replace(batch, pairs=replace(batch.pairs, entity=torch.zeros(4, dtype=torch.long)))
    encoded = Encoded(task.model, same, generator())
    itm = task.objectives["itm"]
    assert isinstance(itm, ImageTextMatching)
    matched = itm.head(encoded.fused["language"][:, 0])
    expected = -matched.log_softmax(1)[:, 1].mean()
    torch.testing.assert_close(itm(encoded), expected)


def test_every_pair_is_shown_matched_with_a_wrong_picture_and_with_a_wrong_caption() -> None:
    task, batch = tiny_batch.task(["itm"]), tiny_batch.batch()
    calls = tiny_batch.count_fusions(task.model)
    task.objectives["itm"](Encoded(task.model, batch, generator()))
    assert [len(arguments[1]) for arguments in calls] == [4, 8]  # matched; 4 and 4


# ── masking ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rate", "patches", "hidden"), [(0.4, 16, 6), (0.5, 4, 2), (0.05, 4, 1), (0.9, 4, 4), (0.0, 4, 0)]
)
def test_the_exact_share_of_every_picture_is_hidden_and_at_least_one_patch(
    rate: float, patches: int, hidden: int
) -> None:
    batch = tiny_batch.batch()
    assert batch.pairs is not None
    wide = replace(batch, pairs=replace(batch.pairs, patches=torch.randn(4, patches, 6)))
    encoded = Encoded(tiny_batch.task(["mim"]).model, wide, generator(), patch_rate=rate)
    assert encoded.masked_patches.sum(1).tolist() == [hidden] * 4
    if 0 < hidden < patches:
        assert len({tuple(row) for row in encoded.masked_patches.tolist()}) > 1  # not the same ones everywhere


def test_a_hidden_patch_tells_nothing_of_itself() -> None:
    model, batch = tiny_batch.task(["mim"]).model.eval(), tiny_batch.batch()
    assert batch.pairs is not None
    encoded = Encoded(model, batch, generator(), patch_rate=0.5)
    other = torch.where(encoded.masked_patches[..., None], 7.0, batch.pairs.patches)
    again = Encoded(model, replace(batch, pairs=replace(batch.pairs, patches=other)), generator(), patch_rate=0.5)
    assert torch.equal(encoded.masked_patches, again.masked_patches)
    assert torch.equal(encoded.masked["vision"], again.masked["vision"])


def test_words_are_predicted_where_they_are_hidden_and_nowhere_else() -> None:
    task, batch = tiny_batch.task(["mlm"]), tiny_batch.batch()
    mlm, pairs = task.objectives["mlm"], batch.pairs
    assert isinstance(mlm, MaskedLanguage) and pairs is not None
    encoded = Encoded(task.model, batch, generator())
    logits = mlm.transform(encoded.masked["language"][:, 1:]) @ mlm.table.T + mlm.bias  # (B, T, V)
    chosen = [(0, 1, 4), (0, 3, 7), (1, 2, 5), (2, 1, 6), (3, 1, 6)]
    expected = -sum(logits[row, place].log_softmax(0)[word] for row, place, word in chosen) / 5
    torch.testing.assert_close(mlm(encoded), expected)


def test_a_batch_without_a_hidden_word_costs_nothing() -> None:
    task, batch = tiny_batch.task(["mlm"]), tiny_batch.batch()
    assert batch.pairs is not None
    none = replace(batch.pairs, token_targets=torch.full((4, tiny_batch.TOKENS), -100))
    loss = task.objectives["mlm"](Encoded(task.model, replace(batch, pairs=none), generator()))
    assert loss.item() == 0.0
    loss.backward()


def test_the_towers_word_table_is_neither_trained_nor_saved() -> None:
    mlm = objective("mlm")
    assert not mlm.table.requires_grad and "table" not in mlm.state_dict()
    assert torch.equal(mlm.table, tiny_batch.context().token_embeddings)


def test_what_anchors_and_answers_rest_on_is_never_hidden() -> None:
    batch = tiny_batch.batch()
    ever = torch.zeros(19, dtype=torch.bool)
    for seed in range(50):
        hidden = Encoded(tiny_batch.task(["mem"]).model, batch, generator(seed), node_rate=0.9).masked_nodes
        assert hidden is not None
        ever |= hidden
    # anchors are 0, 4, 10 and 15; answers lead 0→2, 5→8 (two hops: through 5), 15→16 and 15→17
    assert sorted(set(range(19)) - set(ever.nonzero().flatten().tolist())) == [0, 2, 4, 5, 8, 10, 15, 16, 17]


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_no_node_is_hidden_unless_asked_for(rate: float) -> None:
    batch = tiny_batch.batch()
    encoded = Encoded(tiny_batch.task(["mem"]).model, batch, generator(), node_rate=rate)
    assert (encoded.masked_nodes is None) == (rate == 0.0)
    assert Encoded(encoded.model, Batch(), generator(), node_rate=rate).masked_nodes is None


def test_a_hidden_entity_tells_nothing_of_its_name() -> None:
    model, batch = tiny_batch.task(["mem"]).model.eval(), tiny_batch.batch()
    encoded = Encoded(model, batch, generator(), node_rate=0.5)
    assert batch.questions is not None and batch.questions.facts is not None
    facts = batch.questions.facts
    assert encoded.masked_nodes is not None
    other = torch.where(encoded.masked_nodes[:, None], -facts.node_vectors, facts.node_vectors)
    changed = replace(batch, questions=replace(batch.questions, facts=replace(facts, node_vectors=other)))
    again = Encoded(model, changed, generator(), node_rate=0.5)
    assert torch.equal(encoded.asked["knowledge"], again.asked["knowledge"])


def test_hidden_entities_of_one_name_are_both_right() -> None:
    task, batch = tiny_batch.task(["mem"]), tiny_batch.batch()
    mem = task.objectives["mem"]
    assert isinstance(mem, MaskedEntity) and batch.questions is not None and batch.questions.facts is not None
    facts = batch.questions.facts
    everyone = facts.node_vectors[:1].expand(19, -1)  # all nodes have one name: every guess is right
    same = replace(batch, questions=replace(batch.questions, facts=replace(facts, node_vectors=everyone)))
    loss = mem(Encoded(task.model, same, generator(), node_rate=0.5))
    assert loss.item() == pytest.approx(math.log(19), abs=1e-4)
