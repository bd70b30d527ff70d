"""Contrasts of graph and text by hand, and the texts that K-LITE would write."""

from __future__ import annotations

from math import exp, log

import pytest
import torch

from kemm.objectives.losses.graph_text import enriched, entity_entity, entity_relation, graph_entity

AXES = torch.eye(3)


def test_a_tail_stands_against_the_other_tails_of_the_batch() -> None:
    loss = entity_entity(AXES * 7.0, AXES, torch.arange(3), temperature=0.5)
    assert loss.item() == pytest.approx(log(1 + 2 * exp(-2)))  # cosine 1 to its own, 0 to two others


def test_the_same_tail_in_another_row_is_no_negative() -> None:
    loss = entity_entity(AXES, AXES, torch.tensor([4, 4, 5]), temperature=0.5)
    assert loss.item() == pytest.approx((2 * log(1 + exp(-2)) + log(1 + 2 * exp(-2))) / 3)


def test_a_batch_of_one_or_of_one_thing_has_nothing_to_learn() -> None:
    assert entity_entity(AXES[:1], AXES[1:2], torch.tensor([0])).item() == 0
    assert graph_entity(AXES, AXES.roll(1, 0), torch.zeros(3, dtype=torch.long)).item() == 0
    assert entity_entity(AXES[:0], AXES[:0], torch.zeros(0, dtype=torch.long)).item() == 0


def test_a_relation_is_found_among_all_of_the_graph() -> None:
    loss = entity_relation(AXES[:1] * 2, AXES, torch.tensor([1]), temperature=1.0)
    assert loss.item() == pytest.approx(log(exp(1) + 2))  # cosines 1, 0, 0; the right one is the second
    assert entity_relation(AXES[:0], AXES, torch.zeros(0, dtype=torch.long)).item() == 0


def test_graph_and_entity_are_contrasted_both_ways() -> None:
    around, entity = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # rows: (1, 0), (1, 0); columns: (1, 1), (0, 0)
    there = (log(1 + exp(-1)) + log(1 + exp(1))) / 2
    assert graph_entity(around, entity, torch.arange(2), temperature=1.0).item() == pytest.approx((there + log(2)) / 2)


def test_a_name_is_followed_by_what_the_graph_knows_of_it() -> None:
    text = enriched("takoyaki", ["dumpling", "dish"], "a ball-shaped Japanese dumpling made of batter.")
    assert text == "takoyaki, dumpling, dish, a ball-shaped Japanese dumpling made of batter"
    assert enriched("takoyaki", [], " ") == "takoyaki"
