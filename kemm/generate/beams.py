"""Beam search: the K likeliest beginnings are kept, until none can beat the K best texts that have ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from kemm.generate import Filter, Generated, NextToken
from kemm.generate.cache import select_rows
from kemm.generate.one_by_one import next_logits, seen
from kg.errors import InputError


@torch.no_grad()
def beam_search(
    model: NextToken,
    tokens: Tensor,
    cache: Any = None,
    *,
    end: int,
    longest: int,
    num_beams: int = 4,
    num_best: int = 1,
    length_penalty: float = 1.0,
    early_stopping: bool | Literal["never"] = False,
    padding: int | None = None,
    filters: Sequence[Filter] = (),
    mask: Tensor | None = None,
) -> Generated:
    """Search for the text with the highest score.

        score(w) = Σ_i log p(w_i | w_<i) / |w|ᵃ        a the length penalty, |w| with the end token

    Of the 2 K likeliest continuations of a row's beams, the K likeliest that don't end are the next beams; those that
    end, and are among the K likeliest, join the K best texts. As in transformers' search, token for token.

    Args:
        num_beams: K.
        num_best: N ≤ K, texts returned.
        length_penalty: a; above 0 favours long texts, 0 compares plain sums.
        early_stopping: when a row is done. True: once K texts have ended. False: once the best beam, if it ended now,
            would not beat the worst of them. "never": once it could not at any length up to ``longest``.

    Returns:
        N texts a row, the best first; rows are done, and no longer computed, one by one. The rest is as in ``greedy``;
        filters see log-probabilities.

    Raises:
        InputError: as in ``greedy``, or N > K, or K < 1. A row for which filters leave nothing at all gets length 0.
    """
    so_far = seen(tokens, mask, longest)[:, None]  # (A, K, L); at first one beam a row
    if not 1 <= num_best <= num_beams:
        raise InputError(f"{num_best} texts of {num_beams} beams can't be given; keep 1 ≤ num_best ≤ num_beams")
    (batch, start), device = tokens.shape, tokens.device
    ended = _Best(batch, num_beams, longest, end if padding is None else padding, device)
    rows = torch.arange(batch, device=device)  # (A,) those that are not done
    total = torch.zeros(batch, 1, device=device)  # (A, K)
    for length in range(1, longest + 1):
        scores, cache = next_logits(model, tokens, cache)
        scores = scores.log_softmax(1)
        for narrow in filters:
            scores = narrow(scores, so_far.flatten(0, 1), start)
        active, beams, num_tokens = len(rows), so_far.shape[1], scores.shape[1]
        joint = (total[..., None] + scores.view(active, beams, num_tokens)).flatten(1)  # (A, K·V)
        top, place = joint.topk(min(2 * num_beams, joint.shape[1]))  # (A, 2 K)
        beam, chosen = place // num_tokens, place % num_tokens
        texts = torch.cat([_pick(so_far, beam), chosen[..., None]], dim=2)  # (A, 2 K, L + 1)

        ends = (chosen == end) | (length == longest)
        finished = ends & (torch.arange(top.shape[1], device=device) < num_beams)
        ended.add(rows, texts[..., start:], length, (top / length**length_penalty).masked_fill(~finished, -torch.inf))

        total, order = top.masked_fill(ends, -torch.inf).topk(min(num_beams, top.shape[1]))  # (A, K)
        so_far, beam = _pick(texts, order), beam.gather(1, order)
        reach = longest if early_stopping == "never" and length_penalty > 0 else length
        goes_on = total[:, 0] / reach**length_penalty > ended.scores[rows, -1]
        if early_stopping is True:
            goes_on &= ended.scores[rows, -1] == -torch.inf
        if not goes_on.any():
            break
        source = torch.arange(active, device=device)[:, None] * beams + beam  # (A, K) rows of the cache
        rows, so_far, total, source = rows[goes_on], so_far[goes_on], total[goes_on], source[goes_on]
        cache, tokens = select_rows(cache, source.flatten()), so_far[..., -1:].flatten(0, 1)
    return Generated(ended.tokens[:, :num_best, :length], ended.lengths[:, :num_best], ended.scores[:, :num_best])


class _Best:
    """The K best texts of each row that have ended; a place not taken yet has score −∞ and length 0."""

    def __init__(self, batch: int, num_beams: int, longest: int, padding: int, device: torch.device) -> None:
        self.padding = padding
        self.tokens = torch.full((batch, num_beams, longest), padding, device=device)
        self.lengths = torch.zeros(batch, num_beams, dtype=torch.int64, device=device)
        self.scores = torch.full((batch, num_beams), -torch.inf, device=device)

    def add(self, rows: Tensor, texts: Tensor, length: int, scores: Tensor) -> None:
        """Take texts ``(A, C, length)`` with scores ``(A, C)`` in where they are better; −∞ never is."""
        merged, order = torch.cat([self.scores[rows], scores], dim=1).topk(self.scores.shape[1])
        candidates = torch.full((*scores.shape, self.tokens.shape[2]), self.padding, device=texts.device)
        candidates[..., :length] = texts
        lengths = torch.full_like(scores, length, dtype=torch.int64).masked_fill(scores == -torch.inf, 0)
        candidates = candidates.masked_fill((lengths == 0)[..., None], self.padding)
        self.scores[rows] = merged
        self.tokens[rows] = _pick(torch.cat([self.tokens[rows], candidates], dim=1), order)
        self.lengths[rows] = torch.cat([self.lengths[rows], lengths], dim=1).gather(1, order)


def _pick(x: Tensor, order: Tensor) -> Tensor:
    """(A, C, L), (A, K) → (A, K, L)"""
    return x.gather(1, order[..., None].expand(-1, -1, x.shape[2]))
