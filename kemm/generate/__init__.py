"""Writing text, a token at a time, with any model that can say how likely each next token is (``NextToken``).

The three ways are in ``WAYS``. All of them take the tokens to go on from and the model's cache, let each row of the
batch end on its own, and return ``Generated``; what may be written is narrowed by filters (``kemm.generate.filters``),
among them the tries of OFA (``kemm.generate.trie``). An encoder–decoder hands its encoded input over in the cache, a
decoder reads its prompt as the tokens to go on from, and one with a soft prefix (BLIP-2) puts that into the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

#: name → "module:function"
WAYS = {
    "greedy": "kemm.generate.one_by_one:greedy",
    "sample": "kemm.generate.one_by_one:sample",
    "beams": "kemm.generate.beams:beam_search",
}


class NextToken(Protocol):
    """The contract of a model that text is written with."""

    def step(self, tokens: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """Read some tokens.

        Args:
            tokens: ``(B, t)`` int64: the first time the prompt, then one token a row.
            cache: what came before: None, or what the model itself returned; its rows are those of ``tokens``. See
                ``kemm.generate.cache`` for what it may be made of.

        Returns:
            The logits ``(B, V)`` of the token after the last one, and the cache that has read it.
        """
        ...


#: Scores ``(N, V)``, all tokens read or written so far ``(N, L)`` with −1 for padding, and where in L the writing began
#: → scores ``(N, V)``; what must not be written gets −∞.
Filter = Callable[["Tensor", "Tensor", int], "Tensor"]


@dataclass(frozen=True)
class Generated:
    """What was written for each of B rows, the best first.

    Attributes:
        tokens: ``(B, N, T)`` int64 without the prompt: up to and with the end token, then padding.
        lengths: ``(B, N)``, the end token counted; 0 where fewer than N could be written.
        scores: ``(B, N)``: the sum of the log-probabilities that were chosen from; of beams, divided by lengthᵃ.
    """

    tokens: Tensor
    lengths: Tensor
    scores: Tensor

    def rows(self) -> list[list[int]]:
        """The best of each row as token ids, without padding."""
        return [row[:length].tolist() for row, length in zip(self.tokens[:, 0], self.lengths[:, 0], strict=True)]
