"""CTC of names: every alignment summed by hand, bounds, and what a name gets from any recording taken off."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from kemm.objectives.losses.spelling import known_name_posterior, name_log_probabilities, spelling_loss
from tests.kemm.objectives.losses.cases import normal

LOG_P = normal(2, 4, 3).log_softmax(-1)  # two recordings, four steps, a blank and two letters
STEPS = torch.tensor([4, 3])
NAMES = torch.tensor([[1, 2, 0], [1, 1, 0], [2, 0, 0], [1, 2, 1], [0, 0, 0]])
LENGTHS = torch.tensor([2, 2, 1, 3, 0])


def by_hand(log_p: Tensor, name: list[int]) -> float:
    """Σ over all ways through the steps that say the name when repeats are joined and blanks are left out."""
    total = 0.0
    for way in itertools.product(range(log_p.shape[1]), repeat=len(log_p)):
        joined = [letter for letter, _ in itertools.groupby(way) if letter]
        if joined == name:
            total += float(log_p[range(len(log_p)), list(way)].sum().exp())
    return total


def test_a_names_probability_is_the_sum_over_its_alignments() -> None:
    found = name_log_probabilities(LOG_P, STEPS, NAMES, LENGTHS)
    assert found.shape == (2, 5)
    for recording, number in itertools.product(range(2), range(4)):
        name = NAMES[number, : LENGTHS[number]].tolist()
        expected = by_hand(LOG_P[recording, : STEPS[recording]], name)
        assert found[recording, number].exp().item() == pytest.approx(expected, rel=1e-9)
    assert found[:, 4].tolist() == [-torch.inf] * 2  # a name without letters is never said


def test_compiled_and_plain_agree_also_where_probabilities_are_beyond_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    log_p = normal(3, 60, 5).mul(8).log_softmax(-1)
    log_p[2, :, 1:] = -300.0  # e⁻³⁰⁰ a letter: nothing that can be held is left of three
    log_p[2, :, 0] = 0.0
    names = torch.randint(1, 5, (20, 9), generator=torch.Generator().manual_seed(0))
    lengths = torch.arange(20) % 9 + 1
    steps = torch.tensor([60, 12, 60])
    compiled = name_log_probabilities(log_p, steps, names, lengths)
    monkeypatch.setattr("kg.devices.PLAIN", True)
    torch.testing.assert_close(compiled, name_log_probabilities(log_p, steps, names, lengths))
    assert compiled[2].isfinite().all() and compiled[2].min() < -2000


def test_a_name_that_does_not_fit_is_impossible_and_costs_nothing() -> None:
    short = torch.tensor([2, 2])
    found = name_log_probabilities(LOG_P, short, NAMES, LENGTHS)
    assert found[:, 1].isneginf().all()  # the same letter twice needs a step between
    assert found[:, 3].isneginf().all()
    log_p = LOG_P.clone().requires_grad_()
    loss = spelling_loss(log_p, short, NAMES[[3, 1]], LENGTHS[[3, 1]])
    loss.backward()
    assert loss.item() == 0.0 and log_p.grad is not None and not log_p.grad.any()


def test_the_loss_is_of_letters_and_of_recordings_that_have_a_name() -> None:
    own = NAMES[[0, 2]]
    each = [by_hand(LOG_P[0], [1, 2]), by_hand(LOG_P[1, :3], [2])]
    expected = -0.5 * (torch.tensor(each[0]).log() / 2 + torch.tensor(each[1]).log())
    assert spelling_loss(LOG_P, STEPS, own, LENGTHS[[0, 2]]).item() == pytest.approx(expected.item(), rel=1e-5)
    alone = spelling_loss(LOG_P[:1], STEPS[:1], own[:1], LENGTHS[:1])
    unnamed = spelling_loss(LOG_P, STEPS, NAMES[[0, 4]], LENGTHS[[0, 4]])
    assert unnamed.item() == pytest.approx(alone.item(), rel=1e-12)


def test_slopes_are_those_of_finite_differences() -> None:
    logits = normal(2, 4, 3).requires_grad_()

    def loss(x: Tensor) -> Tensor:
        return spelling_loss(x.log_softmax(-1), STEPS, NAMES[[0, 2]], LENGTHS[[0, 2]])

    assert torch.autograd.gradcheck(loss, (logits,))


def test_padding_and_order_change_nothing() -> None:
    own, lengths = NAMES[[0, 2]], LENGTHS[[0, 2]]
    expected = spelling_loss(LOG_P, STEPS, own, lengths)
    longer = torch.cat([LOG_P, torch.full((2, 3, 3), 9.0, dtype=LOG_P.dtype)], 1)
    wider = torch.cat([own, torch.full((2, 2), 2)], 1)
    torch.testing.assert_close(spelling_loss(longer, STEPS, wider, lengths), expected)
    torch.testing.assert_close(spelling_loss(LOG_P.flip(0), STEPS.flip(0), own.flip(0), lengths.flip(0)), expected)


def test_what_a_name_gets_from_any_recording_is_taken_off() -> None:
    """The first name fits any recording better; the second fits the first recording better than it fits others."""
    scores = torch.tensor([[-4.0, -5.0], [-4.0, -9.0]])
    background = torch.tensor([[-4.0, -9.0], [-4.0, -9.0]])
    found = known_name_posterior(scores, background)
    torch.testing.assert_close(found, torch.tensor([[0.0, 4.0], [0.0, 0.0]]).log_softmax(1))


def test_a_recording_that_no_name_fits_prefers_none() -> None:
    nothing = torch.full((1, 3), -torch.inf)
    found = known_name_posterior(torch.cat([nothing, torch.tensor([[-1.0, -2.0, -torch.inf]])]), torch.zeros(1, 3))
    torch.testing.assert_close(found[0].exp(), torch.full((3,), 1 / 3))
    assert found[1].argmax() == 0 and not found.isnan().any()
    never = known_name_posterior(torch.zeros(1, 2), torch.tensor([[-torch.inf, 0.0]]))
    assert not never.isnan().any()
