"""A whole modality is hidden, and told from the others."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.encoders.encoder import mean_over
from kemm.fuse.encoded import Encoded
from kemm.objectives.contrastive import Temperature, positives, projection
from kemm.objectives.losses.contrastive import soft_cross_entropy, spread
from kemm.objectives.objective import Context, Objective


class ModalityMasking(Objective):
    """Of things known in several modalities, which is the one that was hidden? (``modality_masking``).

        L = mean over m of CE(⟨a_i, b_j⟩ / τ, y),   a = W h̄,   b = V_m v_m

    h̄ is the mean state of all modalities but m, fused; v_m the hidden one's vector; y even over rows of one entity.
    OPT (Liu et al., 2021, arXiv:2107.00249) hides words, patches and whole modalities, and writes what is hidden; here
    it is told from those of the batch, so that it can be a picture or a sound as well as a text. With two modalities
    one side is read by the fusion encoder and the other before it, and with three, two of them together.
    """

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.needs = self.between = tuple(settings.between)
        self.guess = nn.ModuleDict({name: projection(context.width, context.width) for name in self.between})
        self.known = nn.ModuleDict({name: projection(context.pooled[name], context.width) for name in self.between})
        self.scale = Temperature(settings.temperature)

    def rest(self, encoded: Encoded, hidden: str, rows: Tensor) -> Tensor:
        """(N, D), the mean of what is left."""
        left = tuple(name for name in self.between if name != hidden)
        if len(left) == 1:
            states = {left[0]: encoded.read.alone(left[0])[rows]}
        else:
            place = torch.searchsorted(encoded.rows(*left), rows)  # rows are in order
            states = {name: each[place] for name, each in encoded.fused(*left).items()}
        mask = torch.cat([encoded.read.mask(name)[rows] for name in states], dim=1)
        return mean_over(torch.cat(list(states.values()), dim=1), mask)

    def similarity(self, encoded: Encoded, hidden: str, rows: Tensor) -> Tensor:
        """(N, N) cosines of what is guessed to what was hidden."""
        guess = F.normalize(self.guess[hidden](self.rest(encoded, hidden, rows)).float(), dim=-1)
        return guess @ F.normalize(self.known[hidden](encoded.pooled(hidden, rows)).float(), dim=-1).T

    def forward(self, encoded: Encoded) -> Tensor:
        rows = self.rows(encoded)
        right = spread(positives(encoded.samples.shown[rows]))
        losses = [
            soft_cross_entropy(self.similarity(encoded, name, rows) * self.scale(), right) for name in self.between
        ]
        return torch.stack(losses).mean()

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        rows = self.rows(encoded)
        right = positives(encoded.samples.shown[rows])
        place = torch.arange(len(rows), device=rows.device)
        hits = [right[place, self.similarity(encoded, name, rows).argmax(1)] for name in self.between]
        return {"accuracy": torch.stack(hits).float().mean().item(), "chance": right.float().mean().item()}
