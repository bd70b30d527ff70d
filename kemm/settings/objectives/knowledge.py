"""Settings of objectives on the graph's edges, on facts beside texts and pictures, and of answering from facts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kemm.settings.objectives.base import ObjectiveSettings


class LinkPrediction(ObjectiveSettings):
    dimension: int = 256
    batch: int = 512
    learning_rate: float = 1e-2


class ReaderDistillation(ObjectiveSettings):
    by: Literal["attention", "drop"] = Field(
        "attention",
        description="what says that a fact was used: the reader's attention, or the drop in its probability without it",
    )


class Answering(ObjectiveSettings):
    swap: float = Field(
        0.3, ge=0, le=1, description="share of questions whose facts get other tails, the answer following"
    )
    drop: float = Field(0.1, ge=0, le=1, description="share of questions asked without knowledge")
    thin: float = Field(
        0.4, ge=0, le=1, description="share of questions that lose some of the facts that don't answer them"
    )
    noise: float = Field(
        0.3, ge=0, description="of what is read of a question's words, in standard deviations: for wordings not heard"
    )
    mute: float = Field(
        0.05, ge=0, le=1, description="share of questions whose answering facts are removed: 'not known'"
    )


class MaskedEntity(ObjectiveSettings):
    of: Literal["questions", "samples"] = Field(
        "questions", description="samples: the facts that train.knowledge gives"
    )
    rate: float = Field(0.2, gt=0, lt=1)
    temperature: float = Field(0.07, gt=0)


class MaskedRelation(ObjectiveSettings):
    rate: float = Field(0.2, gt=0, lt=1)
    temperature: float = Field(0.07, gt=0)


class SubgraphLinks(ObjectiveSettings):
    rate: float = Field(0.15, gt=0, lt=1, description="edges taken out")
    negatives: int = Field(64, ge=1)


class DescriptionTransE(ObjectiveSettings):
    margin: float = Field(1.0, description="γ, of the distance between ends of unit length")
    norm: Literal[1, 2] = 2


class EntityTyping(ObjectiveSettings):
    of: Literal["language", "vision"] = "language"


class DenoisingAlignment(ObjectiveSettings):
    masked: float = Field(0.15, ge=0, lt=1)
    replaced: float = Field(0.05, ge=0, lt=1)


class EntityLinking(ObjectiveSettings):
    candidates: int = Field(8, ge=1, description="entities to choose from, besides none of them")
    loss: Literal["likelihood", "margin"] = "likelihood"
    margin: float = Field(0.2, ge=0)
