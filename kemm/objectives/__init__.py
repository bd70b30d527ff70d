"""Objectives: each a loss with its own head, named in ``OBJECTIVES``.

An objective is built from its settings and the model's sizes, asks ``Encoded`` for what it needs and returns a scalar.
It never runs an encoder that another objective has already run in the step. How to add one: docs/objectives.md.
"""

from __future__ import annotations

#: name → "module:Class"
OBJECTIVES = {
    "itc": "kemm.objectives.contrastive:Contrastive",
    "itm": "kemm.objectives.matching:Matching",
    "mlm": "kemm.objectives.masked_language:MaskedLanguage",
    "mim": "kemm.objectives.masked_patches:MaskedPatches",
    "captioning": "kemm.objectives.captioning:Captioning",
    "mem": "kemm.objectives.masked_entity:MaskedEntity",
    "link_prediction": "kemm.objectives.link_prediction:LinkPrediction",
    "entity_image": "kemm.objectives.entity_contrast:EntityImage",
    "entity_text": "kemm.objectives.entity_contrast:EntityText",
    "answering": "kemm.objectives.answering:Answering",
    "reader_distillation": "kemm.objectives.reader_distillation:ReaderDistillation",
    "joint_retrieval": "kemm.objectives.joint_retrieval:JointRetrieval",
    "tag_matching": "kemm.objectives.tag_matching:TagMatching",
    "graph_matching": "kemm.objectives.graph_matching:GraphMatching",
    "next_sentence": "kemm.objectives.next_sentence:NextSentence",
    "wra": "kemm.objectives.word_region:WordRegion",
    "grounding": "kemm.objectives.grounding:Grounding",
    "teacher": "kemm.objectives.teacher:Teacher",
    "adversarial": "kemm.objectives.adversarial:Adversarial",
    "masked_relation": "kemm.objectives.masked_relation:MaskedRelation",
    "subgraph_links": "kemm.objectives.subgraph_links:SubgraphLinks",
    "description_transe": "kemm.objectives.linked_texts:DescriptionTransE",
    "path_completion": "kemm.objectives.linked_texts:PathCompletion",
    "entity_typing": "kemm.objectives.linked_texts:EntityTyping",
    "picture_relation": "kemm.objectives.linked_texts:PictureRelation",
    "graph_text": "kemm.objectives.contrastive:Contrastive",
    "graph_image": "kemm.objectives.contrastive:Contrastive",
    "grounded_writing": "kemm.objectives.captioning:Captioning",
    "seq2seq": "kemm.objectives.seq2seq:Seq2Seq",
    "masked_audio": "kemm.objectives.masked_patches:MaskedPatches",
    "masked_video": "kemm.objectives.masked_patches:MaskedPatches",
    "masked_regions": "kemm.objectives.masked_regions:MaskedRegions",
    "modality_masking": "kemm.objectives.modality_masking:ModalityMasking",
    "frame_order": "kemm.objectives.frame_order:FrameOrder",
    "video_subtitle": "kemm.objectives.video_subtitle:VideoSubtitle",
    "action": "kemm.objectives.action:Action",
    "denoising_alignment": "kemm.objectives.mentions:DenoisingAlignment",
    "entity_linking": "kemm.objectives.mentions:EntityLinking",
}
