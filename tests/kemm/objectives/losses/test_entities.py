"""Choosing entities, relations and types by hand."""

from __future__ import annotations

from math import exp, log

import pytest
import torch
from torch import Tensor

from kemm.objectives.losses.candidates import any_right_loss, choice_loss
from kemm.objectives.losses.entities import entity_typing, masked_entity, masked_relation

CHANCES = torch.tensor([[0.5, 0.3, 0.2]])


def bools(*rows: str) -> Tensor:
    return torch.tensor([[letter == "1" for letter in row] for row in rows])


def test_several_right_candidates_share_evenly_or_count_together() -> None:
    assert choice_loss(CHANCES.log(), bools("110")).item() == pytest.approx(-(log(0.5) + log(0.3)) / 2)
    assert any_right_loss(CHANCES.log(), bools("110")).item() == pytest.approx(-log(0.8))


@pytest.mark.parametrize("loss", [choice_loss, any_right_loss])
def test_what_is_no_candidate_has_no_chance_and_rows_without_a_right_one_do_not_count(loss: object) -> None:
    assert callable(loss)
    logits = torch.cat([CHANCES, CHANCES, CHANCES]).log().requires_grad_()
    value = loss(logits, bools("100", "000", "001"), bools("101", "111", "110"))
    assert value.item() == pytest.approx(-log(0.5 / 0.7))  # of the first row alone: the third's right one isn't there
    value.backward()
    assert logits.grad is not None and not logits.grad[1:].any() and logits.grad[0, 1] == 0


@pytest.mark.parametrize("loss", [choice_loss, any_right_loss])
def test_no_candidates_at_all_is_nought_with_a_slope_of_nought(loss: object) -> None:
    assert callable(loss)
    logits = torch.randn(2, 3).requires_grad_()
    value = loss(logits, bools("100", "010"), bools("000", "000"))
    value.backward()
    assert value.item() == 0 and logits.grad is not None and not logits.grad.any()


def test_the_entity_that_the_state_points_to() -> None:
    loss = masked_entity(torch.tensor([[2.0, 0.0]]), torch.eye(2), bools("10"), temperature=2.0)
    assert loss.item() == pytest.approx(log(1 + exp(-1)))


def test_the_relation_whose_vector_is_like_the_product_of_its_ends() -> None:
    head, tail = torch.tensor([[1.0, 2.0], [9.0, 9.0]]), torch.tensor([[3.0, 1.0], [9.0, 9.0]])
    relations = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # scores 3 and 2
    loss = masked_relation(head, tail, relations, torch.tensor([1, -1]))
    assert loss.item() == pytest.approx(log(1 + exp(1)))


def test_an_entity_has_any_number_of_types_and_what_the_graph_does_not_say_does_not_count() -> None:
    logits = torch.tensor([[[0.0, log(3.0), 5.0]]])
    types, is_entity = torch.tensor([[[True, True, False]]]), torch.tensor([[True]])
    known = torch.tensor([[[True, True, False]]])
    assert entity_typing(logits, types, is_entity, known).item() == pytest.approx((log(2) - log(0.75)) / 2)
    third = entity_typing(logits, types, is_entity).item() * 3 - (log(2) - log(0.75))
    assert third == pytest.approx(5 + log(1 + exp(-5)), abs=1e-5)
