"""Settings of objectives that write text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kemm.settings.objectives.base import ObjectiveSettings


class Captioning(ObjectiveSettings):
    smoothing: float = Field(0.0, ge=0, lt=1, description="of the targets (BLIP: .1)")


class GroundedWriting(Captioning):
    prefix: tuple[Literal["vision", "knowledge"], ...] = Field(("knowledge",), description="what is read before")
