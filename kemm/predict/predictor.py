"""Ask a trained run: answer, confidence, the facts it rests on, and how it got there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from kemm.config import load
from kemm.data.fact_table import FactTable
from kemm.data.questions import NOT_KNOWN, Question
from kemm.predict.reader import Reader, Reading
from kemm.settings import Settings
from kg.errors import InputError
from kg.records import Literal
from retrieval.evidence import Evidence

MAX_CITATIONS = 4
MIN_CONFIDENCE = 0.2  # an answer held less likely than one in five is none, however lenient the calibration
MIN_EFFECT = 0.05  # a fact whose removal lowers the answer's probability by less is not cited


@dataclass(frozen=True)
class Citation:
    """A fact that the answer rests on.

    Attributes:
        effect: how much the answer's probability falls when the fact is taken away.
        version: the store's version in which the fact was added.
    """

    head: str
    relation: str
    tail: str
    source: str
    effect: float
    version: int


@dataclass(frozen=True)
class Prediction:
    """An answer with its grounds.

    Attributes:
        answer: "not known" when the facts or the confidence don't suffice.
        confidence: probability of the answer; of the withheld one when not known.
        known: whether an answer is given.
        trace: what was linked, how many facts were found, the runners-up, and why no answer is given if none is.
    """

    answer: str
    confidence: float
    known: bool
    citations: tuple[Citation, ...] = ()
    trace: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def run_settings(run: Path, store: str | None = None, index: Path | None = None) -> Settings:
    """The settings a run was trained with, its own folder, and another store or index if given.

    Raises:
        InputError: there is no run.
        ConfigError: its settings are of another version; names file, line and key.
    """
    path = run / "settings.yaml"
    if not path.is_file():
        raise InputError(f"{run}: no run there; run `kemm pretrain CONFIG` first")
    settings = load(path, Settings).settings
    data = settings.data.model_copy(
        update={**({"store": store} if store else {}), **({"index": Path(index)} if index else {})}
    )
    return settings.model_copy(update={"run": run, "data": data})


class Predictor:
    """Answer questions about pictures and about the graph."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    @classmethod
    def load(cls, run: str | Path, store: str | None = None, index: str | Path | None = None) -> Predictor:
        """Load a run.

        Raises:
            InputError, StoreMissing, IndexStale: with what to do.
        """
        run = Path(run)
        return cls(Reader.load(run, run_settings(run, store, Path(index) if index else None)))

    def predict(self, image: str | Path | Image.Image | None = None, question: str = "") -> Prediction:
        """Answer one question.

        Raises:
            InputError: the question is empty.
            UnreadableImage: the picture can't be used.
        """
        if not question.strip():
            raise InputError("empty question: say what you want to know")
        evidence, table, reading = self.explain(image, question)
        confidence = next(iter(reading.answers.values()))
        trace = self._trace(evidence, reading)
        trace["why"] = self._why_not(evidence, reading, confidence)
        if trace["why"]:
            return Prediction(NOT_KNOWN, round(confidence, 4), False, (), trace)
        citations = self._cite(image, question, evidence, table, reading)
        return Prediction(reading.best, round(confidence, 4), True, citations, trace)

    def explain(self, image: str | Path | Image.Image | None, question: str) -> tuple[Evidence, FactTable, Reading]:
        """What an answer is made of: the evidence found, as the model sees it, and its whole distribution."""
        evidence = self.reader.retrieve(question, image)
        table = self.reader.tables([evidence])[0]
        return evidence, table, self._read(image, question, [table])[0]

    def edit(
        self,
        add: tuple[str, str, str | Literal] | None = None,
        retract: tuple[str, str, str | Literal] | None = None,
        source: str = "edit",
    ) -> int:
        """Correct a fact in the store, both parts in one version; the next answer follows. Returns the version."""
        with self.reader.world.graph.edit(source=source) as edit:
            if retract is not None:
                edit.retract(*retract)
            if add is not None:
                edit.add(*add)
        return self.reader.world.graph.version

    def _why_not(self, evidence: Evidence, reading: Reading, confidence: float) -> str:
        """Why no answer should be given; empty when one should."""
        if evidence.is_strange and not any(link.mention for link in evidence.anchors):
            return "the picture shows none of the store's entities, and the question names none"
        if not evidence.anchors:
            return "nothing in the question is an entity of the store"
        surest = max(range(len(evidence.anchors)), key=lambda row: evidence.anchors[row].score)
        if not evidence.facts:
            return f"the store has no facts about {evidence.label(evidence.anchors[surest].entity)}"
        if all(set(fact.found_by) & {"dense", "lexical"} for fact in evidence.facts):
            return "nothing in the question names an entity of the store"
        if not any(fact.anchor == surest for fact in evidence.facts):
            return f"the store has no facts about {evidence.label(evidence.anchors[surest].entity)}"
        if reading.best == NOT_KNOWN:
            return "the facts found do not answer it"
        least = max(self.reader.calibration.threshold, MIN_CONFIDENCE)
        if confidence < least:
            return f"the confidence is below {least}"
        return ""

    def _read(self, image: str | Path | Image.Image | None, question: str, tables: list[FactTable]) -> list[Reading]:
        patches = self.reader.shown(image) if image is not None else None
        asked = Question("", question, ())
        return self.reader.read([asked] * len(tables), tables, [patches] * len(tables))

    def _cite(
        self,
        image: str | Path | Image.Image | None,
        question: str,
        evidence: Evidence,
        table: FactTable,
        reading: Reading,
    ) -> tuple[Citation, ...]:
        """Facts by how much the answer's probability falls without each; without a fact, what it led to is gone too."""
        rows = range(len(table))
        without = [table.keep([other for other in rows if other != row]) for row in rows]
        readings = self._read(image, question, without)
        before = reading.answers[reading.best]
        effects = [before - r.answers.get(reading.best, 0.0) for r in readings]
        cited = sorted((row for row in rows if effects[row] >= MIN_EFFECT), key=lambda row: -effects[row])
        return tuple(
            Citation(
                head=evidence.label(fact.statement.head),
                relation=evidence.label(fact.statement.relation),
                tail=evidence.label(fact.statement.tail),
                source=fact.statement.source,
                effect=round(effects[row], 4),
                version=fact.statement.added,
            )
            for row in cited[:MAX_CITATIONS]
            for fact in [evidence.facts[row]]
        )

    def _trace(self, evidence: Evidence, reading: Reading) -> dict[str, Any]:
        return {
            "anchors": [
                {
                    "entity": link.entity,
                    "label": evidence.label(link.entity),
                    "mention": link.mention or "(picture)",
                    "score": round(link.score, 4),
                }
                for link in evidence.anchors
            ],
            "strange_picture": evidence.is_strange,
            "facts": len(evidence.facts),
            "kg_version": evidence.kg_version,
            "candidates": [
                {"answer": answer, "probability": round(chance, 4)}
                for answer, chance in list(reading.answers.items())[:5]
            ],
        }
