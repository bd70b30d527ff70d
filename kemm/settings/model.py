"""The model's parts and sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from kemm.settings.section import Section


class EntityEmbeddings(Section):
    """Entity vectors of a run of ``kemm kg train``, added to the text of the evidence's nodes."""

    run: Path = Field(
        description="folder that `kemm kg train` wrote, from kemm.data.training_triples: its facts are not asked for"
    )
    mode: Literal["frozen", "tuned"] = "frozen"


class Tower(Section):
    """What stands before the fusion encoder for one modality.

    Frozen: a tower's features, cached by content. Tuned: the tower itself. Scratch: none; patches and words go straight
    into the fusion encoder, as in ViLT and BEiT-3.
    """

    mode: Literal["frozen", "tuned", "scratch"] = "frozen"
    blocks: int | None = Field(None, ge=1, description="tuned: the last so many blocks; null: all")
    rate: float = Field(0.1, gt=0, description="tuned: learning rate of its last block, as a share of the model's")
    decay: float = Field(0.8, gt=0, le=1, description="tuned: a block's learning rate as a share of the next one's")
    size: int = Field(64, description="scratch: side of a picture or frame in pixels; bands of a sound's spectrogram")
    patch: int = Field(8, description="scratch: side of a patch")
    frames: int = Field(128, description="scratch: frames of a sound, of 10 ms each; of a video")


class Regions(Section):
    """Of pictures that a detector has seen: its features, and its judgement of what each shows."""

    features: int = Field(2048, ge=1, description="numbers a region")
    classes: int = Field(0, ge=0, description="that the detector knows; 0: its judgement is not given")
    most: int = Field(36, ge=1, description="regions of a picture")


class Towers(Section):
    """By modality; pictures and words are always there, sound, video and regions where they are named."""

    vision: Tower = Tower()
    language: Tower = Tower()
    audio: Tower | None = Field(None, description="from scratch alone")
    video: Tower | None = Field(None, description="from scratch alone")
    regions: Regions | None = None


class AdapterSettings(Section):
    """Small parts that learn while the rest of the model stays as it is; see ``kemm.fuse.adapters``."""

    kind: Literal["lora", "bottleneck", "prefix"] = "lora"
    size: int = Field(8, ge=1, description="rank of LoRA, width of a bottleneck, tokens of a prefix")
    parts: list[Literal["attention", "feed_forward"]] = ["attention", "feed_forward"]  # a prefix: attention alone
    layers: str | None = Field(None, description="instead of parts: regular expression for names of linear layers")
    alpha: float = 16  # LoRA's product counts alpha / size times
    dropout: float = Field(0.0, ge=0, lt=1, description="on what LoRA reads, in training")


class ModelSettings(Section):
    """The model's parts and sizes."""

    vision: str = "efficientnet-lite0"
    text: str = "minilm"
    towers: Towers = Towers()
    gnn: str = "compgcn"
    fusion: str = "multiway"
    width: int = 192
    layers: int = 4
    heads: int = 4
    gnn_layers: int = 2
    grid: int = Field(4, description="vision tokens a side, of a tower")
    text_tokens: int = 24
    facts: int = Field(32, description="most facts of the evidence, K")
    dropout: float = 0.1
    momentum: float = Field(0.995, ge=0, le=1, description="of the slow copy, where an objective asks for one")
    entity_embeddings: EntityEmbeddings | None = None  # null: entities are known by their text alone
    start: Path | None = None  # folder of a saved model of the same sizes, to begin with its weights
    adapters: AdapterSettings | None = None  # null: the whole model learns; else they do, and the objectives' heads
