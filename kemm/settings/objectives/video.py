"""Settings of objectives on films, and on things known in several modalities."""

from __future__ import annotations

from pydantic import Field

from kemm.settings.objectives.base import ObjectiveSettings


class FrameOrder(ObjectiveSettings):
    rate: float = Field(0.5, gt=0, le=1, description="share of a film's frames that change places, two at least")


class Action(ObjectiveSettings):
    of: tuple[str, ...] = Field(("video",), min_length=1, description="modalities that the label is told from")
    classes: int = Field(16, ge=2, description="labels of the table data.media")


class ModalityMasking(ObjectiveSettings):
    between: tuple[str, ...] = Field(
        ("vision", "language"), min_length=2, description="modalities, each hidden in turn"
    )
    temperature: float = Field(0.07, gt=0)
