"""Words and their entities: how links are corrupted, and what finding them again costs."""

from __future__ import annotations

from math import exp, log

import pytest
import torch

from kemm.objectives.losses.entity_alignment import (
    HIDDEN,
    corrupt_alignment,
    denoising_alignment,
    linking_likelihood,
    linking_margin,
)


def test_five_per_cent_are_replaced_by_another_and_fifteen_hidden() -> None:
    entities = torch.arange(10).repeat(2000, 10)
    is_entity = torch.ones_like(entities, dtype=torch.bool)
    is_entity[:, 50:] = False
    given = corrupt_alignment(entities, is_entity, 10, torch.Generator().manual_seed(0))
    assert torch.equal(given[:, 50:], entities[:, 50:])
    given, entities = given[:, :50], entities[:, :50]
    assert (given == HIDDEN).float().mean().item() == pytest.approx(0.15, abs=0.005)
    replaced = (given != HIDDEN) & (given != entities)
    assert replaced.float().mean().item() == pytest.approx(0.05, abs=0.005)
    assert set(given[replaced].tolist()) == set(range(10))


def test_a_single_entity_is_never_replaced() -> None:
    entities = torch.zeros(1, 500, dtype=torch.long)
    given = corrupt_alignment(entities, entities == 0, 1, torch.Generator().manual_seed(0))
    assert set(given[0].tolist()) == {0, HIDDEN}


def test_a_mention_chooses_among_the_entities_of_its_own_text() -> None:
    words = torch.tensor([[[1.0, 0.0], [5.0, 5.0]], [[0.0, 2.0], [1.0, 1.0]]])
    candidates = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 9.0]]])
    loss = denoising_alignment(
        words,
        candidates,
        right=torch.tensor([[0, 0], [0, 0]]),
        is_mention=torch.tensor([[True, False], [True, False]]),
        is_candidate=torch.tensor([[True, True], [True, False]]),
    )
    assert loss.item() == pytest.approx(log(1 + exp(-1)) / 2)  # the second text has one candidate: no choice, no cost


def test_linking_by_likelihood_and_by_margin() -> None:
    scores = torch.tensor([[0.5, -0.1, 9.0], [1.0, 1.0, 1.0]])
    gold, candidates = torch.tensor([0, -1]), torch.tensor([[True, True, False], [True, True, True]])
    assert linking_likelihood(scores, gold, candidates).item() == pytest.approx(log(1 + exp(-0.6)))
    assert linking_margin(scores, gold, candidates, margin=0.2).item() == pytest.approx(0 + 0.1)
    assert linking_margin(scores, gold, candidates, margin=1.0).item() == pytest.approx(0.5 + 0.9)
