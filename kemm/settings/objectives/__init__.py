"""The section ``objectives``: one entry for each of ``kemm.objectives.OBJECTIVES``, in the same order."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from kemm.settings.objectives.base import ObjectiveSettings
from kemm.settings.objectives.contrastive import BetweenModalities, EntityImage, EntityText, GraphImage, GraphText
from kemm.settings.objectives.generative import Captioning, GroundedWriting, Seq2Seq
from kemm.settings.objectives.knowledge import (
    Answering,
    DenoisingAlignment,
    DescriptionTransE,
    EntityLinking,
    EntityTyping,
    LinkPrediction,
    MaskedEntity,
    MaskedRelation,
    ReaderDistillation,
    SubgraphLinks,
)
from kemm.settings.objectives.masked import MaskedFilm, MaskedLanguage, MaskedPatches, MaskedRegions, MaskedSound
from kemm.settings.objectives.matching import (
    GraphMatching,
    Grounding,
    Matching,
    NextSentence,
    TagMatching,
    WordRegion,
)
from kemm.settings.objectives.teachers import Teacher
from kemm.settings.objectives.video import Action, FrameOrder, ModalityMasking, VideoSubtitle
from kemm.settings.section import Section


class Objectives(Section):
    """The objectives to train with; one that is absent has no head and no loss."""

    itc: BetweenModalities | None = None
    itm: Matching | None = None
    mlm: MaskedLanguage | None = None
    mim: MaskedPatches | None = None
    captioning: Captioning | None = None
    mem: MaskedEntity | None = None
    link_prediction: LinkPrediction | None = None
    entity_image: EntityImage | None = None
    entity_text: EntityText | None = None
    answering: Answering | None = None
    reader_distillation: ReaderDistillation | None = None
    joint_retrieval: ObjectiveSettings | None = None
    tag_matching: TagMatching | None = None
    graph_matching: GraphMatching | None = None
    next_sentence: NextSentence | None = None
    wra: WordRegion | None = None
    grounding: Grounding | None = None
    teacher: Teacher | None = None
    adversarial: Adversarial | None = None
    masked_relation: MaskedRelation | None = None
    subgraph_links: SubgraphLinks | None = None
    description_transe: DescriptionTransE | None = None
    path_completion: ObjectiveSettings | None = None
    entity_typing: EntityTyping | None = None
    picture_relation: ObjectiveSettings | None = None
    graph_text: GraphText | None = None
    graph_image: GraphImage | None = None
    grounded_writing: GroundedWriting | None = None
    seq2seq: Seq2Seq | None = None
    masked_audio: MaskedSound | None = None
    masked_video: MaskedFilm | None = None
    masked_regions: MaskedRegions | None = None
    modality_masking: ModalityMasking | None = None
    frame_order: FrameOrder | None = None
    video_subtitle: VideoSubtitle | None = None
    action: Action | None = None
    denoising_alignment: DenoisingAlignment | None = None
    entity_linking: EntityLinking | None = None


class Adversarial(ObjectiveSettings):
    """Another objective with its own settings, learned against an adversary; see FreeLB and VILLA."""

    of: Objectives = Field(
        default_factory=lambda: Objectives(itm=Matching()), description="one objective on samples, as itm: {}"
    )
    on: Literal["vision", "language"] = Field("language", description="whose tokens are changed")
    alpha: float = Field(1.0, ge=0, description="weight of the changed batch's loss")
    steps: int = Field(3, ge=1, description="K")
    step: float = Field(0.1, gt=0, description="η, of the change of one sample; its tokens are of length about √(L·D)")
    radius: float = Field(0.0, ge=0, description="ε, the most that a sample changes; 0: no bound")
    start: float = Field(0.01, gt=0, description="size of the first change, drawn evenly")

    def chosen(self) -> list[tuple[str, Any]]:
        """The objectives that are set, with their settings."""
        return [(name, part) for name, part in self.of if part is not None]

    @model_validator(mode="after")
    def _is_one(self) -> Adversarial:
        if len(self.chosen()) != 1 or self.of.adversarial is not None:
            raise ValueError("give exactly one other objective under 'of', such as itm: {}")
        return self


Objectives.model_rebuild()
