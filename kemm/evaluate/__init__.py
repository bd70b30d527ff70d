"""Evaluation: a run's answers to a file of questions, with intervals and controls of knowledge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

#: name → "module:Class" of a benchmark
BENCHMARKS = {"knowledge_vqa": "kemm.evaluate.knowledge_vqa:KnowledgeVQA"}


def run(
    run: Path,
    questions: Path,
    images: Path | None = None,
    knowledge: str = "full",
    store: str | None = None,
    index: Path | None = None,
) -> dict[str, Any]:
    """Answer a file of questions and measure.

    Args:
        run: a finished run's folder.
        questions: JSON lines ``{"id", "image", "question", "answers"}``.
        images: the folder that image paths are below.
        knowledge: ``full``, ``none``, ``shuffled``, ``random`` or ``oracle``.
        store, index: instead of those the run was trained on.

    Returns:
        ``{"accuracy", "ci95", "n", "by_type", "knowledge", "known"}``; ``known`` is the share answered above the
        threshold and how right those are.

    Raises:
        KemmError: the run, the questions or a picture can't be used.
    """
    from kemm.data.questions import load_questions
    from kemm.evaluate.knowledge_vqa import KnowledgeVQA
    from kemm.predict.predictor import run_settings
    from kemm.predict.reader import Reader
    from kemm.progress import bars

    asked = load_questions(questions)
    reader = Reader.load(run, run_settings(run, store, index))
    with bars() as progress:
        return KnowledgeVQA(asked, images).run(reader, knowledge, progress).as_dict()
