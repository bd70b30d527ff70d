"""What a step of training sees: only what is not held out, the same for the same step, answers where they belong."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from kemm.data.batch import Batch, Movable, PicturedEntities, Questions
from kemm.data.examples import balanced, right_rows
from kemm.data.questions import NOT_KNOWN, Question
from kemm.data.sources.captioned import CaptionedPictures
from kemm.data.step_batches import StepBatches
from kemm.data.training_data import TrainingData
from kemm.settings.objectives import Objectives
from tests.kemm import tiny_batch
from tests.kemm.conftest import Trained
from tests.kemm.tiny_world import TOYS


@pytest.fixture
def data(tiny_run: Trained) -> TrainingData:
    return tiny_run.data


def with_answering(data: TrainingData, **changes: float) -> StepBatches:
    """The same batches, other shares of questions being changed: none but those given."""
    changes = {"swap": 0.0, "drop": 0.0, "thin": 0.0, "mute": 0.0, "noise": 0.0, **changes}
    answering = data.settings.objectives.answering.model_copy(update=changes)  # type: ignore[union-attr]
    return data.batch.asked_as(answering)


def tensors(part: Any, name: str = "") -> dict[str, torch.Tensor]:
    """All tensors of a batch by name."""
    found: dict[str, torch.Tensor] = {}
    for key, value in vars(part).items():
        if isinstance(value, torch.Tensor):
            found[f"{name}.{key}"] = value
        elif isinstance(value, Movable):
            found |= tensors(value, f"{name}.{key}")
        elif isinstance(value, dict):
            found |= {k: v for part, inner in value.items() for k, v in tensors(inner, f"{name}.{key}.{part}").items()}
    return found


def asked_of(batch: Batch) -> Questions:
    assert batch.questions is not None
    return batch.questions


# ── further texts of a picture ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("source", ["tags", "rewritten"])
def test_what_is_written_from_other_texts_is_given_them(data: TrainingData, source: str) -> None:
    changed = copy.copy(data)
    objectives = Objectives.model_validate({"seq2seq": {"source": source}})
    changed.settings = data.settings.model_copy(update={"objectives": objectives})
    assert CaptionedPictures(changed).modalities == {"vision", "language", source}


def test_beside_a_caption_stand_the_things_name_another_caption_and_a_wrong_one(data: TrainingData) -> None:
    reading = {"itc": {"rewritten": True, "retrieved": True}, "tag_matching": {}, "next_sentence": {}}
    changed = copy.copy(data)
    changed.settings = data.settings.model_copy(update={"objectives": Objectives.model_validate(reading)})
    source = CaptionedPictures(changed)
    assert source.modalities == {"vision", "language", "tags", "rewritten", "retrieved"}
    given: list[list[str | None]] = []
    source.parts = copy.copy(data.world.parts)
    source.parts.texts = lambda texts: (given.append(texts), data.world.parts.texts(texts))[1]  # type: ignore[method-assign]
    samples = source.sample(np.random.default_rng(0), 8)
    captions, retrieved, rewritten, tags = given
    for row, number in enumerate(samples.entity.tolist()):
        own = data.captions[data.names[number]]
        assert tags[row] == data.world.label(data.names[number])
        assert captions[row] in own and retrieved[row] in own and rewritten[row] not in own
    assert samples.further["tags"].present.all() and bool(samples.has("vision", "rewritten").all())


# ── by hand ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_right_facts_are_those_on_the_asked_path_that_lead_to_an_answer() -> None:
    table = tiny_batch.tables()[1]  # paths r0, r1, r2, r0·r3, r1·r4 to the nodes 11 … 15
    asked = Question("q", "?", ("node 11", "node 14", "node 15"), "one-hop", path=("r0",))
    assert right_rows(table, asked) == (0,)
    two = Question("q", "?", ("node 11", "node 14", "node 15"), "two-hop", path=("r1", "r4"))
    assert right_rows(table, two) == (4,)
    for kind in ("yes-no", "unknown"):
        assert right_rows(table, Question("q", "?", ("node 11",), kind, path=("r0",))) == ()


def test_kinds_of_questions_are_drawn_by_the_root_of_their_number() -> None:
    # √4 : √1, so 2/3 for the four together and 1/3 for the one
    assert balanced(["a", "a", "b", "a", "a"]).tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 3, 1 / 6, 1 / 6])


def test_questions_without_an_answer_keep_their_share() -> None:
    # one in six is "unknown"; the other five sixths are shared between 4 and 1 as 2 to 1
    chance = balanced(["a", "a", "unknown", "b", "a", "a"])
    assert chance.tolist() == pytest.approx([5 / 36, 5 / 36, 1 / 6, 5 / 18, 5 / 36, 5 / 36])


# ── nothing held out is seen ──────────────────────────────────────────────────────────────────────────────────────


def test_nothing_held_out_is_trained_on(data: TrainingData) -> None:
    holdout = data.world.holdout
    held_out = {toy for toy in TOYS if holdout.entity(toy)}
    assert held_out and not held_out & set(data.train_pictures)
    for example in data.examples:
        assert example.question.split == "train"
        for path_head in {example.question.head} - {""}:
            assert holdout.fact(path_head, example.question.path[0]) == "train"
    number = {name: row for row, name in enumerate(data.names)}
    for step in range(30):
        samples, pictures = data.batch(step).samples, data.batch(step).pictures
        assert samples is not None and pictures is not None
        for entity in (samples.entity, pictures.entity):
            assert not set(entity.tolist()) & {number[toy] for toy in held_out}
    assert isinstance(data.entities, PicturedEntities)
    assert data.entities.held_out.tolist() == [name in held_out for name in data.names]


def test_no_test_picture_is_ever_in_a_batch(data: TrainingData) -> None:
    files = [file for group in data.pictures["train"].values() for file in group]
    seen = [data.world.features.get(file, view).astype(np.float32) for file in files for view in range(3)]
    known = {features.tobytes() for features in seen}
    for step in range(10):
        batch = data.batch(step)
        assert batch.samples is not None
        of_questions = asked_of(batch).samples.parts["vision"]
        shown = [*batch.samples.parts["vision"].states, *of_questions.states[of_questions.present]]  # type: ignore
        assert shown and all(patches.numpy().tobytes() in known for patches in shown)


def test_a_pictures_others_are_the_mean_of_its_entitys_other_pictures(data: TrainingData) -> None:
    means = {
        file: data.world.features.get(file).mean(0, dtype=np.float32)
        for files in data.train_pictures.values()
        for file in files
    }
    pictures = data.batch(0).pictures
    assert pictures is not None
    for others, entity in zip(pictures.others.numpy(), pictures.entity.tolist(), strict=True):
        files = data.train_pictures[data.names[entity]]
        without_one = [np.mean([means[f] for f in files if f != out] or [0 * means[out]], axis=0) for out in files]
        assert min(float(np.abs(others - mean).max()) for mean in without_one) < 1e-3


# ── the batch of a step ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_steps_batch_depends_on_its_number_alone(data: TrainingData) -> None:
    first = tensors(data.batch(7))
    data.batch(8)
    again, other = tensors(data.batch(7)), tensors(data.batch(8))
    assert first.keys() == again.keys() and len(first) > 20
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first[".samples.parts.vision.states"], other[".samples.parts.vision.states"])


def test_a_picture_stands_beside_a_caption_of_its_own_entity_and_every_entity_once(data: TrainingData) -> None:
    samples = data.batch(0).samples
    assert samples is not None
    assert len(set(samples.entity.tolist())) == len(samples) == min(20, len(data.train_pictures))
    words = samples.parts["language"]
    assert words.states is not None and words.mask is not None
    for row, entity in enumerate(samples.entity.tolist()):
        states = [data.world.bank.states([text])[0][0] for text in data.captions[data.names[entity]]]
        own = words.states[row, : words.mask[row].sum()]
        assert any(own.shape == state.shape and torch.equal(own, state) for state in states)


def test_what_is_held_out_is_the_same_every_time_and_in_no_step(data: TrainingData) -> None:
    first, again = data.batch.held_out(), data.batch.held_out()
    assert tensors(first[0]).keys() == tensors(again[0]).keys() and len(tensors(first[0])) > 10
    assert all(torch.equal(value, tensors(again[0])[name]) for name, value in tensors(first[0]).items())
    asked = {example.question.question for example in data.held_out_examples}
    assert asked and not {example.question.id for example in data.examples} & {
        example.question.id for example in data.held_out_examples
    }


def test_pointers_point_at_right_answers_and_words_at_themselves(data: TrainingData) -> None:
    plain = with_answering(data)
    bank = data.world.bank
    right: dict[bytes, set[str]] = {}  # of each question, known by its vector
    for example in data.examples:
        right.setdefault(bank.embed([example.question.question])[0].tobytes(), set()).update(example.question.answers)
    pointed = said = 0
    for step in range(5):
        questions = asked_of(plain(step))
        facts = questions.facts
        assert facts is not None
        for row, slot in questions.pointer_targets.nonzero().tolist():
            fact = (facts.slot == row * facts.mask.shape[1] + slot).nonzero().item()
            answers = bank.embed(sorted(right[questions.text_vector[row].numpy().tobytes()]))
            assert (answers == facts.node_vectors[facts.far[fact]].numpy()).all(axis=1).any()
            pointed += 1
        for row in (questions.vocabulary_targets >= 0).nonzero().flatten().tolist():
            word = data.vocabulary[questions.vocabulary_targets[row]]
            assert word in right[questions.text_vector[row].numpy().tobytes()]
            said += 1
    assert pointed > 50 and said > 10


def test_dropped_knowledge_leaves_no_fact_and_no_pointer(data: TrainingData) -> None:
    questions = asked_of(with_answering(data, drop=1.0)(0))
    assert questions.facts is None and questions.pointer_targets.shape == (32, 0)


def test_muted_facts_make_the_answer_not_known(data: TrainingData) -> None:
    plain, muted = (asked_of(with_answering(data, mute=mute)(3)) for mute in (0.0, 1.0))
    assert torch.equal(plain.text_vector, muted.text_vector)  # the same questions
    answered = plain.pointer_targets.any(1)
    assert answered.any() and not muted.pointer_targets.any()
    unknown = data.vocabulary.index(NOT_KNOWN)
    assert (muted.vocabulary_targets[answered] == unknown).all()
    assert (muted.facts.mask.sum(1)[answered] < plain.facts.mask.sum(1)[answered]).all()  # type: ignore[union-attr]


def test_swapped_answers_are_followed_by_the_pointer(data: TrainingData) -> None:
    plain, swapped = (asked_of(with_answering(data, swap=swap)(3)) for swap in (0.0, 1.0))
    assert plain.facts is not None and swapped.facts is not None
    pairs = zip(plain.pointer_targets, swapped.pointer_targets, strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)  # the same facts answer
    answered = plain.pointer_targets.flatten()[plain.facts.slot]
    ends = [part.node_vectors[part.far] for part in (plain.facts, swapped.facts)]
    same = (ends[0] == ends[1]).all(1)
    assert same[~answered].all()  # no other fact is touched
    assert same[answered].float().mean() < 0.7  # of pools of two, chance draws every other time what there was


def test_an_answer_is_swapped_for_a_tail_of_the_same_relation_and_never_for_a_word(data: TrainingData) -> None:
    relations = {example.question.path[-1:] for example in data.examples if example.targets}
    words = {"yes", "no", NOT_KNOWN}
    beside = [example.question for example in data.examples if example.question.path[-1:] in relations]
    assert {answer for question in beside for answer in question.answers} >= {"yes", "no"}  # of the same relations
    assert not words & {answer for relation in relations for answer in data.batch._pools[relation]}
    rng = np.random.default_rng(0)
    drawn = {data.batch._other_answer(example, rng) for example in data.examples if example.targets for _ in range(20)}
    assert len(drawn) > 5 and not words & drawn


def test_thinned_questions_keep_the_facts_that_answer(data: TrainingData) -> None:
    plain, thinned = (asked_of(with_answering(data, thin=thin)(3)) for thin in (0.0, 1.0))
    assert plain.facts is not None and thinned.facts is not None
    assert thinned.facts.mask.sum() < plain.facts.mask.sum()
    assert torch.equal(plain.text_vector, thinned.text_vector)  # the same questions
    assert torch.equal(plain.pointer_targets.sum(1), thinned.pointer_targets.sum(1))
