"""What a frozen tower knows, told to a model that learns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.fuse.encoded import Encoded
from kemm.objectives.losses.distillation import cosine_distillation, feature_distillation, logit_distillation
from kemm.objectives.losses.picture_targets import features_on
from kemm.objectives.objective import Context, Objective
from kg.errors import InputError


class Teacher(Objective):
    """Each patch, or word, of an unfused modality says what the frozen tower's is (``teacher``).

        cosine:        L = mean (1 − cos(W h_p, LN(v_p)))
        squares:       L = mean ‖W h_p/‖·‖ − LN(v_p)/‖·‖‖² / D_m                (UMT, Li et al., 2023, arXiv:2303.16058)
        distribution:  L = T² mean KL(softmax(LN(v_p)/T) ‖ softmax(W h_p/T))    (Hinton et al., 2015, arXiv:1503.02531)

    over all that is there; v is the world's frozen tower's, h the fusion encoder's of that modality alone. UMT keeps
    the patches that its teacher attends to; here nothing is dropped, and what is hidden and told is ``mim``'s.
    """

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.needs, self.of = (settings.of,), settings.of
        if settings.of == "vision" and not context.has_features:
            raise InputError("objectives.teacher needs features of the frozen vision tower, and the batch has none")
        self.head = nn.Linear(context.width, context.vision_width if settings.of == "vision" else context.text_width)

    def both(self, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor]:
        """What is said and what is right, (N, L, D_m) each, and what is there (N, L)."""
        rows, part = self.rows(encoded), encoded.samples.parts[self.of]
        if part.states is None:
            raise InputError(f"objectives.teacher needs states of the frozen {self.of} tower, and the batch has none")
        entrance = encoded.model.entrance(self.of)
        states = encoded.read.alone(self.of)[rows, entrance.summaries :]
        mask = encoded.read.mask(self.of)[rows, entrance.summaries :]
        target = part.states[rows]
        if self.of == "vision":
            target = features_on(target, entrance.grid)
        return self.head(states).float(), F.layer_norm(target.float(), target.shape[-1:]), mask

    def forward(self, encoded: Encoded) -> Tensor:
        said, target, mask = self.both(encoded)
        if self.settings.loss == "distribution":
            return logit_distillation(said, target, self.settings.temperature, mask)
        return (cosine_distillation if self.settings.loss == "cosine" else feature_distillation)(said, target, mask)

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        """How often what is said of a thing is nearest to the teacher's state of the same thing."""
        said, target, mask = self.both(encoded)
        x, y = (F.normalize((each * mask[..., None]).sum(1), dim=-1) for each in (said, target))
        nearest = (x @ y.T).argmax(1)
        right = (nearest == torch.arange(len(x), device=x.device)).float().mean().item()
        return {"accuracy": right, "chance": 1 / len(x)}
