"""Closed answers: only sequences of a given set can be written, as in OFA (Wang et al., 2022, arXiv:2202.03052)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from kg.errors import InputError


class Trie:
    """A filter that allows the sequences of a set, each followed by the end token, and nothing else.

        p(w | written) = softmax over the children of what is written,   0 elsewhere

    So that probabilities are shared out among what is allowed before beams are compared, as in OFA's own decoder. The
    sequences are kept as sorted rows: those that go on from a prefix stand together, and are found by bisection, in
    4 bytes a token (117,000 names of entities: 3 MB).

    Args:
        sequences: token ids of each; an empty one allows ending at once.
        end: the end token.

    Raises:
        InputError: there are none, or one holds the end token.
    """

    def __init__(self, sequences: Iterable[Sequence[int]], end: int) -> None:
        rows = sorted({(*map(int, sequence), end) for sequence in sequences})
        if not rows:
            raise InputError("a trie of no sequences allows nothing to be written; give at least one")
        wrong = next((row for row in rows if end in row[:-1] or min(row) < 0), None)
        if wrong is not None:
            raise InputError(
                f"the sequence {list(wrong[:-1])} holds the end token {end} or a negative id; leave those out"
            )
        self.table = np.full((len(rows), max(map(len, rows))), -1, dtype=np.int32)  # −1 sorts first, as in tuples
        for row, sequence in enumerate(rows):
            self.table[row, : len(sequence)] = sequence
        self.first = np.unique(self.table[:, 0])

    def __len__(self) -> int:
        return len(self.table)

    def after(self, prefix: Sequence[int]) -> np.ndarray:
        """The tokens that may follow ``prefix``, ascending; none after an end token or what is not allowed."""
        if len(prefix) == 0:
            return self.first
        low, high = 0, len(self.table)
        for place, token in enumerate(prefix):
            if place >= self.table.shape[1] - 1:  # at most an end token stands there
                return np.empty(0, dtype=np.int32)
            column = self.table[low:high, place]
            low, high = low + int(column.searchsorted(token)), low + int(column.searchsorted(token, side="right"))
        following = np.unique(self.table[low:high, len(prefix)])
        return following[following >= 0]

    def __call__(self, scores: Tensor, tokens: Tensor, start: int) -> Tensor:
        allowed = torch.full_like(scores, -torch.inf)
        for row, prefix in enumerate(tokens[:, start:].tolist()):
            allowed[row, torch.from_numpy(self.after(prefix).astype(np.int64))] = 0.0
        narrowed = scores + allowed
        total = narrowed.logsumexp(1, keepdim=True)
        return narrowed - torch.where(total == -torch.inf, 0.0, total)  # a dead end stays −∞ rather than NaN
