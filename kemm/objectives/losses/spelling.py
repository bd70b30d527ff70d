"""Speech against names as they are spelled: CTC over letters, and how well each name fits each recording.

Connectionist temporal classification (Graves et al., 2006): every step says a letter or nothing (0, the blank), and a
name's probability is the sum over all alignments that say it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from kg.devices import is_compiled
from kg.kernels import njit, prange


def spelling_loss(log_p: Tensor, steps: Tensor, letters: Tensor, lengths: Tensor) -> Tensor:
    """How surprising its own name is, per letter, for each recording.

        L = −mean_r (1 / |n_r|) log p(n_r | r)

    over the recordings whose name has a letter and fits into their steps; 0 where there is none.

    Args:
        log_p: log-probabilities of the C letters, blank first, (R, T, C).
        steps: steps that are there, (R,).
        letters: of each recording's name, (R, L); lengths: (R,).
    """
    found = _log_probability(log_p, steps, letters, lengths)
    counts = found.isfinite() & (lengths > 0)
    return -torch.where(counts, found / lengths.clamp(min=1), 0.0).sum() / counts.sum().clamp(min=1)


@torch.no_grad()
def name_log_probabilities(log_p: Tensor, steps: Tensor, letters: Tensor, lengths: Tensor) -> Tensor:
    """Each of N names against each of R recordings, without a gradient.

        s_rn = log p(n | r) = log Σ_(a says n) Π_t p(a_t | r)

    Args:
        log_p: (R, T, C); steps: (R,).
        letters: (N, L); lengths: (N,).

    Returns:
        s, (R, N); −inf where a name does not fit into the steps, or has no letter.
    """
    found = log_p.new_full((len(log_p), len(letters)), -torch.inf)
    for row, (one, step) in enumerate(zip(log_p, steps, strict=True)):
        left = (lengths > 0) & (lengths <= step)
        if is_compiled(log_p):
            p = one[: int(step)].double().exp().numpy()
            found[row] = torch.from_numpy(_forward(p, letters.numpy(), lengths.numpy()))
            left &= found[row].isneginf()  # what float64 can't hold
        if left.any():
            expanded = one.expand(int(left.sum()), -1, -1)
            found[row, left] = _log_probability(expanded, step.expand(len(expanded)), letters[left], lengths[left])
    return found


@njit(cache=True, nogil=True, parallel=True)
def _forward(p: np.ndarray, letters: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """CTC's forward variables, divided by their sum at each step: p (T, C), (N, L), (N,) → log p of each name (N,).

        α_t(s) = p_t(l_s) (α_t₋₁(s) + α_t₋₁(s − 1) + [l_s ≠ l_s₋₂] α_t₋₁(s − 2))

    l the name's letters with blanks before, between and after; the third way is of letters alone.
    """
    found = np.full(len(letters), -np.inf)
    for n in prange(len(letters)):
        length = lengths[n]
        if length == 0 or length > len(p):
            continue
        states = 2 * length + 1
        alpha = np.zeros(states)
        alpha[0] = 1.0  # before the first step: the way to the first blank, and to the first letter
        scale = 0.0
        for t in range(len(p)):
            total = 0.0
            for s in range(states - 1, -1, -1):
                value = alpha[s]
                if s > 0:
                    value += alpha[s - 1]
                letter = 0
                if s & 1:
                    letter = letters[n, s >> 1]
                    if s > 1 and letter != letters[n, (s >> 1) - 1]:
                        value += alpha[s - 2]
                alpha[s] = value * p[t, letter]
                total += alpha[s]
            if total == 0.0:
                break
            for s in range(states):
                alpha[s] /= total
            scale += np.log(total)
        ends = alpha[states - 1] + alpha[states - 2]
        if ends > 0.0:
            found[n] = scale + np.log(ends)
    return found


def known_name_posterior(scores: Tensor, background: Tensor) -> Tensor:
    """Which of N known names is said in each recording?

        log P(n | r) = log softmax_n (s_rn − log mean_b exp s_bn)

    What a name would get from any recording at all is taken off, since log p favours short names and common letters;
    names are alike probable before anything is heard.

    Args:
        scores: s of the recordings, (R, N).
        background: s of other recordings, (B, N), such as those that were learned from.

    Returns:
        (R, N). A recording that no name fits has all of them alike.
    """
    lowest = torch.finfo(scores.dtype).min / 4  # so that nothing below is inf − inf
    usual = background.clamp(min=lowest).logsumexp(0) - math.log(max(len(background), 1))
    return (scores.clamp(min=lowest) - usual).clamp(min=lowest).log_softmax(1)


def _log_probability(log_p: Tensor, steps: Tensor, letters: Tensor, lengths: Tensor) -> Tensor:
    """(R,) of (R, T, C) and (R, L); −inf where the name does not fit."""
    fits = lengths <= steps
    found = -F.ctc_loss(log_p.transpose(0, 1), letters, steps, lengths, reduction="none", zero_infinity=True)
    # a repeated letter needs a blank between: torch says inf then, which zero_infinity turns into 0, as no p < 1 gives
    return torch.where(fits & ((found < 0) | (lengths == 0)), found, -torch.inf)
