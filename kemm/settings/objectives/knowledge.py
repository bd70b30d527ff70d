"""Settings of objectives on the graph's edges and of answering from its facts."""

from __future__ import annotations

from pydantic import Field

from kemm.settings.objectives.base import ObjectiveSettings


class LinkPrediction(ObjectiveSettings):
    dimension: int = 256
    batch: int = 512
    learning_rate: float = 1e-2


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
