"""Matching of pictures, texts, tags, sentences and facts: what is put beside what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from kemm.data.samples import Part, Samples
from kemm.objectives.graph_matching import GraphMatching
from kemm.objectives.matching import Matching
from kemm.objectives.negatives import Candidates, Past, Seen
from kemm.objectives.next_sentence import NextSentence
from kemm.objectives.objective import MissingModality
from kemm.objectives.tag_matching import TagMatching
from kg.errors import InputError
from tests.kemm import tiny_batch
from tests.kemm.tiny_batch import rows
from tests.kemm.tiny_batch import task_of as task


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ── past things as negatives ──────────────────────────────────────────────────────────────────────────────────────


def things(count: int, length: int, first: int) -> Seen:
    there = torch.ones(count, length) > 0
    numbers = torch.arange(first, first + count)
    words = Part(torch.ones(count) > 0, raw=numbers[:, None].expand(-1, length), mask=there)
    return Seen(Samples({"language": words}, numbers), there, numbers[:, None].float())


def shown(past: Past) -> list[int]:
    return [entity for seen in past.steps for entity in seen.samples.entity.tolist()]


def test_the_last_things_are_kept_newest_first() -> None:
    past = Past(5)
    past.take_in(things(3, 4, first=0))
    past.take_in(things(3, 6, first=10))
    assert shown(past) == [10, 11, 12, 0, 1]
    assert [seen.mask.sum(1).tolist() for seen in past.steps] == [[6, 6, 6], [4, 4]]
    past.take_in(things(7, 4, first=20))
    assert shown(past) == [20, 21, 22, 23, 24]


def test_past_texts_of_several_steps_are_padded_and_read_in_the_order_drawn() -> None:
    made, past, every = task(itm={}).eval(), Past(8), torch.arange(4)
    encoded = made.encode(tiny_batch.batch(), generator())
    whole, own = Seen.of(encoded, "language", every), Candidates.of(encoded, "language", every)
    least = int(own.mask.sum(1).argmin())
    short = whole.take(torch.tensor([least]))
    words, length = short.samples.parts["language"], int(own.mask[least].sum())
    assert words.raw is not None and words.states is not None and words.mask is not None
    assert length < own.mask.shape[1]
    cut = Part(words.present, *(each[:, : length - 1] for each in (words.raw, words.states, words.mask)))  # no summary
    past.take_in(Seen(replace(short.samples, parts={"language": cut}), short.mask[:, :length], short.pooled))
    past.take_in(whole)
    assert len(past.listed(own).entity) == len(past.listed(own).pooled) == 9
    both, places = past.read(encoded, "language", own, torch.tensor([8, 1, 6, 8]))
    rows = [least, 1, 2, least]
    assert torch.equal(both.mask[places], own.mask[rows])
    torch.testing.assert_close(both.tokens[places][own.mask[rows]], own.tokens[rows][own.mask[rows]])


def test_past_things_are_read_by_todays_weights_and_train_them() -> None:
    made = task(itm={"negatives": "queue", "queue": 8}).train()
    itm = made.objectives["itm"]
    assert isinstance(itm, Matching)
    both = made.encode(rows(tiny_batch.batch(), [0, 1]), generator())
    itm.logits(made.encode(rows(tiny_batch.batch(), [1]), generator()))
    itm.after_step()
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.mul_(1.1)
    _, wrong = itm.logits(made.encode(rows(tiny_batch.batch(), [0]), generator()))
    swapped = {"vision": torch.tensor([1, 0]), "language": torch.tensor([0, 1])}
    torch.testing.assert_close(wrong, itm.judge(both.pair(swapped)))
    for name in ("vision", "language"):
        weights = [each for each in made.model.entrance(name).parameters() if each.requires_grad]
        one, two = (
            torch.autograd.grad(found.sum(), weights, retain_graph=True, allow_unused=True)
            for found in (wrong, itm.judge(both.pair(swapped)))
        )
        torch.testing.assert_close(one, two)


def test_a_queue_keeps_neither_hidden_things_nor_facts() -> None:
    for wish in ({"hidden": True}, {"between": ("vision", "knowledge")}):
        with pytest.raises(ValueError, match="negatives: queue"):
            task(itm={"negatives": "queue"} | wish)


def test_a_batch_of_one_finds_its_wrong_partners_among_past_ones() -> None:
    made = task(itm={"negatives": "queue", "queue": 8}).train()
    itm = made.objectives["itm"]
    assert isinstance(itm, Matching)
    matched, wrong = itm.logits(made.encode(rows(tiny_batch.batch(), [0]), generator()))
    assert (len(matched), len(wrong)) == (1, 0)
    itm.after_step()
    matched, wrong = itm.logits(made.encode(rows(tiny_batch.batch(1), [1]), generator()))
    assert (len(matched), len(wrong)) == (1, 2)  # a wrong picture and a wrong text, of the step before
    itm.after_step()
    assert itm.past is not None and shown(itm.past["vision"]) == [1, 0]
    matched, wrong = itm.logits(made.encode(rows(tiny_batch.batch(2), [1]), generator()))
    assert len(wrong) == 2  # entity 1 is itself; 0 is left


def test_held_out_batches_leave_no_trace_in_the_past() -> None:
    made = task(itm={"negatives": "queue"}).eval()
    itm = made.objectives["itm"]
    assert isinstance(itm, Matching) and itm.past is not None
    itm(made.encode(tiny_batch.batch(), generator()))
    itm.after_step()
    assert not itm.past["vision"].steps


# ── tags ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("ways", "kinds"), [(2, {0, 1}), (3, {0, 1, 2})])
def test_what_is_polluted_comes_from_a_thing_of_another_kind(ways: int, kinds: set[int]) -> None:
    made = task(tag_matching={"ways": ways})
    part, seen = made.objectives["tag_matching"], set()
    assert isinstance(part, TagMatching)
    for seed in range(12):
        encoded = made.encode(tiny_batch.batch(), generator(seed))
        given: list[tuple[Any, ...]] = []
        followed: Callable[..., Any] = encoded.read.followed
        encoded.read.followed = lambda *a, f=followed, g=given: (g.append(a), f(*a))[1]  # type: ignore[method-assign]
        logits, target = part.logits(encoded)
        captions, _, tags, _ = given[0]
        entity = encoded.samples.entity
        own = torch.arange(4)
        assert logits.shape == (4, ways)
        assert torch.equal(entity[captions] != entity[own], (target == 1) & (torch.tensor(ways == 3)))
        assert torch.equal(entity[tags] != entity[own], target == (1 if ways == 2 else 2))
        seen |= set(target.tolist())
    assert seen == kinds


# ── sentences ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_random_sentence_is_of_another_document_and_all_relations_are_alike_often() -> None:
    made = task(next_sentence={"links": True})
    part = made.objectives["next_sentence"]
    assert isinstance(part, NextSentence)
    counts = torch.zeros(3)
    for seed in range(150):
        encoded = made.encode(tiny_batch.batch(), generator(seed))
        target, others = part.draw(encoded, torch.arange(4))
        entity = encoded.samples.entity
        assert (entity[others] != entity)[target == 1].all()
        counts += target.bincount(minlength=3)
    assert (counts / counts.sum() - 1 / 3).abs().max() < 0.06


def test_a_row_without_a_linked_text_gets_its_next_one() -> None:
    made, batch = task(next_sentence={"links": True}), tiny_batch.batch()
    part = made.objectives["next_sentence"]
    assert isinstance(part, NextSentence) and batch.samples is not None
    linked: Part = batch.samples.further["linked"]
    present = torch.tensor([True, False, False, False])
    further = {**batch.samples.further, "linked": replace(linked, present=present)}
    batch = replace(batch, samples=replace(batch.samples, further=further))
    for seed in range(20):
        target, _ = part.draw(made.encode(batch, generator(seed)), torch.arange(4))
        assert not (target[1:] == 2).any()
    assert torch.isfinite(part(made.encode(batch, generator())))


# ── facts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_another_question_is_given_the_facts_unchanged() -> None:
    made = task(graph_matching={})
    calls = tiny_batch.count_fusions(made.model)
    made(tiny_batch.batch(), generator())
    (own, other), order = (call["tokens"]["knowledge"] for call in calls), []
    for row in range(4):
        order.append(next(i for i in range(4) if torch.equal(other[row], own[i])))
    assert sorted(order) == [0, 1, 2, 3] and all(order[row] != row for row in range(4))
    assert torch.equal(calls[1]["masks"]["knowledge"], calls[0]["masks"]["knowledge"][order])


def test_questions_see_their_own_facts_and_those_of_another() -> None:
    for between, own, other in (("language", 4, 4), ("vision", 3, 3)):
        made = task(graph_matching={"between": between})
        part = made.objectives["graph_matching"]
        assert isinstance(part, GraphMatching)
        right, wrong = part.logits(made.encode(tiny_batch.batch(), generator()))
        assert (len(right), len(wrong)) == (own, other)  # the fourth is asked without a picture


def test_questions_without_facts_are_named() -> None:
    made, batch = task(graph_matching={}), tiny_batch.batch()
    assert batch.questions is not None
    bare = replace(batch, questions=batch.questions.with_facts(None))
    with pytest.raises(MissingModality, match="questions with facts"):
        made.objectives["graph_matching"](made.encode(bare, generator()))


# ── bad batches ───────────────────────────────────────────────────────────────────────────────────────────────────

ON_SAMPLES = {
    "itm": {},
    "tag_matching": {},
    "next_sentence": {},
    "wra": {},
    "grounding": {},
    "teacher": {},
    "adversarial": {},
    "itc": {},
}


@pytest.mark.parametrize("name", ON_SAMPLES)
def test_a_batch_of_one_and_one_of_equal_things_have_a_finite_loss_and_gradient(name: str) -> None:
    batch = tiny_batch.batch()
    for made_of in ([1], [0, 0, 0]):
        made = task(**{name: ON_SAMPLES[name]})
        loss = made(rows(batch, made_of), generator())["total"]
        loss.backward()
        gradients = [p.grad for p in made.parameters() if p.grad is not None]
        assert torch.isfinite(loss) and all(torch.isfinite(gradient).all() for gradient in gradients)
        made.eval()
        assert all(
            value == value for value in made.objectives[name].metrics(made.encode(rows(batch, made_of))).values()
        )


@pytest.mark.parametrize("name", [*ON_SAMPLES, "graph_matching"])
def test_in_half_precision_the_loss_is_finite(name: str) -> None:
    made = task(**{name: ON_SAMPLES.get(name, {})})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = made(tiny_batch.batch(), generator())["total"]
    loss.backward()
    assert torch.isfinite(loss)


@pytest.mark.parametrize("name", [*ON_SAMPLES, "graph_matching"])
def test_its_metrics_stand_beside_chance(name: str) -> None:
    made = task(**{name: ON_SAMPLES.get(name, {})}).eval()
    found = made.objectives[name].metrics(made.encode(tiny_batch.batch(), generator()))
    assert 0 <= found["accuracy"] <= 1 and 0 < found["chance"] <= 1


def test_an_adversary_of_what_an_objective_does_not_read_is_refused() -> None:
    with pytest.raises(InputError, match="adversarial changes vision, which mlm doesn't read"):
        task(adversarial={"of": {"mlm": {}}, "on": "vision"})
