"""Knowledge-based visual question answering: right answers under a condition of knowledge, question by question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kemm.data.fact_table import FactTable
from kemm.data.parts import Shown
from kemm.data.questions import Question
from kemm.evaluate.conditions import tables_under
from kemm.evaluate.metrics import accuracy, is_right
from kemm.predict.reader import Reader
from kemm.progress import Progress, silent
from kg.errors import UnreadableImage


@dataclass(frozen=True)
class Record:
    """One question's outcome."""

    question: Question
    answer: str
    confidence: float
    right: bool
    known: bool


@dataclass(frozen=True)
class Result:
    """Figures, and what they are made of. The answer that counts is the likeliest, however unsure."""

    knowledge: str
    records: tuple[Record, ...]

    def accuracy(self, keep: Any = lambda record: True) -> dict[str, Any]:
        """Accuracy with its 95 % interval over the records that ``keep`` lets through."""
        return accuracy([record.right for record in self.records if keep(record)])

    def by_type(self) -> dict[str, dict[str, Any]]:
        types = sorted({record.question.type or "all" for record in self.records})
        return {t: self.accuracy(lambda record, t=t: (record.question.type or "all") == t) for t in types}

    def as_dict(self) -> dict[str, Any]:
        known = self.accuracy(lambda record: record.known)
        share = sum(record.known for record in self.records) / max(1, len(self.records))
        return {
            **self.accuracy(),
            "by_type": self.by_type(),
            "knowledge": self.knowledge,
            "known": {"share": round(share, 4), **known},
        }


class KnowledgeVQA:
    """A set of questions, with their pictures.

    Args:
        questions: image paths may be relative to ``images``.

    Raises:
        UnreadableImage: pictures that are not there; names the first and how many.
    """

    def __init__(self, questions: Sequence[Question], images: Path | None = None) -> None:
        if images is not None:
            questions = [replace(q, image=str(images / q.image)) if q.image else q for q in questions]
        missing = [q.image for q in questions if q.image and not Path(q.image).is_file()]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise UnreadableImage(f"{missing[0]}: no such picture{more}; give their folder with --images")
        self.questions = list(questions)
        self._full: dict[int, tuple[int, list[FactTable]]] = {}

    def run(self, reader: Reader, knowledge: str = "full", progress: Progress = silent) -> Result:
        """Answer every question under one condition; what the retriever finds is shared between conditions."""
        patches = self._patches(reader, progress)
        full = self._tables(reader, progress)
        tables = tables_under(knowledge, reader, self.questions, full)
        readings = reader.read(self.questions, tables, patches)
        records = []
        for question, table, reading in zip(self.questions, tables, readings, strict=True):
            confidence = next(iter(reading.answers.values()))
            right = is_right(reading.best, question.answers)
            known = confidence >= reader.calibration.threshold and len(table) > 0
            records.append(Record(question, reading.best, confidence, right, known))
        return Result(knowledge, tuple(records))

    def _patches(self, reader: Reader, progress: Progress) -> list[Shown | None]:
        files = sorted({q.image for q in self.questions if q.image})
        if files:
            reader.world.features.compute(files, 1, progress("encode pictures", len(files)))
        return [reader.shown(q.image) if q.image else None for q in self.questions]

    def _tables(self, reader: Reader, progress: Progress) -> list[FactTable]:
        version = reader.world.graph.version
        key = id(reader)
        if key not in self._full or self._full[key][0] != version:
            found = reader.retrieve_many(self.questions, progress("retrieve facts", len(self.questions)))
            self._full[key] = version, reader.tables(found)
        return self._full[key][1]
