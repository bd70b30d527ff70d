"""Greedy writing, sampling, beams, filters and tries on models small enough to be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from kemm.generate import WAYS
from kemm.generate.beams import beam_search
from kemm.generate.cache import select_rows
from kemm.generate.filters import MinimumLength, NoRepeatedRuns, RepetitionPenalty, Temperature, TopK, TopP
from kemm.generate.one_by_one import greedy, sample
from kemm.generate.trie import Trie
from kg.errors import InputError, KemmError
from kg.registry import resolve
from tests.kemm.generate.references import Table

A, B, END = 0, 1, 2

# After A: A 0.1, B 0.5, end 0.4. After B: A 0.3, B 0.3, end 0.4. The best two-token text by its sum is "end" (0.4),
# greedy writes "B end" (0.5 · 0.4 = 0.2).
MARKOV = [[0.1, 0.5, 0.4], [0.3, 0.3, 0.4], [0.0, 0.0, 1.0]]


def start(*tokens: int) -> Tensor:
    return torch.tensor(tokens)[:, None]


def test_greedy_takes_the_likeliest_token_though_another_text_is_likelier() -> None:
    written = greedy(Table(MARKOV), start(A), end=END, longest=5)
    assert written.rows() == [[B, END]]
    assert written.scores.item() == pytest.approx(math.log(0.5 * 0.4))


def test_beams_find_the_likeliest_text_and_the_length_penalty_changes_which_is_best() -> None:
    sums = beam_search(Table(MARKOV), start(A), end=END, longest=5, num_beams=2, num_best=2, length_penalty=0.0)
    assert sums.rows() == [[END]] and sums.tokens[0, 1, :2].tolist() == [B, END]
    assert sums.scores[0].tolist() == pytest.approx([math.log(0.4), math.log(0.2)])
    means = beam_search(Table(MARKOV), start(A), end=END, longest=5, num_beams=2, length_penalty=1.0)
    assert means.rows() == [[B, END]]  # ½ log 0.2 = −0.80 beats log 0.4 = −0.92
    assert means.scores.item() == pytest.approx(math.log(0.2) / 2)


def test_a_row_that_has_ended_is_no_longer_computed() -> None:
    chain = Table([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])  # A → B → end
    written = greedy(chain, start(A, B, B), end=END, longest=9, padding=7)
    assert written.tokens[:, 0].tolist() == [[B, END], [END, 7], [END, 7]]
    assert written.lengths[:, 0].tolist() == [2, 1, 1]
    assert chain.num_rows == [3, 1]
    chain.num_rows.clear()
    assert beam_search(chain, start(A, B), end=END, longest=9, num_beams=1).rows() == [[B, END], [END]]
    assert chain.num_rows == [2, 1]


def test_what_never_ends_is_cut_at_the_longest_length() -> None:
    endless = Table([[0.4, 0.6, 0.0]] * 3)
    assert greedy(endless, start(A), end=END, longest=3).rows() == [[B, B, B]]
    assert beam_search(endless, start(A), end=END, longest=3, num_beams=2).rows() == [[B, B, B]]


def test_samples_come_as_often_as_they_are_likely() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = sample(Table(MARKOV), start(A), end=END, longest=1, generator=generator, num_samples=20_000)
    share = drawn.tokens.flatten().bincount(minlength=3) / 20_000
    torch.testing.assert_close(share, torch.tensor([0.1, 0.5, 0.4]), atol=0.012, rtol=0)  # three deviations: 0.0106
    assert (drawn.scores.diff(dim=1) <= 0).all()  # the likeliest first


def test_the_same_generator_draws_the_same_whenever_other_rows_end() -> None:
    def draw(first: int) -> list[int]:
        table = Table([*MARKOV[:2], [0.0, 0.0, 1.0], [0.3, 0.3, 0.4]])
        return sample(table, start(first, A), end=END, longest=30, generator=torch.Generator().manual_seed(4)).rows()[1]

    assert draw(first=END) == draw(first=3)  # the other row ends at once, or later


def test_low_temperature_and_small_nuclei_are_greedy() -> None:
    for options in ({"temperature": 0.01}, {"top_k": 1}, {"top_p": 0.01}):
        drawn = sample(Table(MARKOV), start(A), end=END, longest=5, generator=torch.Generator(), **options)  # type: ignore[arg-type]
        assert drawn.rows() == [[B, END]]


# ── filters ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_top_k_and_top_p_leave_what_they_say() -> None:
    scores = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    nothing = torch.zeros(1, 0, dtype=torch.int64)
    kept = TopK(2)(scores, nothing, 0).isfinite()
    assert kept.tolist() == [[True, True, False, False]]
    for p, count in ((0.4, 1), (0.6, 2), (0.94, 3), (1.0, 4)):
        assert TopP(p)(scores, nothing, 0).isfinite().sum() == count


def test_a_repeated_token_is_divided_if_likely_and_multiplied_if_not_and_padding_is_no_token() -> None:
    scores = torch.tensor([[2.0, -2.0, 1.0]])
    assert RepetitionPenalty(2.0)(scores, torch.tensor([[0, 1, 0]]), 0).tolist() == [[1.0, -4.0, 1.0]]
    assert RepetitionPenalty(2.0)(scores, torch.tensor([[-1, -1]]), 0).tolist() == scores.tolist()


def test_no_run_is_written_twice() -> None:
    scores = torch.zeros(1, 5)
    forbidden = NoRepeatedRuns(2)(scores, torch.tensor([[3, 4, 1, 3]]), 0)  # 3 was followed by 4
    assert forbidden.isinf().tolist() == [[False, False, False, False, True]]
    assert not NoRepeatedRuns(2)(scores, torch.tensor([[-1, -1]]), 0).isinf().any()
    single = NoRepeatedRuns(1)(scores, torch.tensor([[3, 0]]), 0)
    assert single.isinf().tolist() == [[True, False, False, True, False]]


def test_no_end_before_the_least_length_whatever_the_prompts() -> None:
    prompt = torch.tensor([[A, A, A]])
    assert greedy(Table(MARKOV), prompt, end=END, longest=9, filters=[MinimumLength(3, END)]).lengths.item() == 4
    found = beam_search(Table(MARKOV), prompt, end=END, longest=9, num_beams=2, filters=[MinimumLength(3, END)])
    assert found.lengths.item() >= 4


# ── tries ─────────────────────────────────────────────────────────────────────────────────────────────────────────

NAMES = [[3, 4], [3, 4, 5], [3, 6], [7]]


def test_a_trie_knows_what_may_follow() -> None:
    trie = Trie([*NAMES, [3, 4]], end=0)
    assert len(trie) == 4
    allowed = {
        (): [3, 7],
        (3,): [4, 6],
        (3, 4): [0, 5],
        (3, 4, 5): [0],
        (7,): [0],
        (7, 0): [],
        (4,): [],
        (3, 4, 5, 0): [],
    }
    for prefix, following in allowed.items():
        assert trie.after(prefix).tolist() == following


def test_beams_in_a_trie_write_its_sequences_and_no_other_with_probabilities_that_sum_to_one() -> None:
    torch.manual_seed(0)
    table = Table(torch.rand(8, 8).softmax(1).tolist())
    trie = Trie(NAMES, end=0)
    prompt = torch.tensor([[5, 1], [2, 2]])  # the prompt is not part of what the trie sees
    found = beam_search(
        table,
        prompt,
        end=0,
        longest=6,
        num_beams=6,
        num_best=6,
        length_penalty=0.0,
        early_stopping="never",
        filters=[trie],
    )
    for row in range(2):
        real = found.lengths[row] > 0
        assert real.sum() == 4  # two of six beams had nothing to write
        written = [t[: n - 1].tolist() for t, n in zip(found.tokens[row][real], found.lengths[row][real], strict=True)]
        assert sorted(written) == sorted(NAMES)
        assert found.scores[row][real].exp().sum().item() == pytest.approx(1.0, abs=1e-6)
    assert greedy(table, prompt, end=0, longest=6, filters=[trie]).rows()[0][:-1] in NAMES


def test_a_trie_of_one_empty_sequence_ends_at_once() -> None:
    written = greedy(Table(MARKOV), start(A), end=END, longest=3, filters=[Trie([[]], END)])
    assert written.rows() == [[END]] and written.scores.item() == 0.0


# ── caches and bad input ──────────────────────────────────────────────────────────────────────────────────────────


def test_rows_of_nested_caches_move_together() -> None:
    cache = {"keys": [torch.arange(3), (torch.arange(3) * 10, None)], "length": 5}
    moved = select_rows(cache, torch.tensor([2, 2, 0]))
    assert moved["keys"][0].tolist() == [2, 2, 0]
    assert moved["keys"][1][0].tolist() == [20, 20, 0] and moved["keys"][1][1] is None and moved["length"] == 5


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: greedy(Table(MARKOV), torch.empty(1, 0, dtype=torch.int64), end=END, longest=3), "a prompt of shape"),
        (lambda: greedy(Table(MARKOV), start(A), end=END, longest=0), "at most 0 tokens"),
        (
            lambda: beam_search(Table(MARKOV), start(A), end=END, longest=3, num_beams=2, num_best=3),
            "3 texts of 2 beams",
        ),
        (lambda: Temperature(0.0), "temperature of 0.0"),
        (lambda: TopK(0), "top_k is 0"),
        (lambda: TopP(0.0), "top_p is 0.0"),
        (lambda: RepetitionPenalty(0.0), "repetition penalty of 0.0"),
        (lambda: NoRepeatedRuns(0), "runs of 0 tokens"),
        (lambda: Trie([], END), "a trie of no sequences"),
        (lambda: Trie([[A, END, B]], END), r"the sequence \[0, 2, 1\]"),
        (
            lambda: greedy(
                Table(MARKOV), start(A), end=END, longest=4, filters=[Trie([[B]], END), MinimumLength(2, END)]
            ),
            "nothing may be written as token 2",
        ),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(make, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_beams_with_nothing_left_to_write_give_an_empty_text_and_leave_other_rows_alone() -> None:
    found = beam_search(
        Table(MARKOV), start(A), end=END, longest=4, num_beams=2, filters=[Trie([[B]], END), MinimumLength(2, END)]
    )
    assert found.lengths.tolist() == [[0]] and found.scores.tolist() == [[-math.inf]] and found.rows() == [[]]


def test_a_model_that_has_diverged_is_said_to_have() -> None:
    broken = Table(MARKOV)
    broken.logits[:] = math.nan
    for way in (greedy, beam_search):
        with pytest.raises(KemmError, match="diverged"):
            way(broken, start(A), end=END, longest=3)


def test_every_way_in_the_table_is_there() -> None:
    assert all(callable(resolve(WAYS, name, "way of writing")) for name in WAYS)
