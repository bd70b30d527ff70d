"""Confidence that means what it says: fitted on ``dev`` questions and pictures, never on the test split."""

from __future__ import annotations

import numpy as np
import torch

from kemm.data.training_data import TrainingData
from kemm.evaluate.metrics import is_right
from kemm.predict.reader import Calibration, Reader


def calibrate(reader: Reader, data: TrainingData, target: float = 0.75) -> Calibration:
    """Fit the picture linker's temperature, then the threshold below which an answer is withheld.

    The threshold is the lowest of 0, 0.05, … 0.9 for which the answers given are right at least ``target`` of the time.
    """
    reader.calibration = Calibration()
    reader.calibration = Calibration(link_temperature=_link_temperature(reader, data))
    questions = [q for q in data.questions if q.split == "dev"][:600]
    if not questions:
        return reader.calibration
    reader.world.bank.rows([q.question for q in questions])
    tables = reader.tables([reader.retrieve(q.question, q.image or None) for q in questions])
    patches = [reader.patches(q.image) if q.image else None for q in questions]
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
    return Calibration(threshold, reader.calibration.link_temperature, bins)


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
