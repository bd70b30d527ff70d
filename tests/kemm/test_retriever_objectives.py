"""Retriever and reader trained together, against losses worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from math import log
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kemm.fuse.encoded import Encoded
from kemm.objectives.joint_retrieval import JointRetrieval
from kemm.objectives.losses.retrieval import log_chance
from kemm.objectives.reader_distillation import ReaderDistillation
from tests.kemm import tiny_batch


def made(name: str, reader: torch.Tensor, retriever: torch.Tensor) -> Any:
    """The objective with logits (B, K) put in place of its heads'."""
    objective: Any = tiny_batch.task([name]).objectives[name]
    objective.reader.forward = lambda fused: reader
    objective.retriever.forward = lambda questions: retriever
    return objective


def encoded(right: list[list[bool]]) -> Any:
    """Questions of three facts each, with these right ones."""
    targets = torch.tensor(right)
    facts = SimpleNamespace(mask=torch.ones_like(targets))
    questions = replace(tiny_batch.batch().questions.with_facts(facts), pointer_targets=targets)  # type: ignore
    return SimpleNamespace(batch=SimpleNamespace(questions=questions), asked={"language": torch.zeros(2, 1, 8)})


def test_a_retriever_that_agrees_with_the_reader_has_nothing_left_to_learn() -> None:
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    objective: ReaderDistillation = made("reader_distillation", logits, logits + 5.0)
    reading = (-(logits[0].softmax(0)[0].log()) - log(2 / 3)) / 2
    right = [[True, False, False], [True, True, False]]
    assert objective(encoded(right)).item() == pytest.approx(reading.item(), abs=1e-5)


def test_the_retriever_is_pulled_to_what_the_reader_used_and_the_reader_not_to_the_retriever() -> None:
    reader = torch.tensor([[0.0, log(8.0), 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    retriever = torch.zeros(2, 3, requires_grad=True)
    objective: ReaderDistillation = made("reader_distillation", reader, retriever)
    objective(encoded([[False, True, False], [False, False, False]])).backward()
    assert retriever.grad is not None and reader.grad is not None
    assert retriever.grad[0].tolist() == pytest.approx([1 / 3 - 0.1, 1 / 3 - 0.8, 1 / 3 - 0.1])
    assert reader.grad[0].tolist() == pytest.approx([0.1, 0.8 - 1, 0.1])  # of −log a of the right fact alone
    assert not retriever.grad[1].any()  # no fact answers the second question


@pytest.mark.parametrize("name", ["reader_distillation", "joint_retrieval"])
def test_held_out_it_counts_how_often_the_first_fact_answers_where_one_does(name: str) -> None:
    reader, retriever = torch.tensor([[0.0, 3.0, 1.0]] * 2), torch.tensor([[2.0, 0.0, 1.0]] * 2)
    objective = made(name, reader, retriever)
    found = objective.metrics(encoded([[True, False, False], [True, True, False]]))
    assert found == pytest.approx({"accuracy": 1.0, "reader_accuracy": 0.5, "chance": (1 / 3 + 2 / 3) / 2})
    found = objective.metrics(encoded([[False, False, False], [False, True, False]]))
    assert found == pytest.approx({"accuracy": 0.0, "reader_accuracy": 1.0, "chance": 1 / 3})


def test_by_drop_a_fact_counts_by_what_the_reader_loses_without_it() -> None:
    batch = tiny_batch.batch()
    task = tiny_batch.task_of(reader_distillation={"by": "drop"})
    objective: Any = task.objectives["reader_distillation"]
    encoded = Encoded(task.model, batch, torch.Generator().manual_seed(0))
    questions = batch.questions
    assert questions is not None and questions.facts is not None
    drops = objective.drops(encoded, questions)
    # the only right fact of the first question gone, a guess among its three is left
    whole = log_chance(objective.reader(encoded.asked), questions.pointer_targets, questions.facts.mask)
    assert drops[0, 1].item() == pytest.approx(max(whole[0].item(), -log(3)) + log(3), abs=1e-5)
    alone = questions.with_facts(questions.facts.without(questions.facts.slot == 0))  # the first question's first fact
    assert alone.facts is not None
    fused = Encoded(task.model, replace(batch, questions=alone), torch.Generator().manual_seed(0)).asked
    less = log_chance(objective.reader(fused), questions.pointer_targets, alone.facts.mask)
    expected = max(whole[0].item(), -log(3)) - max(less[0].item(), -log(3))
    assert drops[0, 0].item() == pytest.approx(expected, abs=1e-5)
    assert drops[~questions.facts.mask].abs().max() < 1e-5
    objective(encoded).backward()
    assert objective.retriever.match.weight.grad.any() and objective.reader.key.weight.grad.any()


def test_only_facts_that_reader_and_answer_agree_on_teach_the_retriever() -> None:
    reader = torch.tensor([[1.0, 1.0, -1.0], [-1.0, -1.0, -1.0]])
    retriever = torch.zeros(2, 3, requires_grad=True)
    objective: JointRetrieval = made("joint_retrieval", reader, retriever)
    loss = objective(encoded([[True, False, False], [False, False, False]]))
    reading = (torch.log1p(torch.exp(torch.tensor([-1.0, 1.0, -1.0]))).sum() / 3).item()
    assert loss.item() == pytest.approx(reading + log(3) - log(2 / 3))  # right and believed; wrong and disbelieved
    loss.backward()
    assert retriever.grad is not None
    assert retriever.grad[0].tolist() == pytest.approx([-2 / 3 - 1 / 6, 1 / 3 - 1 / 6, 1 / 3 + 1 / 3])
