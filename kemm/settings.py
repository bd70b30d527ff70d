"""Every setting of a run, typed: what a YAML under ``configs/`` may say. Unknown keys are errors.

A part's own settings stand in the section named for it; an objective that has no entry isn't trained, and has no head.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of the settings; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


class DataSettings(Section):
    """Where graph, index and pictures are."""

    store: str = "sqlite:///kg.db"
    index: Path = Path("index")
    root: Path | None = Field(
        None, description="folder that picture paths are relative to; null: as recorded by `media add`"
    )
    train_splits: list[str] = ["", "train", "iconic"]  # pictures with these splits may be trained on and indexed
    test_splits: list[str] = ["val", "test"]  # never seen in training, never indexed
    views: int = Field(3, ge=0, description="augmented views of each training picture, encoded once and cached")


class Wording(Section):
    """How people ask for one relation. ``{x}`` is the entity asked about, ``{y}`` the answer that is checked."""

    ask: list[str] = []
    of: list[str] = []  # noun phrases, for two hops: "the capital of {x}"
    whether: list[str] = []  # yes/no
    inverse: list[str] = []  # asks for the head, given the tail as {x}


class QuestionSettings(Section):
    """Questions generated from the graph, and what is held out of them."""

    relations: list[str] | None = None  # IRIs or local names; null: every relation with at least ``min_facts`` facts
    min_facts: int = 8
    wordings: dict[str, Wording] = {}  # by relation IRI, local name or label; others get general wordings
    this: list[str] = ["this"]  # how a picture is referred to
    namespaces: dict[str, int] = {}  # IRI prefix → most questions from heads under it (others: all)
    repeats: int = Field(
        2, ge=1, description="how often a fact is asked, each time in other words and of another picture"
    )
    per_relation: int = Field(400, description="most heads of a relation that are asked about")
    two_hop: int = Field(1200, description="most two-hop questions")
    yes_no: int = Field(1200, description="most yes/no questions")
    unknown: float = Field(0.05, description="share of questions whose fact the graph lacks; the answer is 'not known'")
    with_picture: float = Field(0.7, description="share of questions asked of a picture, where the entity has one")
    held_out_facts: float = 0.15
    held_out_entities: float = 0.15
    held_out_wordings: float = 0.25  # of each relation's wordings, at least one
    test: int = Field(1000, description="most held-out questions kept")


class EntityEmbeddings(Section):
    """Entity vectors of a run of ``kemm kg train``, added to the text of the evidence's nodes."""

    run: Path = Field(
        description="folder that `kemm kg train` wrote, from kemm.data.training_triples: its facts are not asked for"
    )
    mode: Literal["frozen", "tuned"] = "frozen"


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
    gnn: str = "compgcn"
    fusion: str = "multiway"
    width: int = 192
    layers: int = 4
    heads: int = 4
    gnn_layers: int = 2
    grid: int = Field(4, description="vision tokens a side")
    text_tokens: int = 24
    facts: int = Field(32, description="most facts of the evidence, K")
    dropout: float = 0.1
    entity_embeddings: EntityEmbeddings | None = None  # null: entities are known by their text alone
    start: Path | None = None  # folder of a saved model of the same sizes, to begin with its weights
    adapters: AdapterSettings | None = None  # null: the whole model learns; else they do, and the objectives' heads


class ObjectiveSettings(Section):
    weight: float = Field(1.0, ge=0)


class Contrastive(ObjectiveSettings):
    temperature: float = 0.07


class MaskedLanguage(ObjectiveSettings):
    rate: float = Field(0.25, gt=0, lt=1)


class MaskedImage(ObjectiveSettings):
    rate: float = Field(0.4, gt=0, lt=1)


class MaskedEntity(ObjectiveSettings):
    rate: float = Field(0.2, gt=0, lt=1)
    temperature: float = 0.07


class LinkPrediction(ObjectiveSettings):
    dimension: int = 256
    batch: int = 512
    learning_rate: float = 1e-2


class EntityImage(Contrastive):
    batch: int = Field(128, description="pictures a step")


class EntityText(Contrastive):
    batch: int = Field(128, description="entities a step")


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


class Objectives(Section):
    """The objectives to train with; one that is absent has no head and no loss."""

    itc: Contrastive | None = None
    itm: ObjectiveSettings | None = None
    mlm: MaskedLanguage | None = None
    mim: MaskedImage | None = None
    mem: MaskedEntity | None = None
    link_prediction: LinkPrediction | None = None
    entity_image: EntityImage | None = None
    entity_text: EntityText | None = None
    answering: Answering | None = None
    reader_distillation: ObjectiveSettings | None = None
    joint_retrieval: ObjectiveSettings | None = None


class TrainSettings(Section):
    """The loop. A step takes one batch of picture–caption pairs, one of questions and one of graph edges."""

    steps: int = 400
    pairs: int = Field(48, description="picture–caption pairs a step")
    questions: int = Field(64, description="questions a step")
    learning_rate: float = 1e-3
    warmup: int = 40
    weight_decay: float = 0.02
    clip: float = 1.0
    seed: int = 0
    ahead: int = Field(2, ge=0, description="batches made beside the step; 0: none, each when it is needed")
    checkpoint_every: int = 100
    log_every: int = 10
    precision: Literal["auto", "no", "bf16", "fp16"] = "no"


class Settings(Section):
    """One run, whole."""

    run: Path = Path("runs/kemm")
    title: str = ""
    data: DataSettings = DataSettings()
    questions: QuestionSettings = QuestionSettings()
    model: ModelSettings = ModelSettings()
    objectives: Objectives = Objectives()
    train: TrainSettings = TrainSettings()
