"""The contrast of pictures with texts, or of any modalities with each other."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.data.samples import UNKNOWN
from kemm.encoders.momentum import MomentumCopy
from kemm.fuse.encoded import Encoded
from kemm.objectives.gathering import gather
from kemm.objectives.losses.contrastive import (
    any_positive,
    hardest_negative_hinge,
    momentum_target,
    soft_cross_entropy,
    spread,
)
from kemm.objectives.losses.queue import KeyQueue
from kemm.objectives.losses.sigmoid import sigmoid_contrast
from kemm.objectives.losses.token_wise import token_wise
from kemm.objectives.objective import Context, Objective

FURTHER = ("retrieved", "rewritten")  # texts beside the batch's own: right ones and wrong ones


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


class Contrastive(Objective):
    """Pull what belongs together near, push the rest of the batch apart (``itc``).

        softmax:  L = ½ (CE(s, y) + CE(sᵀ, y)),   s_ij = ⟨a_i, b_j⟩ / τ,   y even over what belongs together
        some:     L = −log (Σ_{j∈P(i)} e^{s_ij} / Σ_j e^{s_ij}), both ways
        sigmoid:  L = −1/B Σ_ij log σ(±(s_ij + b))
        hinge:    L = [m + max_{j∉P(i)} s_ij − s_ii]₊, both ways, s the cosine

    averaged over all pairs of ``between``. Softmax is InfoNCE as in CLIP (Radford et al., 2021, arXiv:2103.00020); 1/τ
    is learned and held below 100, as there. Some: MIL-NCE (Miech et al., 2020, arXiv:1912.06430). Sigmoid: SigLIP (Zhai
    et al., 2023, arXiv:2303.15343). Hinge: VSE++ and GPO (Faghri et al., 2018, arXiv:1707.05612; Chen et al., 2021,
    arXiv:2011.04305). With ``token_wise``, s is FILIP's (Yao et al., 2022, arXiv:2111.07783) over tokens of the towers.

    What belongs together is one row, or all rows of the same entity or class, as in UniCL (Yang et al., 2022,
    arXiv:2204.03610). ``retrieved`` texts are further right ones and ``rewritten`` ones further wrong ones for a
    picture, as in UNIMO (Li et al., 2021, arXiv:2012.15409). With ``alpha`` the targets are softened by a slow copy,
    with ``queue`` its past keys are further negatives: ALBEF (Li et al., 2021, arXiv:2107.07651); then each side is
    held against the other's slow keys. Candidates are those of all processes.
    """

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.between = tuple(settings.between)
        self.further = tuple(role for role in FURTHER if getattr(settings, role))
        self.needs = self.between + self.further
        self.project = nn.ModuleDict({name: projection(context.pooled[name], context.width) for name in self.between})
        self.scale = Temperature(settings.temperature)
        if settings.loss == "sigmoid":
            self.bias = nn.Parameter(torch.tensor(-10.0))
        self.wants_momentum = settings.alpha > 0 or settings.queue > 0
        if self.wants_momentum:
            self.slow = MomentumCopy(self.project)
        if settings.queue:
            self.queues = nn.ModuleDict({name: KeyQueue(settings.queue, context.width) for name in self.between})
        self._keys: dict[str, tuple[Tensor, Tensor]] = {}

    # ── what is compared ──────────────────────────────────────────────────────────────────────────────────────────

    def embed(self, name: str, pooled: Tensor) -> Tensor:
        """(…, D_m) → (…, D), unit length."""
        return F.normalize(self.project[name](pooled), dim=-1)

    def same(self, encoded: Encoded, rows: Tensor) -> Tensor:
        """(N,) numbers that are equal in what belongs together, −1 where nothing is known."""
        if self.settings.positives == "pair":
            return torch.full_like(rows, UNKNOWN)
        samples = encoded.samples
        return (samples.label if self.settings.positives == "label" else samples.shown)[rows]

    def pairs(self, encoded: Encoded) -> list[tuple[str, str, Tensor]]:
        """Every two modalities, with the rows that have both; those that no row has both of are left out."""
        found = [(a, b, encoded.rows(a, b, *self.further)) for a, b in combinations(self.between, 2)]
        found = [(a, b, rows) for a, b, rows in found if len(rows)]
        self.require(found or None, " and ".join(self.needs) + " of the same thing")
        return found

    def similarity(self, encoded: Encoded, a: str, b: str, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines of a to b and of b to a: (N, C) each, C candidates, the rows' own first."""
        if not self.settings.token_wise:
            x, y = (self.embed(name, encoded.pooled(name, rows)).float() for name in (a, b))
            return x @ gather(y).T, y @ gather(x).T
        (v, v_mask), (w, w_mask) = (encoded.read.places(name) for name in (a, b))
        x, y = self.embed(a, v[rows]).float(), self.embed(b, w[rows]).float()  # (N, L, D)
        return token_wise(x, y, v_mask[rows], w_mask[rows])

    # ── the loss ──────────────────────────────────────────────────────────────────────────────────────────────────

    def forward(self, encoded: Encoded) -> Tensor:
        pair = self._slowly if self.wants_momentum else self._pair
        losses = [pair(encoded, a, b, rows) for a, b, rows in self.pairs(encoded)]
        return torch.stack(losses).mean()

    def _pair(self, encoded: Encoded, a: str, b: str, rows: Tensor) -> Tensor:
        there, back = self.similarity(encoded, a, b, rows)
        entity = self.same(encoded, rows)
        right = positives(entity)
        if there.shape[1] > len(rows):  # of other processes too
            right = torch.cat([right, positives(entity, gather(entity, UNKNOWN)[len(rows) :])], dim=1)
        right_back = right
        if self.further and "language" in (a, b):
            there, back, right, right_back = self._with_texts(encoded, a, b, rows, there, back, right)
        if self.settings.loss == "hinge":
            return hardest_negative_hinge(there[:, : len(rows)], self.settings.margin, _numbered(entity))
        if self.settings.loss == "sigmoid":
            sides = ((there, right), (back, right_back))
            return sum(sigmoid_contrast(s, self.scale(), self.bias, y) for s, y in sides) / 2  # type: ignore[return-value]
        sides = ((there * self.scale(), right), (back * self.scale(), right_back))
        if self.settings.loss == "some":
            return sum(any_positive(s, y) for s, y in sides) / 2  # type: ignore[return-value]
        return sum(soft_cross_entropy(s, spread(y)) for s, y in sides) / 2  # type: ignore[return-value]

    def _with_texts(
        self, encoded: Encoded, a: str, b: str, rows: Tensor, there: Tensor, back: Tensor, right: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Each row's further texts as more candidates of the other modality; (N, C + F) on that side."""
        other = a if b == "language" else b
        shown = self.embed(other, encoded.pooled(other, rows)).float()
        more, is_right = [], []
        for role in self.further:
            texts = self.embed("language", encoded.further(role).pooled("language")[rows]).float()
            more.append(shown @ texts.T)
            own = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
            is_right.append(own if role == "retrieved" else torch.zeros_like(own))
        wide, its = (there, right) if b == "language" else (back, right)
        grown, known = torch.cat([wide, *more], dim=1), torch.cat([its, *is_right], dim=1)
        return (grown, back, known, right) if b == "language" else (there, grown, right, known)

    def _slowly(self, encoded: Encoded, a: str, b: str, rows: Tensor) -> Tensor:
        return 0.5 * (self._against(a, b, encoded, rows) + self._against(b, a, encoded, rows))

    def _against(self, own: str, other: str, encoded: Encoded, rows: Tensor) -> Tensor:
        """One modality held against the slow keys of the other, those of the queue too."""
        entity = self.same(encoded, rows)
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
                self._keys[other] = slow[other], entity
        return soft_cross_entropy((query @ keys.T * self.scale()).float(), target)

    def after_step(self) -> None:
        if not self.wants_momentum:
            return
        self.slow.update(self.project)
        if self.settings.queue:
            for name, (keys, entity) in self._keys.items():
                self.queues[name].enqueue(keys.float(), entity)  # type: ignore[operator]
        self._keys = {}

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        """How often the right partner is nearest, both ways; the mean over pairs of modalities."""
        found = []
        for a, b, rows in self.pairs(encoded):
            right = positives(self.same(encoded, rows))
            place = torch.arange(len(rows), device=rows.device)
            hits = [right[place, s[:, : len(rows)].argmax(1)] for s in self.similarity(encoded, a, b, rows)]
            found.append((torch.stack(hits).float().mean().item(), right.float().mean().item()))
        accuracy, chance = (sum(values) / len(values) for values in zip(*found, strict=True))
        return {"accuracy": accuracy, "chance": chance}


def _numbered(same: Tensor) -> Tensor:
    """(N,) with a number of its own for each that nothing is known of."""
    return torch.where(same >= 0, same, -1 - torch.arange(len(same), device=same.device))
