"""What all objectives have: a weight, fixed or on its way from one value to another."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kemm.settings.section import Section


class Schedule(Section):
    """A weight that goes from ``start`` to ``end`` in ``steps`` steps after ``warmup`` ones, and stays there."""

    start: float = Field(0.0, ge=0)
    end: float = Field(1.0, ge=0)
    steps: int = Field(100, ge=1)
    warmup: int = Field(0, ge=0)
    shape: Literal["linear", "cosine"] = "linear"


class ObjectiveSettings(Section):
    """Of every objective; one of weight 0 is not computed."""

    weight: Annotated[float, Field(ge=0)] | Schedule = 1.0
