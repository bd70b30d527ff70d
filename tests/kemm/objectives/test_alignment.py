"""Words and patches, teachers and adversaries: each against what it is by definition."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from kemm.objectives.adversarial import Adversarial
from kemm.objectives.grounding import Grounding
from kemm.objectives.losses.word_region import word_region
from kemm.objectives.masked_language import MaskedLanguage, word_table
from kemm.objectives.teacher import Teacher
from kemm.objectives.word_region import WordRegion
from tests.kemm import tiny_batch
from tests.kemm.tiny_batch import rows
from tests.kemm.tiny_batch import task_of as task


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_words_are_carried_to_their_own_picture_for_less() -> None:
    made = task(wra={"weight": 1.0})
    part = made.objectives["wra"]
    assert isinstance(part, WordRegion)
    encoded = made.encode(tiny_batch.batch(), generator())
    right, wrong = part.distances(encoded)
    fused, mask = encoded.fused("vision", "language"), tiny_batch.batch().samples.parts["language"].mask  # type: ignore[union-attr]
    expected = word_region(part.words(fused["language"][:, 1:]), part.patches(fused["vision"]), mask)
    torch.testing.assert_close(right, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(part(encoded), 1 + (right.mean() - wrong.mean()) / 2)


def test_matching_and_alignment_share_their_right_and_wrong_pairs() -> None:
    made = task(itm={}, wra={})
    calls = tiny_batch.count_fusions(made.model)
    made(tiny_batch.batch(), generator())
    assert len(calls) == 2


def test_the_words_of_a_collage_name_the_patches_of_their_own_pictures() -> None:
    made = task(grounding={"pictures": 2})
    part = made.objectives["grounding"]
    assert isinstance(part, Grounding)
    batch = rows(tiny_batch.batch(), [0, 1])
    orders = set()
    for seed in range(8):
        patches, words, patch_mask, word_mask, named = part.collages(made.encode(batch, generator(seed)))
        assert patches.shape[:2] == (1, 8) and words.shape[:2] == (1, 10) and named.shape == (1, 8, 10)
        assert word_mask.sum() == 9 and patch_mask.all()  # captions of five and four words
        block = named[0, ::4, ::5]  # which picture's patches, which caption's words
        assert block.sum() == 2 and torch.equal(block.sum(0), torch.ones(2).long())
        assert torch.equal(named[0], block.repeat_interleave(4, 0).repeat_interleave(5, 1))
        orders.add(bool(block[0, 0]))
    assert orders == {True, False}  # pictures don't stand in the order of their captions


def test_two_pictures_of_one_entity_are_named_by_each_others_words() -> None:
    made = task(grounding={"pictures": 2})
    part = made.objectives["grounding"]
    assert isinstance(part, Grounding)
    assert part.collages(made.encode(rows(tiny_batch.batch(), [2, 3]), generator()))[4].all()


@pytest.mark.parametrize("of", ["vision", "language"])
@pytest.mark.parametrize("loss", ["cosine", "squares", "distribution"])
def test_saying_what_the_teacher_says_costs_nothing(of: str, loss: str) -> None:
    made = task(teacher={"of": of, "loss": loss})
    part = made.objectives["teacher"]
    assert isinstance(part, Teacher)
    encoded = made.encode(tiny_batch.batch(), generator())
    _, target, _ = part.both(encoded)
    assert part(encoded) > 0.01
    part.head = torch.nn.Identity()  # type: ignore[assignment]
    encoded.read.alone = lambda name: torch.nn.functional.pad(  # type: ignore[method-assign]
        target, (0, 0, made.model.entrance(name).summaries, 0)
    )
    assert part(encoded).item() == pytest.approx(0.0, abs=1e-5)


def test_an_adversary_adds_the_loss_of_the_changed_batch() -> None:
    chosen: dict[str, Any] = {"of": {"itm": {}}, "steps": 1, "step": 0.5, "start": 0.3}
    made = task(adversarial=chosen)
    part = made.objectives["adversarial"]
    assert isinstance(part, Adversarial)
    encoded = made.encode(tiny_batch.batch(), generator(3))
    total = part(encoded)
    tokens = encoded.read.tokens("language")
    clean = part.of(encoded)
    assert total > clean  # the first change alone is drawn, and the loss of the changed batch is above zero
    nothing = part.of(encoded.shifted({"language": torch.zeros_like(tokens)}))
    torch.testing.assert_close(nothing, clean)  # the same wrong pairs, the same towers


def test_an_adversary_makes_it_worse_than_chance_changes_do() -> None:
    made = task(adversarial={"of": {"itm": {}}, "steps": 4, "step": 1.0})
    part = made.objectives["adversarial"]
    assert isinstance(part, Adversarial)
    encoded = made.encode(tiny_batch.batch(), generator(3))
    worst = part(encoded) - part.of(encoded)  # the mean over next to no change and three steps uphill
    assert worst > part.of(encoded)
    with torch.no_grad():
        assert part(encoded) == part.of(encoded)  # held out: the batch as it is


def test_a_second_adversary_or_two_objectives_are_refused() -> None:
    for of in ({"itm": {}, "itc": {}}, {"adversarial": {}}, {}):
        with pytest.raises(ValidationError, match="exactly one"):
            task(adversarial={"of": of})


def test_a_slow_copy_softens_the_hidden_words() -> None:
    made, plain = task(mlm={"alpha": 0.4}), task(mlm={})
    part = made.objectives["mlm"]
    assert isinstance(part, MaskedLanguage)
    plain.load_state_dict({k: v for k, v in made.state_dict().items() if "slow" not in k})
    encoded = made.encode(tiny_batch.batch(), generator())
    logits, targets = part.logits(encoded)
    log_p, p = logits.log_softmax(1), logits.detach().softmax(1)  # the copy is still the same as the model
    hard = -log_p[torch.arange(len(targets)), targets].mean()
    soft = -(p * log_p).sum(1).mean()
    torch.testing.assert_close(part(encoded), 0.6 * hard + 0.4 * soft, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(hard, plain.objectives["mlm"](plain.encode(tiny_batch.batch(), generator())))
    before = copy.deepcopy(part.slow.copy.bias)
    with torch.no_grad():
        part.head.bias += 1.0
    made.after_step()
    torch.testing.assert_close(part.slow.copy.bias, before + 0.005)
    assert word_table(encoded.slow) is not None
