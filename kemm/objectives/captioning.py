"""Captions written word by word after the picture; texts written after facts."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from kemm.fuse.encoded import Encoded
from kemm.objectives.losses.captioning import next_words
from kemm.objectives.masked_language import WordsHead, commonest, word_table
from kemm.objectives.objective import Context, Objective


class Captioning(Objective):
    """The next word from the picture and the words before it (``captioning``).

        L = mean over t of −log p(w_{t+1} | w_≤t, picture)

    GIT (Wang et al., 2022, arXiv:2205.14100): picture and text in one Transformer, the picture reading itself, the text
    what stands before. Where a text tower is frozen its states would give away what follows, so each word comes in by
    its row of the tower's table alone.
    """

    prefix: tuple[str, ...] = ("vision",)

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("language", *self.prefix)

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.head = WordsHead(context)

    def logits(self, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor]:
        """(N, T, V) of the word after each, ids (N, T), and which are words (N, T)."""
        rows, part = self.rows(encoded), encoded.samples.parts["language"]
        assert part.raw is not None and part.mask is not None
        return self.head(encoded.causal(self.prefix), word_table(encoded)), part.raw[rows], part.mask[rows]

    def forward(self, encoded: Encoded) -> Tensor:
        return next_words(*self.logits(encoded), self.settings.smoothing)

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        logits, ids, real = self.logits(encoded)
        said, wanted = logits[:, :-1].argmax(-1)[real[:, 1:]], ids[:, 1:][real[:, 1:]]
        return {"accuracy": (said == wanted).float().mean().item(), "chance": commonest(wanted)}


class GroundedWriting(Captioning):
    """The next word from facts found in the graph, and the picture where set so (``grounded_writing``).

        L = mean over t of −log p(w_{t+1} | w_≤t, facts)

    Language modelling over what a retriever brings, as REALM (Guu et al., 2020, arXiv:2002.08909) and RETRO (Borgeaud
    et al., 2022, arXiv:2112.04426); they retrieve passages, here it is the facts around the entity, as tokens of the
    prefix, and texts that tell of some of them.
    """

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.prefix = tuple(settings.prefix)
