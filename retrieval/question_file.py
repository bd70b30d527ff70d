"""Questions with their answers from a file, each tied to the store: what a retriever learns from and is measured on.

TSV, one question a line: question, answers joined by "|", and optionally the entity it is about; or JSON lines with the
keys ``question``, ``answers`` and, optionally, ``topic``. Answers and topics are IRIs, names, or an answer's value. The
topic may also be marked in the question, as in MetaQA: "who wrote [Jaws]". Such brackets are taken off, also where what
they hold is not, or not clearly, an entity. Files may be packed (``.gz``, ``.bz2``, ``.zst``).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kg.errors import FormatError, InputError, UnknownEntity
from kg.ingest.files import open_bytes

if TYPE_CHECKING:
    from kg import KnowledgeGraph

_MARKED = re.compile(r"\[([^\[\]]+)\]")


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question whose answers are known.

    Attributes:
        answers: IRIs; values as their text.
        topic: IRI of the entity it is about; "" where the file doesn't say.
    """

    text: str
    answers: frozenset[str]
    topic: str = ""


def read_questions(path: Path, graph: KnowledgeGraph) -> list[AskedQuestion]:
    """Read a file of questions.

    Raises:
        FormatError: a line is not as above, or its topic is not, or not clearly, an entity of the store; with its line.
        InputError: there is no such file, or nothing in it.
    """
    known: dict[str, str | UnknownEntity] = {}

    def meant(name: str) -> str:
        if name not in known:
            try:
                known[name] = graph.resolve(name)
            except UnknownEntity as error:
                known[name] = error
        found = known[name]
        if isinstance(found, UnknownEntity):
            raise found
        return found

    def answer(name: str) -> str:
        try:
            return meant(name)
        except UnknownEntity:  # a value, or a name that several entities have: as written
            return name

    def about(text: str, topic: str) -> tuple[str, str]:
        marked = _MARKED.findall(text)
        if topic or len(marked) != 1:
            return text, meant(topic) if topic else ""
        try:
            topic = meant(marked[0])
        except UnknownEntity:
            topic = ""
        return _MARKED.sub(r"\1", text), topic

    read = []
    try:
        with open_bytes(path) as file:
            for number, raw in enumerate(file, start=1):
                if not raw.strip():
                    continue
                try:
                    text, answers, topic = _parsed(raw.decode().rstrip("\r\n"))
                    text, topic = about(text, topic)
                    read.append(AskedQuestion(text, frozenset(map(answer, answers)), topic))
                except UnicodeDecodeError as error:
                    reason = f"not UTF-8 at byte {error.start + 1}; save the file as UTF-8"
                    raise FormatError(str(path), number, reason) from None
                except UnknownEntity as error:
                    raise FormatError(str(path), number, f"the topic is not clear: {error}") from None
                except ValueError as error:
                    raise FormatError(str(path), number, str(error)) from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; give questions as TSV or JSON lines") from None
    if not read:
        raise InputError(f"{path}: no questions in it; give TSV (question, answers, topic) or JSON lines")
    return read


def _parsed(line: str) -> tuple[str, list[str], str]:
    """Question, answers and topic of a line.

    Raises:
        ValueError: says what is wrong.
    """
    text, answers, topic = _of_json(line) if line.lstrip().startswith("{") else _of_columns(line)
    answers = [answer.strip() for answer in answers if answer.strip()]
    if not text.strip():
        raise ValueError("the question is empty")
    if not answers:
        raise ValueError("the question has no answer; a retriever learns from answers")
    return text.strip(), answers, topic.strip()


def _of_columns(line: str) -> tuple[str, list[str], str]:
    columns = line.split("\t")
    if len(columns) not in (2, 3):
        raise ValueError(f"2 or 3 columns are wanted (question, answers joined by |, topic), here are {len(columns)}")
    return columns[0], columns[1].split("|"), columns[2] if len(columns) == 3 else ""


def _of_json(line: str) -> tuple[str, list[str], str]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None
    except RecursionError:
        raise ValueError("not JSON: nested too deeply") from None
    answers = row.get("answers")
    answers = [answers] if isinstance(answers, str) else answers
    _require(isinstance(row.get("question"), str), "'question' must be a text")
    _require(
        isinstance(answers, list) and all(isinstance(one, str | int | float) for one in answers),
        "'answers' must be a list of texts",
    )
    _require(isinstance(row.get("topic") or "", str), "'topic' must be a text")
    return row["question"], list(map(str, answers)), row.get("topic") or ""


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise ValueError(reason)
