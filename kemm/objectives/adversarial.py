"""Any objective, learned against the worst small change of what it sees too: FreeLB and VILLA."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kemm.fuse.encoded import Encoded
from kemm.objectives import OBJECTIVES
from kemm.objectives.hiding import PatchHiding, WordHiding
from kemm.objectives.losses.adversarial import freelb
from kemm.objectives.objective import Context, Objective
from kg.errors import InputError
from kg.registry import resolve


class Adversarial(Objective):
    """One of the other objectives, on the batch as it is and with tokens changed against it (``adversarial``).

        L = L_of(x) + α/K Σ_k L_of(x + δ_k),   δ_{k+1} = Π(δ_k + η g / ‖g‖_F),   g = ∇_δ L_of(x + δ_k)

    FreeLB (Zhu et al., 2019, arXiv:1909.11764) and VILLA (Gan et al., 2020, arXiv:2006.06195), which change either the
    words' or the regions' embeddings, as ``on`` says. VILLA's KL between the two predictions is left out, as an
    objective gives a loss and no distribution. What is drawn (what is hidden, which pairs are wrong) is the same for
    all. A held-out loss is that of the batch as it is.
    """

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        (name, inner), *_ = settings.chosen()
        self.of: Objective = resolve(OBJECTIVES, name, "objective")(inner, context)
        self.needs, self.wants_momentum, self.is_regression = (
            self.of.needs,
            self.of.wants_momentum,
            self.of.is_regression,
        )
        self.hides: WordHiding | PatchHiding | None = self.of.hides
        if not set(self.needs) & {settings.on}:
            raise InputError(
                f"objectives.adversarial changes {settings.on}, which {name} doesn't read: it needs "
                f"{' and '.join(self.needs)}"
            )

    def forward(self, encoded: Encoded) -> Tensor:
        clean: Tensor = self.of(encoded)
        if not torch.is_grad_enabled():
            return clean
        on, chosen = self.settings.on, self.settings
        tokens, mask = encoded.read.tokens(on).detach(), encoded.read.mask(on)

        def loss(changed: Tensor) -> Tensor:
            found: Tensor = self.of(encoded.shifted({on: changed - tokens}))
            return found + 0.0 * changed.sum()  # an objective may read none of it

        worst = freelb(
            loss,
            lambda found: found,
            tokens,
            clean.detach(),
            mask=mask,
            steps=chosen.steps,
            step=chosen.step,
            radius=chosen.radius,
            start=chosen.start,
            kl=0.0,
            generator=encoded.generator,
        )
        return clean + chosen.alpha * worst

    def after_step(self) -> None:
        self.of.after_step()

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        return self.of.metrics(encoded)
