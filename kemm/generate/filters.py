"""What may be written next: filters narrow the scores of all tokens before one is chosen.

Each takes scores ``(N, V)``, the tokens so far ``(N, L)`` and where in them the writing began; see ``Filter``. A token
that must not be written gets −∞. They are applied in the order given.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kg.errors import InputError


class RepetitionPenalty:
    """Make tokens that stand in the text already less likely: x ← x / θ where x > 0, θ x otherwise.

    CTRL (Keskar et al., 2019, arXiv:1909.05858, section 4.1; 1.2 there), with the sign minded as in transformers. The
    prompt counts as text.
    """

    def __init__(self, penalty: float) -> None:
        if not penalty > 0:
            raise InputError(f"a repetition penalty of {penalty} means nothing; give 1 (none) or more")
        self.penalty = penalty

    def __call__(self, scores: Tensor, tokens: Tensor, start: int) -> Tensor:
        seen = torch.zeros(len(scores), scores.shape[1] + 1, dtype=torch.bool, device=scores.device)
        seen = seen.scatter(1, tokens + 1, True)[:, 1:]  # padding is −1
        return torch.where(seen, torch.where(scores > 0, scores / self.penalty, scores * self.penalty), scores)


class NoRepeatedRuns:
    """Never write the same run of ``length`` tokens twice (Paulus et al., 2017, arXiv:1705.04304, section 2.5)."""

    def __init__(self, length: int) -> None:
        if length < 1:
            raise InputError(f"runs of {length} tokens can't be forbidden; give 1 or more")
        self.length = length

    def __call__(self, scores: Tensor, tokens: Tensor, start: int) -> Tensor:
        if tokens.shape[1] < self.length:
            return scores
        runs = tokens.unfold(1, self.length, 1)  # (N, L − n + 1, n)
        begun = tokens[:, tokens.shape[1] - self.length + 1 :]  # (N, n − 1): what the next token would complete
        again = (runs[:, :, :-1] == begun[:, None]).all(2) & (runs >= 0).all(2)
        rows, places = again.nonzero(as_tuple=True)
        scores = scores.clone()
        scores[rows, runs[rows, places, -1]] = -torch.inf
        return scores


class MinimumLength:
    """No end token before ``least`` other tokens are written."""

    def __init__(self, least: int, end: int) -> None:
        self.least, self.end = least, end

    def __call__(self, scores: Tensor, tokens: Tensor, start: int) -> Tensor:
        if tokens.shape[1] - start >= self.least:
            return scores
        scores = scores.clone()
        scores[:, self.end] = -torch.inf
        return scores


class Temperature:
    """x ← x / T: below 1 likely tokens become likelier, above 1 less so."""

    def __init__(self, temperature: float) -> None:
        if not temperature > 0:
            raise InputError(f"a temperature of {temperature} can't be sampled at; give one above 0, or write greedily")
        self.temperature = temperature

    def __call__(self, scores: Tensor, tokens: Tensor, start: int) -> Tensor:
        return scores / self.temperature


class TopK:
    """Only the k likeliest tokens (Fan et al., 2018, arXiv:1805.04833), and those as likely as the k-th."""

    def __init__(self, k: int) -> None:
        if k < 1:
            raise InputError(f"top_k is {k}; give 1 or more")
        self.k = k

    def __call__(self, scores: Tensor, tokens: Tensor, start: int) -> Tensor:
        least = scores.topk(min(self.k, scores.shape[1])).values[:, -1:]
        return scores.masked_fill(scores < least, -torch.inf)


class TopP:
    """Only the likeliest tokens that have probability p together (Holtzman et al., 2020, arXiv:1904.09751)."""

    def __init__(self, p: float) -> None:
        if not 0 < p <= 1:
            raise InputError(f"top_p is {p}; give a probability above 0, at most 1")
        self.p = p

    def __call__(self, scores: Tensor, tokens: Tensor, start: int) -> Tensor:
        ascending, order = scores.sort(dim=1)
        unlikely = ascending.softmax(1).cumsum(1) <= 1 - self.p
        unlikely[:, -1] = False
        return scores.masked_fill(unlikely.scatter(1, order, unlikely), -torch.inf)
