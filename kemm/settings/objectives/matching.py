"""Settings of objectives that ask whether things belong together, and which parts of them do."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kemm.settings.objectives.base import ObjectiveSettings, Schedule


class Matching(ObjectiveSettings):
    between: tuple[str, str] = ("vision", "language")
    negatives: Literal["batch", "global", "queue"] = Field(
        "batch", description="of this batch; of all processes' batches (VLMo); of the last steps too"
    )
    queue: int = Field(1024, ge=1, description="things of the last steps, with negatives: queue")
    wrong: Literal["both", "either"] = Field(
        "both", description="a wrong picture and a wrong text for each pair (ALBEF), or one of them in turn"
    )
    hidden: bool = Field(False, description="judge what mlm and mim read, right pairs and wrong ones alike (FLAVA)")

    @model_validator(mode="after")
    def _goes_together(self) -> Matching:
        if self.negatives == "queue" and (self.hidden or "knowledge" in self.between):
            raise ValueError("negatives: queue keeps whole things of one modality: neither hidden ones nor facts")
        return self


class TagMatching(ObjectiveSettings):
    ways: Literal[2, 3] = Field(3, description="2: tags polluted or not (Oscar); 3: captions too (VinVL)")


class GraphMatching(ObjectiveSettings):
    between: Literal["language", "vision"] = Field("language", description="facts and this of a question")


class NextSentence(ObjectiveSettings):
    links: bool = Field(False, description="tell sentences of linked documents from others too (LinkBERT)")


class WordRegion(ObjectiveSettings):
    weight: Annotated[float, Field(ge=0)] | Schedule = 0.1  # UNITER's
    beta: float = Field(0.5, gt=0, description="step of the proximal point")
    iterations: int = Field(50, ge=1)


class Grounding(ObjectiveSettings):
    pictures: int = Field(4, ge=2, description="put together in a collage, whose words tell which is which")
    temperature: float = Field(0.07, gt=0)
