"""Settings of contrastive objectives."""

from __future__ import annotations

from pydantic import Field

from kemm.settings.objectives.base import ObjectiveSettings


class Contrastive(ObjectiveSettings):
    temperature: float = Field(0.07, gt=0)


class ImageTextContrastive(Contrastive):
    between: tuple[str, str] = ("vision", "language")
    alpha: float = Field(0.0, ge=0, le=1, description="share of the slow copy's judgement in the targets (ALBEF: .4)")
    queue: int = Field(0, ge=0, description="past keys of the slow copy as further negatives (ALBEF: 65536)")


class EntityImage(Contrastive):
    batch: int = Field(128, description="pictures a step")


class EntityText(Contrastive):
    batch: int = Field(128, description="entities a step")


class GraphText(ImageTextContrastive):
    between: tuple[str, str] = ("knowledge", "language")


class GraphImage(ImageTextContrastive):
    between: tuple[str, str] = ("knowledge", "vision")
