"""Objectives: each a loss with its own head, named in ``OBJECTIVES``.

An objective is built from its settings and the model's sizes, asks ``Encoded`` for what it needs and returns a scalar.
It never runs an encoder that another objective has already run in the step.
"""

from __future__ import annotations

#: name → "module:Class"
OBJECTIVES = {
    "itc": "kemm.objectives.contrastive:ImageTextContrastive",
    "itm": "kemm.objectives.matching:ImageTextMatching",
    "mlm": "kemm.objectives.masked:MaskedLanguage",
    "mim": "kemm.objectives.masked:MaskedImage",
    "mem": "kemm.objectives.masked:MaskedEntity",
    "link_prediction": "kemm.objectives.link_prediction:LinkPrediction",
    "entity_image": "kemm.objectives.contrastive:EntityImage",
    "entity_text": "kemm.objectives.contrastive:EntityText",
    "answering": "kemm.objectives.answering:Answering",
    "reader_distillation": "kemm.objectives.reader_distillation:ReaderDistillation",
    "joint_retrieval": "kemm.objectives.joint_retrieval:JointRetrieval",
}
