"""Masked regions of pictures that a detector has seen."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from kemm.fuse.encoded import Encoded
from kemm.objectives.hiding import PatchHiding
from kemm.objectives.losses.regions import class_loss, distribution_divergence, feature_regression
from kemm.objectives.masked_language import commonest
from kemm.objectives.objective import Context, Objective
from kg.errors import InputError


class MaskedRegions(Objective):
    """Say what a detector found in a region from its place, the other regions and the text (``masked_regions``).

        features:      L = mean over hidden r of ‖W h_r − f_r‖² / D_f      (UNITER, Chen et al., 2020, arXiv:1909.11740)
        class:         L = mean of CE(W h_r, argmax p_r)                    (UNITER, VL-BERT, arXiv:1908.08530)
        distribution:  L = mean of KL(p_r ‖ softmax(W h_r))                 (UNITER, ViLBERT, arXiv:1908.02265)

    p is the detector's judgement. ViLBERT hides regions that overlap hidden ones too; here, as in UNITER, what shows
    through there can be read.
    """

    needs = ("regions",)

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        features, classes = context.regions
        wanted = features if settings.target == "features" else classes
        if not wanted:
            missing = "classes" if features else "features"
            raise InputError(
                f"objectives.masked_regions.target '{settings.target}' needs the {missing} of a detector: set "
                f"model.towers.regions{'.classes' if features else ''}"
            )
        self.is_regression, self.features = settings.target == "features", features
        self.hides = PatchHiding(settings.rate, of="regions")
        self.head = nn.Linear(context.width, wanted)

    def compared(self, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor]:
        """What is said (B, R, ·), what the detector says (B, R, ·), and what is hidden (B, R)."""
        self.rows(encoded)
        assert isinstance(self.hides, PatchHiding)
        states, raw = encoded.masked(patches=self.hides)["regions"][:, 1:], encoded.samples.parts["regions"].raw
        assert raw is not None
        right = raw[..., : self.features] if self.is_regression else raw[..., self.features + 4 :]
        return self.head(states), right, encoded.hidden_patches(self.hides)

    def forward(self, encoded: Encoded) -> Tensor:
        said, right, hidden = self.compared(encoded)
        if self.settings.target == "class":
            return class_loss(said, right.argmax(-1), hidden)
        return (feature_regression if self.is_regression else distribution_divergence)(said, right, hidden)

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        """How often the likeliest class is the detector's; of features the loss of saying their mean."""
        said, right, hidden = self.compared(encoded)
        if self.is_regression:
            mean = right[hidden].mean(0).expand_as(right)
            return {"loss_of_the_mean": feature_regression(mean, right, hidden).item()}
        classes = right.argmax(-1)[hidden]
        return {"accuracy": (said.argmax(-1)[hidden] == classes).float().mean().item(), "chance": commonest(classes)}
