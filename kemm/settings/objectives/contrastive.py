"""Settings of contrastive objectives."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from kemm.settings.objectives.base import ObjectiveSettings


class Contrastive(ObjectiveSettings):
    temperature: float = Field(0.07, gt=0)


class BetweenModalities(Contrastive):
    between: tuple[str, ...] = Field(("vision", "language"), min_length=2, description="modalities; all pairs of them")
    loss: Literal["softmax", "some", "sigmoid", "hinge"] = Field(
        "softmax", description="CLIP; some of the positives (MIL-NCE); each pair alone (SigLIP); hardest negative (GPO)"
    )
    positives: Literal["entity", "label", "pair"] = Field(
        "entity",
        description="rows of one entity, or class where none is known; of one class (UniCL); each row by itself",
    )
    token_wise: bool = Field(False, description="compare words with patches (FILIP) rather than whole vectors")
    margin: float = Field(0.2, ge=0, description="with hinge")
    retrieved: bool = Field(False, description="a further right text a row (UNIMO)")
    rewritten: bool = Field(False, description="a further wrong text a row (UNIMO)")
    alpha: float = Field(0.0, ge=0, le=1, description="share of the slow copy's judgement in the targets (ALBEF: .4)")
    queue: int = Field(0, ge=0, description="past keys of the slow copy as further negatives (ALBEF: 65536)")

    @model_validator(mode="after")
    def _goes_together(self) -> BetweenModalities:
        is_slow, has_texts = self.alpha > 0 or self.queue > 0, self.retrieved or self.rewritten
        if is_slow and (self.loss != "softmax" or self.token_wise or has_texts):
            raise ValueError("alpha and queue go with the loss softmax alone, without token_wise or further texts")
        if has_texts and (self.loss == "hinge" or self.token_wise or "language" not in self.between):
            raise ValueError("retrieved and rewritten need language, and go neither with hinge nor with token_wise")
        return self


class EntityImage(Contrastive):
    batch: int = Field(128, description="pictures a step")


class EntityText(Contrastive):
    batch: int = Field(128, description="entities a step")


class GraphText(BetweenModalities):
    between: tuple[str, ...] = ("knowledge", "language")


class GraphImage(BetweenModalities):
    between: tuple[str, ...] = ("knowledge", "vision")
