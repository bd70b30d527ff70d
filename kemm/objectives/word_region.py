"""Words carried to regions at the least cost: the alignment of UNITER and ViLT."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kemm.fuse.encoded import Encoded
from kemm.objectives.losses.word_region import word_region
from kemm.objectives.negatives import Pairs, right_pairs, wrong_pairs
from kemm.objectives.objective import Context, Objective


class WordRegion(Objective):
    """Optimal transport between a caption's words and its picture's patches, by IPOT (``wra``).

        L = 1 + ½ (mean_right d − mean_wrong d),   d = Tr(Cᵀ sg[T]),   C_tr = 1 − cos(W w_t, V p_r)

    UNITER (Chen et al., 2020, arXiv:1909.11740), ViLT (Kim et al., 2021, arXiv:2102.03334), who compare the fused
    states themselves; W and V are ours, so that other objectives needn't make the two kinds of states alike. The 1
    keeps the loss above zero. Wrong pairs are those of ``itm``, fused once for both: two for each right one, where
    those papers have as many of both. Hence means: by their sum over all pairs, making everything far would cost least.
    """

    needs: tuple[str, str] = ("vision", "language")

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.words = nn.Linear(context.width, context.width, bias=False)
        self.patches = nn.Linear(context.width, context.width, bias=False)

    def distances(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Of right pairs (N,), of wrong ones (M,)."""
        self.rows(encoded)
        summaries = encoded.model.entrance("vision").summaries

        def distance(pairs: Pairs) -> Tensor:
            words, patches = pairs.states["language"][:, 1:], pairs.states["vision"][:, summaries:]
            return word_region(
                self.words(words).float(),
                self.patches(patches).float(),
                pairs.mask["language"][:, 1:],
                pairs.mask["vision"][:, summaries:],
                self.settings.beta,
                self.settings.iterations,
            )

        right, wrong = right_pairs(encoded, self.needs), wrong_pairs(encoded, self.needs)
        own = distance(right)
        return own, distance(wrong) if wrong is not None else own[:0]

    def forward(self, encoded: Encoded) -> Tensor:
        right, wrong = self.distances(encoded)
        return 1 + (right.mean() - (wrong.mean() if len(wrong) else 0.0)) / 2

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        """How often a right pair is nearer than a wrong one."""
        right, wrong = self.distances(encoded)
        if not len(wrong):
            return {}
        return {"accuracy": torch.lt(right[:, None], wrong[None, :]).float().mean().item(), "chance": 0.5}
