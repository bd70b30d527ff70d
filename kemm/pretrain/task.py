"""One module that owns the model and its objectives, so that every head trains, saves and distributes with it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kemm.data.batch import Batch
from kemm.fuse.model import KEMM, Encoded
from kemm.objectives import OBJECTIVES
from kemm.objectives.objective import Context
from kemm.settings import Settings
from kg.errors import InputError
from kg.registry import resolve


class PretrainTask(nn.Module):
    """Model and objectives; a forward returns every objective's loss.

    Args:
        settings: which objectives, how weighted.
        context: what heads are sized by.

    Raises:
        InputError: no objective is set.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.model = KEMM(settings.model, context.vision_width, context.text_width, context.entity_vectors)
        chosen = {name: getattr(settings.objectives, name) for name in OBJECTIVES}
        chosen = {name: part for name, part in chosen.items() if part is not None}
        if not any(part.weight for part in chosen.values()):
            raise InputError(f"no objective is set; choose some of {', '.join(OBJECTIVES)} under 'objectives'")
        self.objectives = nn.ModuleDict(
            {name: resolve(OBJECTIVES, name, "objective")(part, context) for name, part in chosen.items()}
        )
        self.weights = {name: part.weight for name, part in chosen.items()}
        self.patch_rate = settings.objectives.mim.rate if settings.objectives.mim else 0.0
        self.node_rate = settings.objectives.mem.rate if settings.objectives.mem else 0.0

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Return name → loss, unweighted; ``total`` is their weighted sum.

        An objective of weight zero is left out; one whose kind of data the batch lacks raises ``MissingModality``.
        """
        encoded = Encoded(self.model, batch, generator, self.patch_rate, self.node_rate)
        losses = {name: objective(encoded) for name, objective in self.objectives.items() if self.weights[name] > 0}
        losses["total"] = torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()
        return losses
