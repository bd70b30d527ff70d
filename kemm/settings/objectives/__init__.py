"""The section ``objectives``: one entry for each of ``kemm.objectives.OBJECTIVES``, in the same order."""

from __future__ import annotations

from kemm.settings.objectives.base import ObjectiveSettings
from kemm.settings.objectives.contrastive import EntityImage, EntityText, ImageTextContrastive
from kemm.settings.objectives.generative import Captioning
from kemm.settings.objectives.knowledge import Answering, LinkPrediction
from kemm.settings.objectives.masked import MaskedEntity, MaskedImage, MaskedLanguage
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
