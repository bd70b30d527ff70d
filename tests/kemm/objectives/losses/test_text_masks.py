"""What is hidden of a text: how much, in which pieces, and never what is not a word."""

from __future__ import annotations

import pytest
import torch

from kemm.objectives.losses.structure_mask import hide_structure, mask_chances
from kemm.objectives.losses.text_masks import corrupt, hide_spans, hide_units, token_units


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_fifteen_per_cent_of_forty_words_are_six_and_marks_and_padding_are_never_hidden() -> None:
    is_word = torch.ones(50, 48, dtype=torch.bool)
    is_word[:, 0] = is_word[:, 41:] = False
    hidden = hide_units(token_units(is_word), 0.15, seeded())
    assert (hidden.sum(1) == 6).all()
    assert not hidden[~is_word].any()
    assert hidden.any(0)[1:41].all()  # every place is hidden in some row


def test_a_word_of_several_tokens_is_hidden_whole() -> None:
    words = torch.tensor([[-1, 0, 0, 0, 1, 2, 2, 3, -1, -1]]).expand(200, -1)
    hidden = hide_units(words, 0.5, seeded())
    patterns = {tuple(row) for row in hidden.int().tolist()}
    # Two of four words: 0 is tokens 1–3, 1 is token 4, 2 is tokens 5–6, 3 is token 7.
    assert len(patterns) == 6
    assert (0, 1, 1, 1, 1, 0, 0, 0, 0, 0) in patterns
    assert all(row[1] == row[2] == row[3] and row[5] == row[6] for row in patterns)


def test_a_short_text_loses_one_word_and_a_text_without_words_none() -> None:
    units = torch.tensor([[0, 1, 2], [0, -1, -1], [-1, -1, -1]])
    assert hide_units(units, 0.15, seeded()).sum(1).tolist() == [1, 1, 0]
    assert not hide_units(torch.full((2, 3), -1), 0.15, seeded()).any()


def test_a_unit_of_three_times_the_weight_is_hidden_three_times_as_often() -> None:
    units = torch.tensor([[0, 1]]).expand(40_000, -1)
    weight = torch.tensor([[3.0, 1.0]]).expand(40_000, -1)
    share = hide_units(units, 0.5, seeded(), weight).float().mean(0)
    assert share.tolist() == pytest.approx([0.75, 0.25], abs=0.01)  # ± 4.6 standard errors of .0022


def test_spans_hide_exactly_the_share_of_words_and_more_neighbours_than_chance() -> None:
    words = torch.arange(100).expand(100, -1)
    hidden = hide_spans(words, 0.15, seeded())
    assert (hidden.sum(1) == 15).all()
    pairs = (hidden[:, 1:] & hidden[:, :-1]).sum(1).float().mean()
    assert pairs > 3 * 99 * 15 * 14 / (100 * 99)  # of 15 lone words 2.1 pairs would be neighbours


def test_the_mean_length_of_a_span_is_that_of_the_cut_geometric_distribution() -> None:
    # One long span is wanted of a long text: its length is the first one drawn.
    chance = [0.2 * 0.8**k for k in range(10)]
    mean = sum(p * (k + 1) for k, p in enumerate(chance)) / sum(chance)
    assert mean == pytest.approx(3.8, abs=0.01)
    generator = seeded()
    lengths = []
    for _ in range(800):
        hidden = hide_spans(torch.arange(2000)[None], 0.01, generator)[0].int()
        edges = torch.diff(hidden, prepend=torch.zeros(1, dtype=torch.int), append=torch.zeros(1, dtype=torch.int))
        lengths += ((edges == -1).nonzero() - (edges == 1).nonzero()).flatten().tolist()
    assert sum(lengths) / len(lengths) == pytest.approx(mean, abs=0.4)  # the last span of a row is cut to the share


def test_spans_keep_words_whole_and_leave_padding() -> None:
    words = torch.tensor([[-1, 0, 0, 1, 1, 2, 2, 3, 3, -1], [-1] * 10])
    hidden = hide_spans(words, 0.5, seeded())
    assert hidden[0].sum() == 4 and not hidden[1].any()
    assert (hidden[0, 1::2][:4] == hidden[0, 2::2][:4]).all()


def test_of_hidden_words_eight_in_ten_are_masked_one_is_replaced_and_one_stays() -> None:
    ids = torch.full((1000, 100), 7)
    hidden = torch.ones_like(ids, dtype=torch.bool)
    hidden[:, :50] = False
    read, said = corrupt(ids, hidden, mask_id=1, ordinary=torch.arange(10, 1010), generator=seeded())
    assert (read[:, :50] == 7).all() and (said[:, :50] == -1).all() and (said[:, 50:] == 7).all()
    tail = read[:, 50:]
    shares = [(tail == 1).float().mean(), ((tail >= 10) & (tail < 1010)).float().mean(), (tail == 7).float().mean()]
    assert [share.item() for share in shares] == pytest.approx([0.8, 0.1, 0.1], abs=0.01)


def test_the_tokens_of_one_unit_share_their_fate() -> None:
    units = torch.tensor([[0, 0, 0, 1, 1, -1]]).expand(300, -1)
    read, _ = corrupt(torch.full((300, 6), 7), units >= 0, 1, torch.arange(10, 99), seeded(), units)
    fate = torch.where(read == 1, 0, torch.where(read == 7, 2, 1))
    assert (fate[:, 0] == fate[:, 1]).all() and (fate[:, 1] == fate[:, 2]).all() and (fate[:, 3] == fate[:, 4]).all()
    assert (fate[:, 0] != fate[:, 3]).any() and (fate[:, 5] == 2).all()


def test_what_tells_of_an_anchor_is_hidden_the_more_the_closer_it_is() -> None:
    # Nodes: the anchor, one that it is tied to by .5, one by 1, one not at all, padding.
    anchor = torch.tensor([[True, False, False, False, False]])
    edges = torch.zeros(1, 5, 5)
    edges[0, 1, 0], edges[0, 2, 0], edges[0, 3, 2] = 0.5, 1.0, 1.0
    is_node = torch.tensor([[True, True, True, True, False]])
    chances = mask_chances(anchor, edges, is_node, base=0.1, most=0.5)
    assert chances[0].tolist() == pytest.approx([1.0, 0.3, 0.5, 0.1, 0.0])
    drawn = hide_structure(chances.expand(20_000, -1), seeded())
    assert drawn.float().mean(0).tolist() == pytest.approx([1.0, 0.3, 0.5, 0.1, 0.0], abs=0.015)
