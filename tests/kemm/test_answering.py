"""Answering: one distribution over what facts say and over words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from kemm.data.batch import Batch
from kemm.data.fact_table import RELEVANCE
from kemm.fuse.encoded import Encoded
from kemm.objectives.answering import Answering, Answers
from tests.kemm import tiny_batch


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
        batch, questions=replace(batch.questions.with_facts(None), pointer_targets=torch.zeros(4, 0, dtype=torch.bool))
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
    found = answers(replace(batch, questions=batch.questions.with_facts(level)), answering, task)
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
    found = answers(replace(batch, questions=batch.questions.with_facts(facts)), answering, task)
    ratio = found.pointer.exp()[0, :3] / found.pointer.exp()[0, 0]
    torch.testing.assert_close(ratio, torch.tensor([0.2, 0.25, 0.3]) / 0.2)  # β = 1, so shares are as P(anchor)


def test_a_question_without_facts_is_answered_alike_among_others_and_breaks_no_gradient() -> None:
    task, batch = tiny_batch.task(["answering"]), tiny_batch.batch()
    answering, asked = task.objectives["answering"], batch.questions
    assert isinstance(answering, Answering) and asked is not None
    first, *others = tiny_batch.tables()
    targets = asked.pointer_targets.clone()
    targets[0] = False
    one_bare = replace(asked.with_facts(tiny_batch.facts([first.keep([]), *others])), pointer_targets=targets)
    among = answers(Batch(questions=one_bare), answering, task)
    alone = answers(Batch(questions=asked.with_facts(None)), answering, task)
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
