"""Does this sentence go on where that one ends? BERT's second objective, and LinkBERT's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.fuse.encoded import Encoded
from kemm.objectives.losses.matching import other_rows
from kemm.objectives.matching import classified
from kemm.objectives.objective import Context, Objective

NEXT, RANDOM, LINKED = range(3)


class NextSentence(Objective):
    """How a second text relates to a first (``next_sentence``).

        L = CE(W h_summary, {goes on, of another document, of a linked document}),   each equally often

    BERT (Devlin et al., 2019, arXiv:1810.04805) has the first two, LinkBERT (Yasunaga et al., 2022, arXiv:2203.15827)
    the third, with ``links``. Links there are hyperlinks, here statements between the entities that texts describe. A
    tower reads each text by itself; they meet in the fusion encoder. A row without a linked text gets its next one.
    """

    needs: tuple[str, ...] = ("language", "next")

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        if settings.links:
            self.needs = ("language", "next", "linked")
        self.head = nn.Linear(context.width, 3 if settings.links else 2)
        self.segment = nn.Parameter(torch.randn(context.width) * 0.02)

    def logits(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """(N, 2 or 3), and what is right (N,)."""
        self.rows(encoded)
        rows = encoded.rows("language", "next")
        target, others = encoded.drawn(("second", self.settings.links), lambda: self.draw(encoded, rows))
        chosen = torch.where(target == RANDOM, others, torch.arange(len(rows), device=rows.device))
        tokens, mask = encoded.read.followed(rows, encoded.further("next"), rows[chosen], self.segment)
        if self.settings.links and bool((target == LINKED).any()):
            linked, its_mask = encoded.read.followed(rows, encoded.further("linked"), rows, self.segment)
            length = max(tokens.shape[1], linked.shape[1])
            (tokens, mask), (linked, its_mask) = (
                (F.pad(t, (0, 0, 0, length - t.shape[1])), F.pad(m, (0, length - m.shape[1])))
                for t, m in ((tokens, mask), (linked, its_mask))
            )
            is_linked = (target == LINKED)[:, None]
            tokens, mask = torch.where(is_linked[..., None], linked, tokens), torch.where(is_linked, its_mask, mask)
        return self.head(encoded.together({"language": tokens}, {"language": mask})["language"][:, 0]), target

    def draw(self, encoded: Encoded, rows: Tensor) -> tuple[Tensor, Tensor]:
        """What each row gets (N,), and whose next text is a random one's (N,)."""
        entity = encoded.samples.shown[rows]
        others = other_rows(torch.where(entity >= 0, entity, -1 - rows), encoded.generator)
        kinds = 3 if self.settings.links else 2
        target = (encoded.random(len(rows)) * kinds).long().to(rows.device)
        if self.settings.links:
            target = target.masked_fill((target == LINKED) & ~encoded.samples.has("linked")[rows], NEXT)
        return target.masked_fill((target == RANDOM) & (others < 0), NEXT), others.clamp(min=0)

    def forward(self, encoded: Encoded) -> Tensor:
        logits, target = self.logits(encoded)
        return F.cross_entropy(logits.float(), target)

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        return classified(*self.logits(encoded))
