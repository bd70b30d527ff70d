"""The comparison of three modalities with pairs of them: its ranks, its chance, its model, on a handful of numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import three_modalities
from benchmarks.three_modalities import PAIRS, Asked, Towers, chance, ranks, train
from benchmarks.three_modalities_data import FRAMES, MELS, Things
from kemm.data.spelling import Alphabet
from kemm.objectives.losses.contrastive import info_nce
from kemm.objectives.losses.spelling import spelling_loss


def test_ranks_count_what_is_better_and_share_what_is_equal() -> None:
    similarity = torch.tensor([[0.9, 0.1, 0.5], [0.2, 0.2, 0.2], [0.3, 0.8, 0.5]])
    assert ranks(similarity, torch.tensor([0, 1, 0])).tolist() == [1, 2, 3]


def test_chance_is_what_random_order_gives() -> None:
    guess = chance(4)
    assert guess["R@1"] == 0.25 and guess["R@5"] == 1
    assert guess["MRR"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


ALPHABET = Alphabet("abcd")


def things() -> Things:
    """Four things, the last two new; the second is heard once in training and once anew."""
    generator = torch.Generator().manual_seed(0)
    owner = np.array([0, 1, 1, 2, 2, 3])
    text = torch.randn(4, 384, generator=generator)
    names = [["ab", "ba"], ["cd"], ["dc", "abc"], ["a", ""]]
    return Things(
        list("abcd"),
        np.array(["train", "train", "test", "test"]),
        torch.randn(4, 1280, generator=generator),
        {False: text, True: text + 1},
        names,
        torch.randn(6, FRAMES, MELS, generator=generator),
        ["ba", "cd", "cd", "dc", "abc", ""],
        owner,
        np.array([False, False, True, False, False, True]),
    )


def test_all_six_ways_are_asked_of_new_things_and_new_recordings_of_learned_ones() -> None:
    torch.manual_seed(0)
    given = things()
    for alphabet in (None, ALPHABET):
        asked = Asked(given, Towers(PAIRS, alphabet), alphabet is not None, np.array([0, 1]))
        found = asked.new_things("test")
        assert len(found) == 6 and all(rank.shape == (2,) for rank in found.values())
        heard = asked.new_recordings()
        assert set(heard) == {("sound", "image"), ("sound", "text")} and all(len(rank) == 1 for rank in heard.values())
    alone = Asked(given, Towers((("image", "text"),), None), False, np.array([]))
    assert set(alone.new_things("test")) == {("image", "text"), ("text", "image")} and not alone.new_recordings()


def test_the_loss_is_the_mean_over_the_pairs_and_letters_and_each_modality_is_encoded_once() -> None:
    torch.manual_seed(0)
    model, given, runs = Towers(PAIRS, ALPHABET).eval(), things(), []
    letters, lengths = ALPHABET.encode(given.said[:2])
    sound = given.sound[:2]
    batch = {"image": given.image[:2], "text": given.text[True][:2], "sound": sound}
    heard = model.ear.features(sound)
    v = {kind: model.encode(kind, heard.pooled if kind == "sound" else value) for kind, value in batch.items()}
    scale = model.log_scale.exp()
    expected = sum(info_nce(v[a] @ v[b].T * scale[i]) for i, (a, b) in enumerate(PAIRS)) / 3
    spelled = spelling_loss(model.letters(heard.tokens).log_softmax(-1), heard.mask.sum(1), letters, lengths)
    for part in (model.ear.norm, model.letters, *model.into.values()):
        part.register_forward_hook(lambda module, *_: runs.append(id(module)))
    batch |= {"letters": letters, "lengths": lengths}
    torch.testing.assert_close(model.loss(batch), expected + spelled)
    assert len(runs) == len(set(runs)) == 5  # the ear, its letters and three matrices
    torch.testing.assert_close(model.loss(batch, letters_alone=True), spelled)


def test_a_sound_finds_its_text_by_any_of_its_names_and_its_picture_by_way_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    given = things()
    model = Towers(PAIRS, ALPHABET)
    monkeypatch.setattr(model, "encode", lambda kind, x: torch.eye(4)[: len(x)] if kind == "text" else shown(x))

    def shown(x: torch.Tensor) -> torch.Tensor:  # pictures look like their own texts; sounds like nothing
        if x.shape[1] != 1280:
            return torch.zeros(len(x), 4)
        return torch.stack([torch.eye(4)[int((given.image == row).all(1).nonzero())] for row in x])

    def log_probabilities(log_p: torch.Tensor, steps: object, letters: torch.Tensor, lengths: object) -> torch.Tensor:
        """Each recording says the second name of thing 2 or, where that is meant, the only one of thing 3."""
        saying = {"abc": 3, "a": 1}
        scores = torch.full((len(log_p), len(letters)), -40.0)
        for row, name in enumerate(next(said)):
            number = [n for n, of in enumerate(letters.tolist()) if sum(map(bool, of)) == saying.get(name, -1)]
            scores[row, number] = -20.0
        return scores

    said = iter([["abc", "abc", "a"], ["", ""]])  # what is asked about, then the background
    monkeypatch.setattr(three_modalities, "name_log_probabilities", log_probabilities)
    found = Asked(given, model, True, np.array([0, 1])).new_things("test")
    for way in (("sound", "text"), ("text", "sound"), ("image", "sound"), ("sound", "image")):
        assert found[way].tolist() == [1, 1], way


def test_training_hears_and_sees_nothing_that_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    given = things()
    hidden = torch.tensor(given.is_new | (given.split[given.owner] == "test"))
    changed = given._replace(
        sound=torch.where(hidden[:, None, None], 9.0, given.sound),
        image=torch.where(torch.tensor(given.split == "test")[:, None], 9.0, given.image),
    )
    for name, value in {"BATCH": 2, "STEPS": 2, "EAR_STEPS": 4, "LOOK_EVERY": 2, "BACKGROUND": 2}.items():
        monkeypatch.setattr(three_modalities, name, value)
    monkeypatch.setattr(Asked, "new_things", lambda self, split: {("sound", "text"): np.array([1.0])})
    learned = [train(world, PAIRS, True, 0)[0].model.state_dict() for world in (given, changed)]
    assert all(torch.equal(value, learned[1][name]) for name, value in learned[0].items())
