"""Settings of masked modelling: how much is hidden, in what units, and what is to be said of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from kemm.settings.objectives.base import ObjectiveSettings


class MaskedLanguage(ObjectiveSettings):
    rate: float = Field(0.25, gt=0, lt=1)
    rate_alone: float | None = Field(None, gt=0, lt=1, description="of texts alone (BEiT-3: .15); null: rate")
    units: Literal["token", "word", "span", "entity", "scene", "structure"] = Field(
        "token", description="the last three where train.knowledge gives texts that name their facts"
    )
    masked: float = Field(1.0, ge=0, le=1, description="of the hidden, shown as [MASK] (BERT: .8)")
    replaced: float = Field(0.0, ge=0, le=1, description="of the hidden, shown as another word (BERT: .1)")
    alpha: float = Field(0.0, ge=0, le=1, description="share of a slow copy's judgement in the targets (ALBEF: .4)")


class MaskedPatches(ObjectiveSettings):
    of: Literal["vision", "audio", "video"] = "vision"
    rate: float = Field(0.4, gt=0, lt=1)
    how: Literal["single", "blocks", "tubes", "attended", "unattended"] = Field(
        "single",
        description="hidden: single patches; rectangles (BEiT); the same of all frames; what the frozen tower attends "
        "to most (VIOLET), or least (UMT)",
    )
    target: Literal["features", "pixels", "hog", "codes"] = Field(
        "features", description="of the frozen tower (EVA); pixels (MAE); their gradients (MaskFeat); codes (BEiT)"
    )
    said_of: Literal["hidden", "shown"] = Field("hidden", description="patches; shown: UMT, with target features")
    codes: int = Field(512, ge=2, description="V, for the target 'codes'")
    tokenizer: Literal["random", "vq_kd"] = Field(
        "random", description="of codes: drawn once (BEST-RQ); learned from the frozen tower's features (BEiT v2)"
    )
    drop: bool | Literal["everywhere"] = Field(
        False,
        description="don't encode hidden patches; a decoder puts them in (MAE). everywhere: no other objective of the "
        "step sees them either (FLIP)",
    )
    decoder_layers: int = Field(1, ge=1, description="with drop")

    @property
    def is_told(self) -> bool:
        """Whether the frozen vision tower's features are needed."""
        return self.of == "vision" and (self.target in ("features", "codes") or self.how in ("attended", "unattended"))

    @model_validator(mode="after")
    def _goes_together(self) -> MaskedPatches:
        if self.of != "vision" and (self.target in ("features", "codes") or self.how in ("attended", "unattended")):
            raise ValueError(f"no frozen tower reads {self.of}: set target to pixels or hog, and how to another way")
        if self.of == "video" and self.drop:
            raise ValueError("hidden patches of films are not dropped: leave out 'drop'")
        if self.said_of == "shown" and self.target != "features":
            raise ValueError("what is shown says its own pixels: set target to features")
        return self


class MaskedSound(MaskedPatches):
    of: Literal["vision", "audio", "video"] = "audio"
    target: Literal["features", "pixels", "hog", "codes"] = "pixels"
    rate: float = Field(0.6, gt=0, lt=1)


class MaskedFilm(MaskedPatches):
    of: Literal["vision", "audio", "video"] = "video"
    target: Literal["features", "pixels", "hog", "codes"] = "pixels"
    how: Literal["single", "blocks", "tubes", "attended", "unattended"] = "tubes"
    rate: float = Field(0.75, gt=0, lt=1)


class MaskedRegions(ObjectiveSettings):
    rate: float = Field(0.15, gt=0, lt=1)
    target: Literal["features", "class", "distribution"] = Field(
        "features", description="the detector's features; its likeliest class; all its chances"
    )
