"""Matching and masked objectives: what is paired, what is hidden, and that nothing of it can be seen."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from kemm.data.batch import Batch
from kemm.data.lexicon import Lexicon
from kemm.fuse.encoded import Encoded
from kemm.objectives.hiding import PatchHiding, Plan, WordHiding
from kemm.objectives.masked_entity import MaskedEntity
from kemm.objectives.masked_language import MaskedLanguage
from kemm.objectives.matching import Matching
from kemm.objectives.negatives import draw
from tests.kemm import tiny_batch
from tests.kemm.tiny_towers import START


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def objective(name: str) -> Any:
    return tiny_batch.task([name]).objectives[name]


# ── matching ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_wrong_partner_is_never_of_the_same_entity_and_is_likelier_when_alike() -> None:
    pooled = torch.tensor([[1.0, 0.0], [0.99, 0.1], [0.0, 1.0], [1.0, 0.0]])
    entity = torch.tensor([0, 1, 2, 0])  # the first and the last are one entity
    drawn = torch.stack([draw(pooled, entity, generator(seed)) for seed in range(200)])
    assert not (entity[drawn] == entity).any()
    assert (drawn[:, 0] == 1).float().mean() > 0.95  # odds e^(0.995/0.1) to 1 against row 2
    assert set(drawn[:, 2].tolist()) <= {0, 1, 3}


def with_entities(batch: Batch, entity: list[int]) -> Batch:
    assert batch.samples is not None
    return replace(batch, samples=replace(batch.samples, entity=torch.tensor(entity)))


def test_pictures_of_one_entity_alone_are_all_matches() -> None:
    task = tiny_batch.task(["itm"])
    encoded = task.encode(with_entities(tiny_batch.batch(), [0, 0, 0, 0]), generator())
    itm = task.objectives["itm"]
    assert isinstance(itm, Matching)
    matched = itm.judge(encoded.fused("vision", "language"))
    torch.testing.assert_close(itm(encoded), -matched.log_softmax(1)[:, 1].mean())


def test_what_is_not_known_to_be_the_same_is_another() -> None:
    drawn = draw(torch.randn(3, 4), torch.tensor([-1, -1, -1]), generator())
    assert (drawn >= 0).all() and (drawn != torch.arange(3)).all()


def test_every_pair_is_shown_matched_with_a_wrong_picture_and_with_a_wrong_caption() -> None:
    task = tiny_batch.task(["itm"])
    calls = tiny_batch.count_fusions(task.model)
    task.objectives["itm"](task.encode(tiny_batch.batch(), generator()))
    assert [len(call["tokens"]["language"]) for call in calls] == [4, 8]  # matched; 4 and 4


# ── masking ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rate", "grid", "hidden"), [(0.4, (4, 4), 6), (0.5, (2, 2), 2), (0.05, (2, 2), 1), (0.9, (2, 2), 4)]
)
def test_the_exact_share_of_every_picture_is_hidden_and_at_least_one_patch(
    rate: float, grid: tuple[int, int], hidden: int
) -> None:
    for how in ("single", "blocks"):
        drawn = PatchHiding(rate, how).draw(8, grid, generator())
        assert drawn.sum(1).tolist() == [hidden] * 8
        if 0 < hidden < grid[0] * grid[1] and how == "single":
            assert len({tuple(row) for row in drawn.tolist()}) > 1  # not the same ones everywhere


@pytest.mark.parametrize("drop", [False, True])
def test_a_hidden_patch_tells_nothing_of_itself(drop: bool) -> None:
    model, batch, how = tiny_batch.task(["mim"]).model.eval(), tiny_batch.batch(), PatchHiding(0.5, drop=drop)
    assert batch.samples is not None
    encoded = Encoded(model, batch, generator(), Plan(patches=(how,)))
    shown = batch.samples.parts["vision"]
    assert shown.states is not None
    hidden = encoded.hidden_patches(how)
    other = replace(shown, states=torch.where(hidden[..., None], 7.0, shown.states))
    parts = {**batch.samples.parts, "vision": other}
    changed = replace(batch, samples=replace(batch.samples, parts=parts))
    again = Encoded(model, changed, generator(), Plan(patches=(how,)))
    assert torch.equal(hidden, again.hidden_patches(how))
    assert torch.equal(encoded.masked(patches=how)["vision"], again.masked(patches=how)["vision"])
    assert not drop or not encoded.masked(patches=how)["vision"][hidden].any()  # not computed at all


def test_words_are_predicted_where_they_are_hidden_and_nowhere_else() -> None:
    task, batch = tiny_batch.task(["mlm"]), tiny_batch.batch()
    mlm = task.objectives["mlm"]
    assert isinstance(mlm, MaskedLanguage)
    encoded = task.encode(batch, generator())
    table = tiny_batch.context().towers["language"].token_embeddings
    states = encoded.masked(words=mlm.hides)["language"][:, 1:]
    logits = mlm.head.transform(states) @ table.T + mlm.head.bias  # (B, T, V)
    targets = encoded.hidden_words(mlm.hides).targets
    chosen = [(row, place, int(targets[row, place])) for row, place in (targets >= 0).nonzero().tolist()]
    assert len({row for row, _, _ in chosen}) == 4  # one word of each caption at least
    expected = -sum(logits[row, place].log_softmax(0)[word] for row, place, word in chosen) / len(chosen)
    torch.testing.assert_close(mlm(encoded), expected)


def test_a_text_without_a_word_to_hide_costs_nothing() -> None:
    task, batch = tiny_batch.task(["mlm"]), tiny_batch.batch()
    assert batch.samples is not None
    words = batch.samples.parts["language"]
    bare = replace(words, raw=torch.full_like(words.raw, START))
    none = replace(batch, samples=replace(batch.samples, parts={**batch.samples.parts, "language": bare}))
    loss = task.objectives["mlm"](task.encode(none, generator()))
    assert loss.item() == 0.0
    loss.backward()


LEXICON = Lexicon(1, torch.arange(20) < 4, torch.arange(20) >= 15)  # 15 … 19 go on the word before them


def test_a_quarter_of_the_words_is_hidden_and_never_an_end_or_padding() -> None:
    ids = torch.randint(4, 15, (300, 14))
    ids[:, 0], ids[:, 13] = START, 0
    real = ids != 0
    read, targets = WordHiding(0.25).draw(ids, real, torch.zeros(300, dtype=torch.bool), LEXICON, generator())
    hidden = targets >= 0
    assert hidden.sum(1).tolist() == [3] * 300  # a quarter of twelve
    assert torch.equal(targets[hidden], ids[hidden]) and (read[hidden] == 1).all()
    assert torch.equal(read[~hidden], ids[~hidden]) and not hidden[:, [0, 13]].any()


def test_texts_alone_have_their_own_share_and_pieces_of_a_word_go_together() -> None:
    ids = torch.tensor([[START, 5, 15, 16, 6, 7, 8]] * 40)  # four words, the first of three pieces
    alone = torch.arange(40) < 20
    how = WordHiding(0.5, rate_alone=0.25, units="word")
    hidden = how.draw(ids, torch.ones_like(ids, dtype=torch.bool), alone, LEXICON, generator()).targets >= 0
    words = hidden[:, [1, 4, 5, 6]]
    assert words[:20].sum(1).tolist() == [1] * 20 and words[20:].sum(1).tolist() == [2] * 20
    assert torch.equal(hidden[:, 1], hidden[:, 2]) and torch.equal(hidden[:, 2], hidden[:, 3])


@pytest.mark.parametrize("units", ["token", "word", "span"])
def test_of_the_hidden_eight_in_ten_are_masked_one_is_replaced_and_a_unit_shares_its_fate(units: Any) -> None:
    ids = torch.randint(4, 15, (800, 20))
    ids[:, 10] = 17  # goes on the word before it
    how = WordHiding(0.25, units=units, masked=0.8, replaced=0.1)
    nobody = torch.zeros(800, dtype=torch.bool)
    read, targets = how.draw(ids, torch.ones_like(ids, dtype=torch.bool), nobody, LEXICON, generator())
    hidden = targets >= 0
    assert torch.equal(read[~hidden], ids[~hidden])
    shares = [(read[hidden] == 1).float().mean(), (read[hidden] == ids[hidden]).float().mean()]
    assert shares[0].item() == pytest.approx(0.8, abs=0.03)
    assert shares[1].item() == pytest.approx(0.1 + 0.1 / 16, abs=0.03)  # a word drawn may be the same
    both = hidden[:, 9] & hidden[:, 10]
    assert torch.equal(hidden[:, 9], hidden[:, 10]) == (units != "token")
    alike = (read[both, 9] == 1) == (read[both, 10] == 1)
    assert bool(alike.all()) == (units != "token")
    neighbours = hidden[:, 1:] & hidden[:, :-1]
    assert neighbours.float().mean().item() > (0.12 if units == "span" else 0.0)


def test_the_towers_word_table_is_neither_trained_nor_saved() -> None:
    task = tiny_batch.task(["mlm"])
    table = task.model.inputs["language"].table
    assert not table.requires_grad and not [key for key in task.state_dict() if key.endswith("table")]
    assert torch.equal(table, tiny_batch.context().towers["language"].token_embeddings)


def test_what_anchors_and_answers_rest_on_is_never_hidden() -> None:
    batch = tiny_batch.batch()
    ever = torch.zeros(19, dtype=torch.bool)
    for seed in range(50):
        hidden = Encoded(tiny_batch.task(["mem"]).model, batch, generator(seed), plan=Plan(nodes=0.9)).masked_nodes
        assert hidden is not None
        ever |= hidden
    # anchors are 0, 4, 10 and 15; answers lead 0→2, 5→8 (two hops: through 5), 15→16 and 15→17
    assert sorted(set(range(19)) - set(ever.nonzero().flatten().tolist())) == [0, 2, 4, 5, 8, 10, 15, 16, 17]


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_no_node_is_hidden_unless_asked_for(rate: float) -> None:
    batch = tiny_batch.batch()
    encoded = Encoded(tiny_batch.task(["mem"]).model, batch, generator(), plan=Plan(nodes=rate))
    assert (encoded.masked_nodes is None) == (rate == 0.0)
    assert Encoded(encoded.model, Batch(), generator(), plan=Plan(nodes=rate)).masked_nodes is None


def test_a_hidden_entity_tells_nothing_of_its_name() -> None:
    model, batch = tiny_batch.task(["mem"]).model.eval(), tiny_batch.batch()
    encoded = Encoded(model, batch, generator(), plan=Plan(nodes=0.5))
    assert batch.questions is not None and batch.questions.facts is not None
    facts = batch.questions.facts
    assert encoded.masked_nodes is not None
    other = torch.where(encoded.masked_nodes[:, None], -facts.node_vectors, facts.node_vectors)
    changed = replace(batch, questions=batch.questions.with_facts(replace(facts, node_vectors=other)))
    again = Encoded(model, changed, generator(), plan=Plan(nodes=0.5))
    assert torch.equal(encoded.asked["knowledge"], again.asked["knowledge"])


def test_hidden_entities_of_one_name_are_both_right() -> None:
    task, batch = tiny_batch.task(["mem"]), tiny_batch.batch()
    mem = task.objectives["mem"]
    assert isinstance(mem, MaskedEntity) and batch.questions is not None and batch.questions.facts is not None
    facts = batch.questions.facts
    everyone = facts.node_vectors[:1].expand(19, -1)  # all nodes have one name: every guess is right
    same = replace(batch, questions=batch.questions.with_facts(replace(facts, node_vectors=everyone)))
    loss = mem(Encoded(task.model, same, generator(), plan=Plan(nodes=0.5)))
    assert loss.item() == pytest.approx(math.log(19), abs=1e-4)
