"""Do the words, the names of what is seen, and the picture belong together? Oscar's and VinVL's contrast."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.fuse.encoded import Encoded
from kemm.objectives.losses.matching import pollute_captions_or_tags, pollute_tags
from kemm.objectives.matching import classified
from kemm.objectives.objective import Context, Objective


class TagMatching(Objective):
    """What of (words, tags, picture) is another thing's (``tag_matching``).

        2 ways:  L = CE(W h_summary, tags polluted?),   half of the rows
        3 ways:  L = CE(W h_summary, {all its own, caption polluted, tags polluted}),   ½, ¼, ¼

    Oscar (Li et al., 2020, arXiv:2004.06165) and Oscar+ (VinVL, Zhang et al., 2021, arXiv:2101.00529). Tags follow the
    words in one sequence, told apart by a vector of their own; a detector's there, here the names that the graph or
    the user's table has for what is shown.
    """

    needs = ("vision", "language", "tags")

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.head = nn.Linear(context.width, settings.ways)
        self.segment = nn.Parameter(torch.randn(context.width) * 0.02)

    def logits(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """(N, ways), and what is right (N,)."""
        rows = self.rows(encoded)
        labels = _numbers(encoded, rows)
        if self.settings.ways == 2:
            tags, target = pollute_tags(labels, generator=encoded.generator)
            captions = torch.arange(len(rows), device=rows.device)
        else:
            captions, tags, target = pollute_captions_or_tags(labels, encoded.generator)
        tokens, mask = encoded.read.followed(rows[captions], encoded.further("tags"), rows[tags], self.segment)
        fused = encoded.together(
            {"vision": encoded.read.tokens("vision")[rows], "language": tokens},
            {"vision": encoded.read.mask("vision")[rows], "language": mask},
        )
        return self.head(fused["language"][:, 0]), target

    def forward(self, encoded: Encoded) -> Tensor:
        logits, target = self.logits(encoded)
        return F.cross_entropy(logits.float(), target)

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        return classified(*self.logits(encoded))


def _numbers(encoded: Encoded, rows: Tensor) -> Tensor:
    """(N,) equal where two rows show the same."""
    known = encoded.samples.shown[rows]
    return torch.where(known >= 0, known, -1 - torch.arange(len(known), device=known.device))
