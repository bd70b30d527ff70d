"""Confidence that means what it says: fitted on ``dev`` questions and pictures, never on the test split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from kemm.data.examples import muted
from kemm.data.fact_table import FactTable
from kemm.data.parts import Shown
from kemm.data.questions import NOT_KNOWN, Question
from kemm.data.training_data import TrainingData
from kemm.evaluate.metrics import is_right
from kemm.predict.reader import Calibration, Reader, Reading

#: Tried for ``Calibration.doubt``: what the odds of "not known" are multiplied with.
DOUBTS = (1.0, 0.5, 0.25, 0.1, 0.05, 0.02)


def calibrate(reader: Reader, data: TrainingData, target: float = 0.75) -> Calibration:
    """Fit the picture linker's temperature, the doubt, and the threshold below which an answer is withheld.

    The doubt is the one with which the questions that can be answered, and the same ones robbed of the facts that
    answer them, are answered best, both alike: an unheard wording is easily taken for a question without an answer. The
    threshold is the lowest of 0, 0.05, … 0.9 for which the answers given are right at least ``target`` of the time.
    """
    reader.calibration = Calibration()
    reader.calibration = Calibration(link_temperature=_link_temperature(reader, data))
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


def _link_temperature(reader: Reader, data: TrainingData) -> float:
    """The temperature, of a fixed ladder, with the least cross-entropy on dev pictures; 1 where there are none."""
    names, vectors = reader.pictured()
    shown = [(file, entity) for entity, files in data.pictures["dev"].items() for file in files]
    if vectors is None or not shown or "entity_image" not in reader.task.objectives:
        return 1.0
    number = {name: row for row, name in enumerate(names)}
    probabilities = reader.link_probabilities(np.stack([reader.patches(file) for file, _ in shown]))
    logits = torch.from_numpy(probabilities).clamp(min=1e-12).log()
    targets = torch.tensor([number[entity] for _, entity in shown])
    ladder = [0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6]
    losses = [torch.nn.functional.cross_entropy(logits / t, targets).item() for t in ladder]
    return ladder[int(np.argmin(losses))]
