"""Texts written word by word after pictures, facts or other things."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kemm.fuse.encoded import Encoded
from kemm.objectives.losses.captioning import next_words
from kemm.objectives.losses.span_corruption import prefix_lengths
from kemm.objectives.masked_language import WordsHead, commonest, word_table
from kemm.objectives.objective import Context, Objective


class Captioning(Objective):
    """The next word from the words before it and what stands before the text (``captioning``, ``grounded_writing``).

        L = mean over t of −log p(w_{t+1} | w_≤t, prefix)

    GIT (Wang et al., 2022, arXiv:2205.14100): picture and text in one Transformer, the picture reading itself, the text
    what stands before. Where a text tower is frozen its states would give away what follows, so each word comes in by
    its row of the tower's table alone.

    With ``given``, texts are cut at a place drawn evenly; words before it are read both ways, by the picture too, and
    only those after it are said: prefix language models, SimVLM (Wang et al., 2022, arXiv:2108.10904).

    With ``queries``, learned tokens read the picture and words read nothing of it but them: image-grounded generation,
    BLIP-2 (Li et al., 2023, arXiv:2301.12597). There a Q-Former cross-attends to the picture; here queries stand before
    it in the fusion encoder, which reads both ways.

    After facts (``prefix: [knowledge]``) it is language modelling over what a retriever brings, as REALM (Guu et al.,
    2020, arXiv:2002.08909) and RETRO (Borgeaud et al., 2022, arXiv:2112.04426); they retrieve passages, here it is the
    facts around the entity, and texts that tell of some of them.
    """

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.prefix: tuple[str, ...] = tuple(settings.prefix)
        self.needs = ("language", *self.prefix)
        self.head = WordsHead(context)
        self.queries = nn.Parameter(torch.randn(settings.queries, context.width) * 0.02) if settings.queries else None

    def logits(self, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor]:
        """(N, T, V) of the word after each, ids (N, T), and which are to be said (N, T); the first never is."""
        rows, part = self.rows(encoded), encoded.samples.parts["language"]
        assert part.raw is not None and part.mask is not None
        ids, real = part.raw[rows], part.mask[rows]
        given = self.cut(encoded, real) if self.settings.given else None
        logits = self.head(encoded.causal(self.prefix, given, self.queries), word_table(encoded))
        first = 1 if given is None else given[:, None]
        return logits, ids, real & (torch.arange(ids.shape[1], device=ids.device) >= first)

    def cut(self, encoded: Encoded, real: Tensor) -> Tensor:
        """(N,) how many words of each text are given, its mark of begin among them; drawn once a step."""

        def draw() -> Tensor:
            generator = encoded.generator or torch.Generator().manual_seed(0)
            return prefix_lengths(real.sum(1).cpu(), generator, least=1).to(real.device)

        return encoded.drawn(("given", self.prefix), draw)

    def forward(self, encoded: Encoded) -> Tensor:
        return next_words(*self.logits(encoded), self.settings.smoothing)

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        return said_right(*self.logits(encoded))


def said_right(logits: Tensor, ids: Tensor, wanted: Tensor) -> dict[str, float]:
    """Share of the words ``wanted`` (N, T) of ids (N, T) that logits (N, T, V) at the place before them say."""
    said, right = logits[:, :-1].argmax(-1)[wanted[:, 1:]], ids[:, 1:][wanted[:, 1:]]
    return {"accuracy": (said == right).float().mean().item(), "chance": commonest(right)} if len(right) else {}
