"""Settings of objectives on films, and on things known in several modalities."""

from __future__ import annotations

from pydantic import Field

from kemm.settings.objectives.base import ObjectiveSettings


class FrameOrder(ObjectiveSettings):
    rate: float = Field(0.5, gt=0, le=1, description="share of a film's frames that change places, two at least")


class Action(ObjectiveSettings):
    of: tuple[str, ...] = Field(("video",), min_length=1, description="modalities that the label is told from")
    classes: int = Field(16, ge=2, description="labels of the table data.media")


class VideoSubtitle(ObjectiveSettings):
    margin: float = Field(0.1, gt=0, description="by how much the right film must be nearer than a wrong one")
    match_weight: float = Field(8.0, ge=0, description="of telling which film it is of")
    span_weight: float = Field(0.5, ge=0, description="of telling where in the film it is spoken")


class ModalityMasking(ObjectiveSettings):
    between: tuple[str, ...] = Field(
        ("vision", "language"), min_length=2, description="modalities, each hidden in turn"
    )
    temperature: float = Field(0.07, gt=0)
