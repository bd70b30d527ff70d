"""Taking spans out of a text and cutting it: the paper's own example, and that nothing is lost."""

from __future__ import annotations

import pytest
import torch

from kemm.objectives.losses.span_corruption import noise_mask, prefix_lengths, random_parts, with_sentinels


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_papers_example() -> None:
    words = ["Thank", "you", "for", "inviting", "me", "to", "your", "party", "last", "week"]
    taken = [word in ("for", "inviting", "last") for word in words]
    X, Y, Z = 1000, 1001, 1002
    read, written = with_sentinels(range(10), taken, [X, Y, Z])
    assert read == [0, 1, X, 4, 5, 6, 7, Y, 9]  # Thank you <X> me to your party <Y> week
    assert written == [X, 2, 3, Y, 8, Z]  # <X> for inviting <Y> last <Z>


def test_fifteen_per_cent_in_spans_of_three_on_average() -> None:
    generator = seeded()
    for _ in range(50):
        mask = noise_mask(512, generator)
        spans = int((mask & ~torch.cat([torch.tensor([False]), mask[:-1]])).sum())
        assert int(mask.sum()) == 77 and spans == 26  # round(.15 · 512), round(77 / 3)
        assert not mask[0] and mask[-1]


@pytest.mark.parametrize(("length", "taken"), [(0, 0), (1, 0), (2, 1), (3, 1), (10, 2)])
def test_short_texts_lose_at_least_one_token_and_never_all(length: int, taken: int) -> None:
    mask = noise_mask(length, seeded())
    assert len(mask) == length and int(mask.sum()) == taken


def test_read_and_written_together_give_the_text_back() -> None:
    generator = seeded()
    for length in (2, 7, 40, 133):
        ids = list(range(length))
        read, written = with_sentinels(ids, noise_mask(length, generator).tolist(), range(1000, 1100))
        spans: dict[int, list[int]] = {}
        for token in written:
            if token >= 1000:
                spans[token] = []
            else:
                spans[list(spans)[-1]].append(token)
        assert [token for piece in read for token in spans.get(piece, [piece])] == ids


def test_too_few_sentinels_are_an_error() -> None:
    with pytest.raises(ValueError, match="2 sentinels are too few"):
        with_sentinels([5, 6, 7], [True, False, True], [100, 101])


def test_every_sum_is_alike_likely() -> None:
    generator = seeded()
    parts = [tuple(random_parts(4, 2, generator)) for _ in range(3000)]
    for sum_ in ((1, 3), (2, 2), (3, 1)):
        assert parts.count(sum_) / 3000 == pytest.approx(1 / 3, abs=0.04)


def test_a_prefix_leaves_at_least_one_word_to_write() -> None:
    lengths = torch.tensor([10, 2, 1, 0]).repeat(500)
    prefix = prefix_lengths(lengths, seeded()).view(500, 4)
    assert set(prefix[:, 0].tolist()) == set(range(10))
    assert set(prefix[:, 1].tolist()) == {0, 1}
    assert not prefix[:, 2:].any()
    assert set(prefix_lengths(torch.full((500,), 10), seeded(), least=7).tolist()) == {7, 8, 9}
