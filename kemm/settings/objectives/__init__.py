"""The section ``objectives``: one entry for each of ``kemm.objectives.OBJECTIVES``, in the same order."""

from __future__ import annotations

from kemm.settings.objectives.base import ObjectiveSettings
from kemm.settings.objectives.contrastive import (
    EntityImage,
    EntityText,
    GraphImage,
    GraphText,
    ImageTextContrastive,
)
from kemm.settings.objectives.generative import Captioning, GroundedWriting
from kemm.settings.objectives.knowledge import (
    Answering,
    DenoisingAlignment,
    DescriptionTransE,
    EntityLinking,
    EntityTyping,
    LinkPrediction,
    MaskedEntity,
    MaskedRelation,
    SubgraphLinks,
)
from kemm.settings.objectives.masked import MaskedImage, MaskedLanguage
from kemm.settings.section import Section


class Objectives(Section):
    """The objectives to train with; one that is absent has no head and no loss."""

    itc: ImageTextContrastive | None = None
    itm: ObjectiveSettings | None = None
    mlm: MaskedLanguage | None = None
    mim: MaskedImage | None = None
    captioning: Captioning | None = None
    mem: MaskedEntity | None = None
    link_prediction: LinkPrediction | None = None
    entity_image: EntityImage | None = None
    entity_text: EntityText | None = None
    answering: Answering | None = None
    reader_distillation: ObjectiveSettings | None = None
    joint_retrieval: ObjectiveSettings | None = None
    masked_relation: MaskedRelation | None = None
    subgraph_links: SubgraphLinks | None = None
    description_transe: DescriptionTransE | None = None
    path_completion: ObjectiveSettings | None = None
    entity_typing: EntityTyping | None = None
    picture_relation: ObjectiveSettings | None = None
    graph_text: GraphText | None = None
    graph_image: GraphImage | None = None
    grounded_writing: GroundedWriting | None = None
    denoising_alignment: DenoisingAlignment | None = None
    entity_linking: EntityLinking | None = None
