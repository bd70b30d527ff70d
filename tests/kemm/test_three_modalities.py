"""The comparison of three modalities with pairs of them: its ranks, its chance, its model, on a handful of numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.three_modalities import FRAMES, MELS, PAIRS, Things, Towers, chance, new_recordings, new_things, ranks
from kemm.objectives.losses.contrastive import info_nce


def test_ranks_count_what_is_better_and_share_what_is_equal() -> None:
    similarity = torch.tensor([[0.9, 0.1, 0.5], [0.2, 0.2, 0.2], [0.3, 0.8, 0.5]])
    assert ranks(similarity, torch.tensor([0, 1, 0])).tolist() == [1, 2, 3]


def test_chance_is_what_random_order_gives() -> None:
    guess = chance(4)
    assert guess["R@1"] == 0.25 and guess["R@5"] == 1
    assert guess["MRR"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


def things() -> Things:
    """Four things, the last two new; the second is heard once in training and once anew."""
    generator = torch.Generator().manual_seed(0)
    owner = np.array([0, 1, 1, 2, 2, 3])
    text = torch.randn(4, 384, generator=generator)
    return Things(
        list("abcd"),
        np.array(["train", "train", "test", "test"]),
        torch.randn(4, 1280, generator=generator),
        {False: text, True: text + 1},
        torch.randn(6, FRAMES, MELS, generator=generator),
        owner,
        np.array([False, False, True, False, False, True]),
        owner < 0,
    )


def test_all_six_ways_are_asked_of_new_things_and_new_recordings_of_learned_ones() -> None:
    torch.manual_seed(0)
    model, given = Towers(PAIRS).eval(), things()
    found = new_things(given, model, False, "test")
    assert len(found) == 6 and all(rank.shape == (2,) for rank in found.values())
    heard = new_recordings(given, model, True)
    assert set(heard) == {("sound", "image"), ("sound", "text")} and all(len(rank) == 1 for rank in heard.values())
    assert set(new_things(given, Towers((("image", "text"),)).eval(), False, "test")) == {
        ("image", "text"),
        ("text", "image"),
    }


def test_the_loss_is_the_mean_over_the_pairs_and_each_modality_is_encoded_once() -> None:
    torch.manual_seed(0)
    model, given, runs = Towers(PAIRS).eval(), things(), []
    batch = {"image": given.image[:2], "text": given.text[False][:2], "sound": given.sound[:2]}
    v = {kind: model.encode(kind, value) for kind, value in batch.items()}
    scale = model.log_scale.exp()
    expected = sum(info_nce(v[a] @ v[b].T * scale[i]) for i, (a, b) in enumerate(PAIRS)) / 3
    for part in (model.ear.body, *model.into.values()):
        part.register_forward_hook(lambda module, *_: runs.append(id(module)))
    torch.testing.assert_close(model.loss(batch), expected)
    assert len(runs) == len(set(runs)) == 4  # the ear's Transformer and three matrices
