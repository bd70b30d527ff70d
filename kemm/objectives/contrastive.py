"""The contrast of pictures with texts, or of any two modalities."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.encoders.momentum import MomentumCopy
from kemm.fuse.encoded import Encoded
from kemm.objectives.losses.contrastive import info_nce, momentum_target, soft_cross_entropy, spread
from kemm.objectives.losses.queue import KeyQueue
from kemm.objectives.objective import Context, Objective


class Temperature(nn.Module):
    """A learned 1/τ, below 100."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))

    def forward(self) -> Tensor:
        return self.log_scale.exp().clamp(max=100.0)


def projection(width: int, to: int) -> nn.Module:
    """LN, then a linear map, and unit length: (…, width) → (…, to)."""
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, to))


def positives(entity: Tensor, others: Tensor | None = None) -> Tensor:
    """(A, B) bool: the same entity, if it is known; always oneself, where both are the same rows."""
    same = (entity[:, None] == (entity if others is None else others)[None, :]) & (entity[:, None] >= 0)
    return same | torch.eye(*same.shape, dtype=torch.bool, device=same.device) if others is None else same


class ImageTextContrastive(Objective):
    """Pull matching pairs together, push the rest of the batch apart (``itc``).

        L = ½ (CE(s, y) + CE(sᵀ, y)),   s_ij = ⟨a_i, b_j⟩ / τ,   y even over rows of the same entity

    InfoNCE as in CLIP (Radford et al., 2021, arXiv:2103.00020); 1/τ is learned and held below 100, as there. Rows of
    the same entity are all positives, as in UniCL (Yang et al., 2022, arXiv:2204.03610). With ``alpha`` the targets are
    softened by a slow copy, with ``queue`` its past keys are further negatives: ALBEF (Li et al., 2021,
    arXiv:2107.07651); then each side is held against the other's slow keys.
    """

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.needs = tuple(settings.between)
        self.project = nn.ModuleDict({name: projection(context.pooled[name], context.width) for name in self.needs})
        self.scale = Temperature(settings.temperature)
        self.wants_momentum = settings.alpha > 0 or settings.queue > 0
        if self.wants_momentum:
            self.slow = MomentumCopy(self.project)
        if settings.queue:
            self.queues = nn.ModuleDict({name: KeyQueue(settings.queue, context.width) for name in self.needs})
        self._keys: dict[str, Tensor] = {}
        self._entity: Tensor | None = None

    def embed(self, name: str, pooled: Tensor) -> Tensor:
        """(N, D_m) → (N, D), unit length."""
        return F.normalize(self.project[name](pooled), dim=-1)

    def similarity(self, encoded: Encoded, rows: Tensor) -> Tensor:
        """s (N, N)."""
        a, b = (self.embed(name, encoded.pooled(name, rows)) for name in self.needs)
        return a @ b.T * self.scale()

    def forward(self, encoded: Encoded) -> Tensor:
        rows = self.rows(encoded)
        entity = encoded.samples.entity[rows]
        if not self.wants_momentum:
            target = spread(positives(entity))
            return info_nce(self.similarity(encoded, rows).float(), target, target)
        return 0.5 * (self._against(0, encoded, rows, entity) + self._against(1, encoded, rows, entity))

    def _against(self, side: int, encoded: Encoded, rows: Tensor, entity: Tensor) -> Tensor:
        """One modality held against the slow keys of the other, those of the queue too."""
        own, other = self.needs[side], self.needs[1 - side]
        query = self.embed(own, encoded.pooled(own, rows))  # (N, D)
        with torch.no_grad():
            slow = {
                name: F.normalize(self.slow.copy[name](encoded.slow.pooled(name, rows)), dim=-1)  # type: ignore[index]
                for name in (own, other)
            }
            keys, right = slow[other], positives(entity)
            if self.settings.queue:
                past, labels = self.queues[other].oldest_first()  # type: ignore[operator]
                keys = torch.cat([keys, past.to(keys)])
                right = torch.cat([right, positives(entity, labels)], dim=1)
            target = momentum_target((slow[own] @ keys.T * self.scale()).float(), self.settings.alpha, right)
            if self.training:
                self._keys[other], self._entity = slow[other], entity
        return soft_cross_entropy((query @ keys.T * self.scale()).float(), target)

    def after_step(self) -> None:
        if not self.wants_momentum:
            return
        self.slow.update(self.project)
        if self.settings.queue:
            for name, keys in self._keys.items():
                self.queues[name].enqueue(keys.float(), self._entity)  # type: ignore[operator]
        self._keys = {}

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        """How often the right partner is nearest, both ways."""
        rows = self.rows(encoded)
        s, right = self.similarity(encoded, rows), positives(encoded.samples.entity[rows])
        place = torch.arange(len(s), device=s.device)
        hits = right[place, s.argmax(1)].float().mean() + right[s.argmax(0), place].float().mean()
        return {"accuracy": 0.5 * hits.item(), "chance": right.float().mean().item()}
