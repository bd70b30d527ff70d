"""Every setting of a run, typed: what a YAML under ``configs/`` may say. Unknown keys are errors.

A file for each section. An objective that has no entry isn't trained, and has no head. Nothing here imports torch.
"""

from __future__ import annotations

from pathlib import Path

from kemm.settings.data import DataSettings
from kemm.settings.model import AdapterSettings, EntityEmbeddings, ModelSettings, Tower, Towers
from kemm.settings.objectives import Objectives
from kemm.settings.questions import QuestionSettings, Wording
from kemm.settings.section import Section
from kemm.settings.train import TrainSettings

__all__ = [
    "AdapterSettings",
    "DataSettings",
    "EntityEmbeddings",
    "ModelSettings",
    "Objectives",
    "QuestionSettings",
    "Section",
    "Settings",
    "Tower",
    "Towers",
    "TrainSettings",
    "Wording",
]


class Settings(Section):
    """One run, whole."""

    run: Path = Path("runs/kemm")
    title: str = ""
    data: DataSettings = DataSettings()
    questions: QuestionSettings = QuestionSettings()
    model: ModelSettings = ModelSettings()
    objectives: Objectives = Objectives()
    train: TrainSettings = TrainSettings()
