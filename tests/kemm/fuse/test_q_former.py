"""Q-Former under BLIP-2's three masks, and LUKE's attention."""

from __future__ import annotations

import pytest
import torch

from kemm.fuse import masks
from kemm.fuse.entity_attention import EntityAwareAttention
from kemm.fuse.gated_cross_attention import GatedCrossAttention
from kemm.fuse.q_former import QFormer

Q, T, D = 3, 4, 16


@pytest.fixture(scope="module")
def former() -> QFormer:
    torch.manual_seed(0)
    return QFormer(D, 2, 2, context_width=8, queries=Q).eval()


def read(former: QFormer, mask: torch.Tensor, changed: str = "") -> tuple[torch.Tensor, torch.Tensor]:
    """Queries (Q, D) and words (T, D), with the picture or the last word changed."""
    generator = torch.Generator().manual_seed(1)
    picture, words = torch.randn(1, 5, 8, generator=generator), torch.randn(1, T, D, generator=generator)
    picture = picture + (changed == "picture")
    words[:, -1] += changed == "word"
    z = former(picture, words, mask)[0]
    return z[:Q], z[Q:]


def test_for_matching_all_read_all(former):
    mask = masks.bidirectional(Q, T)
    before, after, other = read(former, mask), read(former, mask, "word"), read(former, mask, "picture")
    assert not torch.equal(before[0], after[0])
    assert not torch.equal(before[1], other[1])


def test_for_contrast_neither_knows_of_the_other(former):
    mask = masks.unimodal(Q, T)
    before = read(former, mask)
    assert torch.equal(before[0], read(former, mask, "word")[0])
    assert torch.equal(before[1], read(former, mask, "picture")[1])


def test_for_captions_words_read_queries_and_what_stands_before_them(former):
    mask = masks.multimodal_causal(Q, T)
    before, after = read(former, mask), read(former, mask, "word")
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1][:-1], after[1][:-1])
    assert not torch.equal(before[1], read(former, mask, "picture")[1])


def test_words_alone_are_what_they_are_beside_queries_that_they_do_not_read(former):
    generator = torch.Generator().manual_seed(1)
    picture, words = torch.randn(1, 5, 8, generator=generator), torch.randn(1, T, D, generator=generator)
    beside = former(picture, words, masks.unimodal(Q, T))[:, Q:]
    torch.testing.assert_close(former(words=words), beside)


def test_each_of_the_four_ways_has_queries_of_its_own():
    torch.manual_seed(0)
    attention, x = EntityAwareAttention(D, 2), torch.randn(1, 5, D)
    before = attention(x, words=3)
    for name, half, rows in (
        ("word_queries", slice(0, D), slice(0, 3)),
        ("word_queries", slice(D, None), slice(0, 3)),
        ("entity_queries", slice(0, D), slice(3, None)),
        ("entity_queries", slice(D, None), slice(3, None)),
    ):
        weight = getattr(attention, name).weight.data
        kept = weight[half].clone()
        weight[half] += 1.0
        changed = ~torch.isclose(attention(x, words=3), before).all(dim=-1)[0]
        weight[half] = kept
        assert changed[rows].all()
        assert int(changed.sum()) == len(changed[rows])


def test_without_entities_it_is_plain_attention():
    torch.manual_seed(0)
    attention, x = EntityAwareAttention(D, 2), torch.randn(1, 5, D)
    alone = attention(x, words=5)
    attention.word_queries.weight.data[D:] += 1.0
    attention.entity_queries.weight.data += 1.0
    torch.testing.assert_close(attention(x, words=5), alone)


def test_a_token_that_may_read_no_picture_is_given_nothing_of_any():
    torch.manual_seed(0)
    block, x = GatedCrossAttention(D, 2, context_width=8), torch.randn(1, 2, D)
    block.cross_gate.data.fill_(1.0)
    mask = torch.tensor([[[False, False], [True, False]]])
    one, other = (block(x, torch.randn(1, 2, 8), mask) for _ in range(2))
    assert torch.equal(one[0, 0], other[0, 0])
    assert not torch.equal(one[0, 1], other[0, 1])
    torch.testing.assert_close(one[0, 0], x[0, 0])
