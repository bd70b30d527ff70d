"""The loop: how many steps, of what, how fast."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kemm.settings.section import Section


class TrainSettings(Section):
    """The loop. A step takes samples of each source, questions and graph edges; ``kemm.data.sources`` says of what."""

    steps: int = 400
    pairs: int = Field(48, ge=0, description="picture–caption pairs a step")
    texts: int = Field(0, ge=0, description="texts alone a step: descriptions of entities")
    pictures: int = Field(0, ge=0, description="pictures alone a step")
    media: int = Field(0, ge=0, description="rows of the table data.media a step")
    knowledge: int = Field(0, ge=0, description="entities a step with facts around them, a text of some, a picture")
    links: int = Field(0, ge=0, description="links and paths a step between described entities")
    questions: int = Field(64, description="questions a step")
    tasks: Literal["all", "one"] = Field("all", description="objectives a step; one: drawn in proportion to weight")
    weighting: Literal["fixed", "uncertainty"] = "fixed"
    learning_rate: float = 1e-3
    warmup: int = 40
    weight_decay: float = 0.02
    clip: float = 1.0
    seed: int = 0
    ahead: int = Field(2, ge=0, description="batches made beside the step; 0: none, each when it is needed")
    checkpoint_every: int = 100
    log_every: int = 10
    held_out_every: int = Field(50, ge=0, description="steps between held-out losses; 0: none")
    precision: Literal["auto", "no", "bf16", "fp16"] = "no"
