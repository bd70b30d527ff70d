"""Settings of masked modelling: how much is hidden, in what units, and what is to be said of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

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


class MaskedImage(ObjectiveSettings):
    rate: float = Field(0.4, gt=0, lt=1)
    blocks: bool = Field(False, description="hide rectangles (BEiT) rather than single patches")
    target: Literal["features", "pixels", "codes"] = Field(
        "features", description="of the frozen tower (EVA); pixels (MAE); codes of its features (BEiT)"
    )
    codes: int = Field(512, ge=2, description="V, for the target 'codes'")
    drop: bool | Literal["everywhere"] = Field(
        False,
        description="don't encode hidden patches; a decoder puts them in (MAE). everywhere: no other objective of the "
        "step sees them either (FLIP)",
    )
    decoder_layers: int = Field(1, ge=1, description="with drop")
