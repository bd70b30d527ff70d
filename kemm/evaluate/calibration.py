"""Confidence that means what it says: fitted on ``dev`` questions and pictures, never on the test split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kemm.data.examples import muted
from kemm.data.fact_table import FactTable
from kemm.data.parts import Shown
from kemm.data.questions import NOT_KNOWN, Question
from kemm.data.training_data import TrainingData
from kemm.evaluate.metrics import is_right
from kemm.predict.reader import Calibration, Reader, Reading
from retrieval.pictures.confidence import Confidence, weakest_right

#: Tried for ``Calibration.doubt``: what the odds of "not known" are multiplied with.
DOUBTS = (1.0, 0.5, 0.25, 0.1, 0.05, 0.02)


def calibrate(reader: Reader, data: TrainingData, target: float = 0.75) -> Calibration:
    """Fit what the picture linker refuses, the doubt, and the threshold below which an answer is withheld.

    The doubt is the one with which the questions that can be answered, and the same ones robbed of the facts that
    answer them, are answered best, both alike: an unheard wording is easily taken for a question without an answer. The
    threshold is the lowest of 0, 0.05, … 0.9 for which the answers given are right at least ``target`` of the time.
    """
    reader.calibration = Calibration(linking=_linking(reader, data))
    questions = [q for q in data.questions if q.split == "dev"][:600]
    if not questions:
        return reader.calibration
    tables = reader.tables(reader.retrieve_many(questions))
    patches = [reader.shown(q.image) if q.image else None for q in questions]
    reader.calibration = replace(reader.calibration, doubt=_doubt(reader, questions, tables, patches))
    readings = reader.read(questions, tables, patches)
    confidence = np.array([next(iter(r.answers.values())) for r in readings])
    right = np.array([is_right(r.best, q.answers) for r, q in zip(readings, questions, strict=True)])
    bins = []
    for low in np.arange(0.0, 1.0, 0.1):
        inside = (confidence >= low) & ((confidence < low + 0.1) | (low >= 0.9))
        if inside.any():
            bins.append(
                [round(float(confidence[inside].mean()), 4), round(float(right[inside].mean()), 4), int(inside.sum())]
            )
    ladder = [round(0.05 * step, 2) for step in range(19)]
    threshold = next(
        (t for t in ladder if (confidence >= t).any() and right[confidence >= t].mean() >= target), ladder[-1]
    )
    return replace(reader.calibration, threshold=threshold, bins=bins)


def _doubt(
    reader: Reader, questions: Sequence[Question], tables: Sequence[FactTable], patches: Sequence[Shown | None]
) -> float:
    answerable = [row for row, q in enumerate(questions) if NOT_KNOWN not in q.answers and len(q.path) > 0]
    asked = [questions[row] for row in answerable]
    robbed = [muted(tables[row], questions[row]) for row in answerable]
    shown = [patches[row] for row in answerable]
    with_facts = reader.read(asked, [tables[row] for row in answerable], shown)
    pointing = [row for row, q in enumerate(asked) if q.type in ("one-hop", "two-hop")]
    without = reader.read(
        [asked[row] for row in pointing], [robbed[row] for row in pointing], [shown[row] for row in pointing]
    )

    def best(reading: Reading, doubt: float) -> str:
        chances = {**reading.answers, NOT_KNOWN: reading.answers[NOT_KNOWN] * doubt}
        return max(chances, key=chances.__getitem__)

    def worth(doubt: float) -> float:
        answered = np.mean([is_right(best(r, doubt), q.answers) for r, q in zip(with_facts, asked, strict=True)])
        return float(answered + np.mean([best(r, doubt) == NOT_KNOWN for r in without]))

    return max(DOUBTS, key=worth) if pointing else 1.0


def _linking(reader: Reader, data: TrainingData) -> Confidence:
    """How like its entity a dev picture looks that is taken for new; unchanged where there are none.

    Chances stay as they are: dev pictures are of the same series as those trained on, and what is fitted on them was no
    nearer the truth on others, or further from it (LOG.md).
    """
    shown = [(file, entity) for entity, files in data.pictures["dev"].items() for file in files]
    if reader.pictured is None or not shown:
        return Confidence()
    entities = [entity for _, entity in shown]
    features = np.stack([reader.patches(file).mean(0, dtype=np.float32) for file, _ in shown])  # (B, D_v)
    found = reader.pictured.left_out(features, entities)
    right = [one.entities[:1] == (entity,) for one, entity in zip(found, entities, strict=True)]
    return Confidence(weakest=weakest_right(found, right))
