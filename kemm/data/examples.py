"""Questions with their facts: which facts answer, how often each is asked, and many questions as one batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from kemm.data.batch import Questions
from kemm.data.fact_table import FactTable
from kemm.data.facts import collate_facts
from kemm.data.parts import Shown
from kemm.data.questions import Question
from kemm.data.samples import UNKNOWN, Samples
from kemm.data.world import World

#: Types of questions whose answers stand in facts; others are answered by a word: yes, no, not known.
ANSWERED_BY_FACTS = ("one-hop", "two-hop")


@dataclass(frozen=True)
class Example:
    """A question ready to be batched: its facts, and which of them answer."""

    question: Question
    table: FactTable
    targets: tuple[int, ...]  # rows of the table whose far end, reached by the asked path, is a right answer


def right_rows(table: FactTable, question: Question) -> tuple[int, ...]:
    """Rows of the facts that answer a question by its own path."""
    if question.type not in ANSWERED_BY_FACTS:
        return ()
    answers = set(question.answers)
    return tuple(
        row for row in range(len(table)) if table.paths[row] == question.path and table.answers[row] in answers
    )


def muted(table: FactTable, question: Question) -> FactTable:
    """The facts without those by which the question could be answered: its path's first step and all beyond it."""
    return table.keep([row for row in range(len(table)) if table.paths[row][0] != question.path[0]])


def balanced(types: Sequence[str]) -> np.ndarray:
    """The chance of each question to be drawn: its type by the square root of how many there are, then evenly.

    Questions without an answer keep the share that they have: drawn oftener, they teach to say "not known" too soon.
    """
    counts = Counter(types)
    unknown = counts["unknown"] / max(1, len(types))
    roots = {type: count**0.5 for type, count in counts.items() if type != "unknown"}
    whole = sum(roots.values())
    share = {type: (1 - unknown) * root / whole for type, root in roots.items()} | {"unknown": unknown}
    return np.array([share[type] / counts[type] for type in types])


def batch_questions(
    world: World,
    questions: Sequence[Question],
    tables: Sequence[FactTable],
    shown: Sequence[Shown | None],
    targets: Sequence[Sequence[int]] | None = None,
    words: Sequence[int] | None = None,
    entities: Sequence[int] | None = None,
) -> Questions:
    """Join questions into one batch; targets are for training; ``shown`` is what ``PartMaker.picture`` gave."""
    bank, size = world.bank, len(questions)
    texts = [question.question for question in questions]
    vectors = torch.from_numpy(bank.embed(texts))
    facts = collate_facts(tables, bank.matrix, world.settings.model.facts)
    pointer = torch.zeros(size, facts.mask.shape[1] if facts is not None else 0, dtype=torch.bool)
    for number, rows in enumerate(targets or ()):
        pointer[number, [row for row in rows if row < pointer.shape[1]]] = True
    parts = {"vision": world.parts.pictures(shown), "language": world.parts.texts(texts)}
    entity = torch.tensor(entities if entities is not None else [UNKNOWN] * size)
    return Questions(
        samples=Samples(parts, entity, facts=facts),
        text_vector=vectors,
        pointer_targets=pointer,
        vocabulary_targets=torch.tensor(words if words is not None else [-1] * size),
    )
