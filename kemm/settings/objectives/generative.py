"""Settings of objectives that write text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from kemm.settings.objectives.base import ObjectiveSettings

Read = Literal["vision", "knowledge", "audio", "video"]


class Writes(ObjectiveSettings):
    prefix: tuple[Read, ...] = Field(("vision",), description="what is read before; none: the text alone")
    smoothing: float = Field(0.0, ge=0, lt=1, description="of the targets (BLIP: .1)")


class Captioning(Writes):
    given: bool = Field(False, description="the first words, as many as are drawn, are read both ways (SimVLM)")
    queries: int = Field(
        0, ge=0, description="learned ones, all that words read of the prefix (BLIP-2: 32); 0: all of it"
    )

    @model_validator(mode="after")
    def _has_what_queries_read(self) -> Captioning:
        if self.queries and not self.prefix:
            raise ValueError("queries read the prefix, and there is none: name vision under 'prefix'")
        return self


class GroundedWriting(Captioning):
    prefix: tuple[Read, ...] = ("knowledge",)


class Seq2Seq(Writes):
    source: Literal["spans", "start", "tags", "rewritten"] = Field(
        "spans",
        description="what is read of the text: all but some spans (T5), its start; or its tags, or a wrong text",
    )
    rate: float = Field(0.15, gt=0, lt=1, description="of words in spans")
    span: float = Field(3.0, ge=1, description="mean length of a span")
