"""What the objectives share that name something hidden of a subgraph by its text: an entity, a relation."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from kemm.fuse.encoded import Encoded
from kemm.objectives.losses.entities import masked_entity
from kemm.objectives.objective import Context, Objective

SAME = 0.999  # two names whose vectors are so near are one name


class MaskedName(Objective):
    """Name what is hidden among candidates: L = CE(⟨W h, x⟩ / τ), all candidates of the same text being right."""

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.head = nn.Linear(context.width, context.text_width)

    def compared(self, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor] | None:
        """What is said of hidden ones (H, D_t), candidates (N, D_t), which are right (H, N); None: none is hidden."""
        raise TypeError(f"{type(self).__name__} must define compared")

    def chance(self, right: Tensor) -> Tensor:
        """The accuracy that needs no reading, of ``right`` (H, N) as numbers."""
        raise TypeError(f"{type(self).__name__} must define chance")

    def forward(self, encoded: Encoded) -> Tensor:
        found = self.compared(encoded)
        if found is None:
            return self.head.bias.sum() * 0.0
        return masked_entity(*found, self.settings.temperature)

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        found = self.compared(encoded)
        if found is None:
            return {}
        predicted, candidates, right = found
        chosen = right.gather(1, (predicted @ candidates.T).argmax(1, keepdim=True))
        return {"accuracy": chosen.float().mean().item(), "chance": self.chance(right.float()).item()}
