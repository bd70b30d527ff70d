"""Settings of objectives that learn from a teacher."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kemm.settings.objectives.base import ObjectiveSettings


class Teacher(ObjectiveSettings):
    of: Literal["vision", "language"] = "vision"
    loss: Literal["cosine", "squares", "distribution"] = "cosine"
    temperature: float = Field(1.0, gt=0, description="with distribution")
