"""Settings of objectives that write text."""

from __future__ import annotations

from pydantic import Field

from kemm.settings.objectives.base import ObjectiveSettings


class Captioning(ObjectiveSettings):
    smoothing: float = Field(0.0, ge=0, lt=1, description="of the targets (BLIP: .1)")
