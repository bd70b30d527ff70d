"""What the retriever learns of its reader, by hand."""

from __future__ import annotations

from math import exp, log

import pytest
import torch
from torch.nn import functional as F

from kemm.objectives.losses.retrieval import distillation, joint_retrieval, reader_loss

FACTS = torch.tensor([[True, True, True], [True, True, False]])


def test_distillation_is_the_divergence_of_retriever_from_reader() -> None:
    reader, retriever = torch.tensor([[0.0, log(8.0), 0.0]]), torch.zeros(1, 3)
    expected = 0.8 * log(0.8 * 3) + 2 * 0.1 * log(0.1 * 3)
    assert distillation(reader, retriever, FACTS[:1]).item() == pytest.approx(expected)
    theirs = F.kl_div(retriever.log_softmax(-1), reader.log_softmax(-1), reduction="batchmean", log_target=True)
    assert expected == pytest.approx(theirs.item())


def test_the_reader_is_not_taught_by_the_retriever() -> None:
    reader, retriever = torch.randn(2, 3).requires_grad_(), torch.zeros(2, 3).requires_grad_()
    distillation(reader, retriever, FACTS).backward()
    assert reader.grad is None
    assert retriever.grad is not None and retriever.grad[0].abs().max() > 0 and retriever.grad[1, 2] == 0


def test_a_question_without_facts_or_without_an_answering_one_does_not_count() -> None:
    none = torch.zeros(1, 3, dtype=torch.bool)
    logits = torch.randn(1, 3)
    assert distillation(logits, -logits, none).item() == 0
    assert reader_loss(logits, none, ~none).item() == 0
    assert joint_retrieval(logits, -logits, none, none).item() == 0


def test_only_facts_that_reader_and_answer_agree_on_teach_the_retriever() -> None:
    reader = torch.tensor([[1.0, 1.0, -1.0]])
    retriever = torch.zeros(1, 3).requires_grad_()
    loss = joint_retrieval(reader, retriever, torch.tensor([[True, False, False]]), FACTS[:1])
    reading = (log(1 + exp(-1)) + log(1 + exp(1)) + log(1 + exp(-1))) / 3
    # The first is right and believed, the third wrong and disbelieved; of the second nothing is learned.
    assert loss.item() == pytest.approx(reading + log(3) - log(2 / 3))
    loss.backward()
    assert retriever.grad is not None and retriever.grad[0, 0] < 0 < retriever.grad[0, 2]


def test_the_reader_is_free_which_right_fact_it_reads() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2]]))
    assert reader_loss(logits, torch.tensor([[True, True, False]]), FACTS[:1]).item() == pytest.approx(-log(0.8))
