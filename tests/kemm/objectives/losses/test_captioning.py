"""Writing words: by hand, and against the losses of transformers."""

from __future__ import annotations

from math import log

import pytest
import torch

from kemm.compat import mend_torchvision
from kemm.objectives.losses.captioning import next_words, words_after_prefix, written_words

#: Chances of three words at each of four places.
CHANCES = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.2, 0.6, 0.2], [0.3, 0.3, 0.4]]])
IDS = torch.tensor([[0, 1, 2, 1]])
WORDS = torch.ones(1, 4, dtype=torch.bool)


def test_each_place_says_the_word_after_it() -> None:
    expected = -(log(0.25) + log(0.8) + log(0.6)) / 3  # words 1, 2, 1 at places 0, 1, 2
    assert next_words(CHANCES.log(), IDS, WORDS).item() == pytest.approx(expected)


def test_after_a_prefix_of_two_only_the_third_and_fourth_word_count() -> None:
    loss = words_after_prefix(CHANCES.log(), IDS, WORDS, torch.tensor([2]))
    assert loss.item() == pytest.approx(-(log(0.8) + log(0.6)) / 2)
    whole = words_after_prefix(CHANCES.log(), IDS, WORDS, torch.tensor([0]))
    assert whole.item() == pytest.approx(next_words(CHANCES.log(), IDS, WORDS).item())
    assert words_after_prefix(CHANCES.log(), IDS, WORDS, torch.tensor([4])).item() == 0  # nothing left to write


def test_only_words_with_a_target_are_said() -> None:
    loss = written_words(CHANCES.log(), torch.tensor([[-1, 2, -100, 0]]))
    assert loss.item() == pytest.approx(-(log(0.8) + log(0.3)) / 2)


def test_smoothing_spreads_its_share_over_the_whole_vocabulary() -> None:
    loss = written_words(CHANCES.log(), torch.tensor([[1, -1, -1, -1]]), smoothing=0.3)
    assert loss.item() == pytest.approx(-(0.1 * log(0.5) + 0.8 * log(0.25) + 0.1 * log(0.25)))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_agrees_with_transformers_language_models(smoothing: float) -> None:
    pytest.importorskip("transformers")
    mend_torchvision()
    from transformers.loss.loss_utils import ForCausalLMLoss, ForMaskedLMLoss

    generator = torch.Generator().manual_seed(0)
    logits, ids = torch.randn(3, 6, 9, generator=generator), torch.randint(9, (3, 6), generator=generator)
    is_word = torch.arange(6) < torch.tensor([[6], [3], [1]])
    labels = ids.masked_fill(~is_word, -100)
    if smoothing:
        from transformers.trainer_pt_utils import LabelSmoother

        theirs = LabelSmoother(smoothing)({"logits": logits}, labels, shift_labels=True)
    else:
        theirs = ForCausalLMLoss(logits, labels, vocab_size=9)
        assert written_words(logits, labels).item() == pytest.approx(ForMaskedLMLoss(logits, labels, 9).item())
    assert next_words(logits, ids, is_word, smoothing).item() == pytest.approx(theirs.item(), rel=1e-5)
