"""Objectives against numbers worked out by hand, and the step that computes each encoding once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from kemm.data.batch import Batch
from kemm.data.fact_table import RELEVANCE
from kemm.fuse.knowledge import EntityEncoder
from kemm.fuse.model import Encoded
from kemm.objectives.answering import Answering, Answers
from kemm.objectives.contrastive import EntityImage, Temperature, symmetric_cross_entropy
from kemm.objectives.link_prediction import LinkPrediction
from kemm.objectives.masked import MaskedEntity, MaskedLanguage
from kemm.objectives.matching import ImageTextMatching
from kemm.pretrain.task import PretrainTask
from kg.errors import InputError
from tests.kemm import tiny_batch


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def objective(name: str) -> Any:
    return tiny_batch.task([name]).objectives[name]


# ── contrast ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_contrast_of_two_pairs_by_hand() -> None:
    similarity = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    rows = math.log(1 + math.exp(-2)), math.log(1 + math.exp(-2))  # 2 against 0, 3 against 1
    columns = math.log(1 + math.exp(-1)), math.log(1 + math.exp(-3))  # 2 against 1, 3 against 0
    expected = 0.5 * (sum(rows) / 2 + sum(columns) / 2)
    assert symmetric_cross_entropy(similarity, torch.tensor([0, 1])).item() == pytest.approx(expected, abs=1e-6)


def test_rows_of_one_entity_are_positives_of_each_other() -> None:
    similarity = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    # each target is ½ and ½: a row (a, b) costs log(eᵃ + eᵇ) − (a + b)/2
    rows = math.log(math.exp(2) + 1) - 1, math.log(math.exp(1) + math.exp(3)) - 2
    columns = math.log(math.exp(2) + math.exp(1)) - 1.5, math.log(1 + math.exp(3)) - 1.5
    expected = 0.5 * (sum(rows) / 2 + sum(columns) / 2)
    assert symmetric_cross_entropy(similarity, torch.tensor([4, 4])).item() == pytest.approx(expected, abs=1e-6)


def test_a_temperature_starts_as_set_and_stays_above_a_hundredth() -> None:
    assert Temperature(0.07)().item() == pytest.approx(1 / 0.07, rel=1e-6)
    assert Temperature(0.001)().item() == 100.0


def test_an_entity_that_is_held_out_is_no_negative() -> None:
    task = tiny_batch.task(["entity_image"]).eval()
    entity_image, batch = task.objectives["entity_image"], tiny_batch.batch()
    assert isinstance(entity_image, EntityImage) and batch.entities is not None
    before = entity_image(Encoded(task.model, batch, generator()))
    other = batch.entities.text.clone()
    other[4] += 3.0  # the held-out one
    after = entity_image(Encoded(task.model, replace(batch, entities=replace(batch.entities, text=other)), generator()))
    assert torch.equal(before, after)


# ── entities from any of their sources ────────────────────────────────────────────────────────────────────────────


def test_a_missing_source_of_an_entity_has_no_weight() -> None:
    torch.manual_seed(0)
    encoder = EntityEncoder(text_width=4, vision_width=3, width=5)
    text, pictures = torch.randn(2, 4), torch.randn(2, 3)
    pictures[1] = 0.0
    both, alone = encoder(text=text, pictures=pictures), encoder(text=text)
    torch.testing.assert_close(both[1], alone[1])
    # gates start at zero, so two present sources count half each
    torch.testing.assert_close(both[0], (alone[0] + encoder(pictures=pictures)[0]) / 2)


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
    calls = count_fusions(task.model)
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


# ── link prediction ───────────────────────────────────────────────────────────────────────────────────────────────


def test_both_queries_give_the_real_part_of_the_complex_product() -> None:
    link: LinkPrediction = objective("link_prediction")
    h, r, t = (torch.randn(3, 8, generator=generator(seed)) for seed in (1, 2, 3))
    as_complex = [torch.complex(*x.chunk(2, -1)) for x in (h, r, t)]
    expected = (as_complex[0] * as_complex[1] * as_complex[2].conj()).sum(-1).real
    torch.testing.assert_close((link.query(h, r) * t).sum(-1), expected)
    torch.testing.assert_close((link.inverse_query(t, r) * h).sum(-1), expected)


def test_one_complex_dimension_by_hand() -> None:
    link: LinkPrediction = objective("link_prediction")
    h, r = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]])  # (1 + 2i)(3 − i) = 5 + 5i
    assert link.query(h, r).tolist() == [[5.0, 5.0]]
    assert link.inverse_query(h, r).tolist() == [[1.0, 7.0]]  # (1 + 2i)(3 + i) = 1 + 7i


def test_the_same_tail_in_another_edge_is_no_negative() -> None:
    task, batch = tiny_batch.task(["link_prediction"]), tiny_batch.batch()
    link, edges = task.objectives["link_prediction"], batch.edges
    assert isinstance(link, LinkPrediction) and edges is not None
    head, relation, tail = link.embed(edges.head), link.relations(edges.relation), link.embed(edges.tail)
    scores = link.query(head, relation) @ tail.T
    for row, others in ((6, [7]), (7, [6])):
        scores[row, others] = -torch.inf
    by_tail = -scores.log_softmax(1).diagonal().mean()
    by_head = -(link.inverse_query(tail, relation) @ head.T).log_softmax(1).diagonal().mean()
    torch.testing.assert_close(link(Encoded(task.model, batch)), (by_tail + by_head) / 2)


# ── answering ─────────────────────────────────────────────────────────────────────────────────────────────────────


def answers(batch: Batch, answering: Any, task: Any) -> Answers:
    assert batch.questions is not None
    return answering.answers(batch.questions, Encoded(task.model, batch).asked)


def test_pointer_and_vocabulary_are_one_distribution() -> None:
    task, batch = tiny_batch.task(["answering"]), tiny_batch.batch()
    found = answers(batch, task.objectives["answering"], task)
    assert found.pointer.shape == (4, 5) and found.vocabulary.shape == (4, len(tiny_batch.VOCABULARY))
    total = found.pointer.exp().sum(1) + found.vocabulary.exp().sum(1)
    torch.testing.assert_close(total, torch.ones(4))
    assert batch.questions is not None and batch.questions.facts is not None
    assert not found.pointer.exp()[~batch.questions.facts.mask].any()  # nothing points at padding


def test_without_facts_the_vocabulary_alone_is_one() -> None:
    task, batch = tiny_batch.task(["answering"]), tiny_batch.batch()
    assert batch.questions is not None
    bare = replace(
        batch, questions=replace(batch.questions, facts=None, pointer_targets=torch.zeros(4, 0, dtype=torch.bool))
    )
    found = answers(bare, task.objectives["answering"], task)
    assert found.pointer.shape == (4, 0)
    torch.testing.assert_close(found.vocabulary.exp().sum(1), torch.ones(4))


def test_before_training_the_fact_whose_path_sounds_like_the_question_is_believed_most() -> None:
    task, batch = tiny_batch.task(["answering"]), tiny_batch.batch()
    answering = task.objectives["answering"]
    assert isinstance(answering, Answering) and batch.questions is not None and batch.questions.facts is not None
    torch.nn.init.zeros_(answering.query.weight)  # leave the path match and the linker alone to speak
    torch.nn.init.zeros_(answering.query.bias)
    facts = batch.questions.facts
    paths = facts.path_vectors.clone()
    wanted = {0: 2, 1: 7, 2: 10, 3: 12}  # question → its fact among the fifteen
    for row, fact in wanted.items():
        paths[fact] = batch.questions.text_vector[row]
    level = replace(facts, path_vectors=paths, log_score=torch.zeros(15))
    found = answers(replace(batch, questions=replace(batch.questions, facts=level)), answering, task)
    best = found.pointer.argmax(1) + 5 * torch.arange(4)
    assert best.tolist() == facts.slot[list(wanted.values())].tolist()


def test_a_fact_of_a_likelier_entity_is_believed_in_proportion() -> None:
    task, batch = tiny_batch.task(["answering"]), tiny_batch.batch()
    answering = task.objectives["answering"]
    assert isinstance(answering, Answering) and batch.questions is not None and batch.questions.facts is not None
    for layer in (answering.query, answering.match):
        torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(answering.query.bias)
    marks = batch.questions.facts.marks.clone()
    marks[:, RELEVANCE] = 0.7  # all alike
    facts = replace(batch.questions.facts, log_score=torch.linspace(0.2, 0.9, 15).log(), marks=marks)
    found = answers(replace(batch, questions=replace(batch.questions, facts=facts)), answering, task)
    ratio = found.pointer.exp()[0, :3] / found.pointer.exp()[0, 0]
    torch.testing.assert_close(ratio, torch.tensor([0.2, 0.25, 0.3]) / 0.2)  # β = 1, so shares are as P(anchor)


def test_a_question_without_facts_is_answered_alike_among_others_and_breaks_no_gradient() -> None:
    task, batch = tiny_batch.task(["answering"]), tiny_batch.batch()
    answering, asked = task.objectives["answering"], batch.questions
    assert isinstance(answering, Answering) and asked is not None
    first, *others = tiny_batch.tables()
    targets = asked.pointer_targets.clone()
    targets[0] = False
    one_bare = replace(asked, facts=tiny_batch.facts([first.keep([]), *others]), pointer_targets=targets)
    among = answers(Batch(questions=one_bare), answering, task)
    alone = answers(Batch(questions=replace(asked, facts=None)), answering, task)
    torch.testing.assert_close(among.vocabulary[0], alone.vocabulary[0], atol=1e-5, rtol=0)
    assert not among.pointer[0].exp().any()
    said = replace(one_bare, vocabulary_targets=torch.tensor([2, -1, 0, -1]))
    answering(Encoded(task.model, Batch(questions=said))).backward()
    assert all(torch.isfinite(p.grad).all() for p in task.parameters() if p.grad is not None)


def test_the_loss_rewards_any_right_fact_and_the_word_where_there_is_none() -> None:
    task, batch = tiny_batch.task(["answering"]), tiny_batch.batch()
    answering = task.objectives["answering"]
    assert isinstance(answering, Answering)
    found = answers(batch, answering, task)
    p, v = found.pointer.exp(), found.vocabulary.exp()
    chances = torch.stack([p[0, 1], p[1, 3], v[2, 0], p[3, 0] + p[3, 1]])
    torch.testing.assert_close(answering(Encoded(task.model, batch)), -chances.log().mean())


def test_where_a_fact_answers_the_word_is_not_rewarded() -> None:
    task, batch = tiny_batch.task(["answering"]), tiny_batch.batch()
    assert batch.questions is not None
    plain = task.objectives["answering"](Encoded(task.model, batch))
    also = replace(batch.questions, vocabulary_targets=torch.tensor([3, 3, 0, 3]))
    assert torch.equal(task.objectives["answering"](Encoded(task.model, replace(batch, questions=also))), plain)


def test_questions_that_nothing_can_answer_cost_nothing() -> None:
    task, batch = tiny_batch.task(["answering"]), tiny_batch.batch()
    assert batch.questions is not None
    nothing = replace(
        batch.questions,
        pointer_targets=torch.zeros(4, 5, dtype=torch.bool),
        vocabulary_targets=torch.full((4,), -1),
    )
    loss = task.objectives["answering"](Encoded(task.model, replace(batch, questions=nothing)))
    assert loss.item() == 0.0
    loss.backward()


# ── the step ──────────────────────────────────────────────────────────────────────────────────────────────────────

FUSE = ("patches", "text", "text_mask", "facts", "has_image", "masked_patches", "masked_nodes")


def count_fusions(model: Any) -> list[tuple]:
    """Record what every later call of ``model.fuse`` is given; the call itself goes on."""
    calls: list[tuple] = []
    fuse = model.fuse

    def counted(*arguments: Any, **named: Any) -> Mapping[str, Tensor]:
        given = dict(zip(FUSE, arguments, strict=False)) | named
        calls.append(tuple(given.get(name) for name in FUSE))
        return fuse(*arguments, **named)

    model.fuse = counted
    return calls


def alike(one: tuple, other: tuple) -> bool:
    def same(a: object, b: object) -> bool:
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            return a.shape == b.shape and torch.equal(a, b)
        return a is b

    return all(map(same, one, other))


@pytest.mark.parametrize(
    ("names", "forwards"),
    [
        (["itc"], 0),
        (["itm"], 2),  # pictures with their own captions; with wrong ones
        (["mlm"], 1),
        (["mlm", "mim"], 1),  # one for both
        (["mem"], 1),
        (["mem", "answering"], 1),  # one for both
        (["link_prediction", "entity_image", "entity_text"], 0),
        (["itc", "itm", "mlm", "mim", "mem", "link_prediction", "entity_image", "entity_text", "answering"], 4),
    ],
)
def test_a_step_fuses_each_input_once(names: list[str], forwards: int) -> None:
    task = tiny_batch.task(names)
    calls = count_fusions(task.model)
    task(tiny_batch.batch(), generator())
    assert len(calls) == forwards
    assert not [1 for n, one in enumerate(calls) for other in calls[:n] if alike(one, other)]


def test_the_total_is_the_weighted_sum_and_a_weight_of_zero_costs_no_forward() -> None:
    task = tiny_batch.task(["itc", "mlm"])
    task.weights = {"itc": 2.0, "mlm": 0.5}
    found = task(tiny_batch.batch(), generator())
    assert found.keys() == {"itc", "mlm", "total"}
    torch.testing.assert_close(found["total"], 2.0 * found["itc"] + 0.5 * found["mlm"])
    task.weights["mlm"] = 0.0
    calls = count_fusions(task.model)
    found = task(tiny_batch.batch(), generator())
    assert found.keys() == {"itc", "total"} and not calls


def test_a_run_needs_an_objective() -> None:
    with pytest.raises(InputError, match=r"no objective .*itc, itm"):
        tiny_batch.task([])


def test_a_run_whose_objectives_all_weigh_nothing_is_refused() -> None:
    settings = tiny_batch.settings(["itc"])
    assert settings.objectives.itc is not None
    settings.objectives.itc.weight = 0.0
    with pytest.raises(InputError, match=r"no objective .*itc, itm"):
        PretrainTask(settings, tiny_batch.context())(tiny_batch.batch(), generator())
