"""The knowledge that questions are answered with: full, and its controls none, shuffled, random, oracle."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from kemm.data.fact_table import FactTable
from kemm.data.questions import Question
from kemm.predict.reader import Reader
from kg.errors import InputError
from kg.records import BOOKKEEPING_RELATIONS, Link
from retrieval.anchors import without_mentions
from retrieval.evidence import Evidence, EvidenceFact

CONDITIONS = ("full", "none", "shuffled", "random", "oracle")


def tables_under(
    condition: str, reader: Reader, questions: Sequence[Question], full: Sequence[FactTable], seed: int = 0
) -> list[FactTable]:
    """The facts that each question gets.

    - ``full``: what the retriever finds.
    - ``none``: nothing; picture and words alone.
    - ``shuffled``: what it found for another question, about another entity: as many facts, true ones, wrong ones here.
    - ``random``: as many facts drawn from the whole store.
    - ``oracle``: of the facts around the entity that is really meant, those on the asked path.

    Raises:
        InputError: ``oracle`` for questions that don't say what they are about; an unknown condition.
    """
    if condition == "full":
        return list(full)
    if condition == "none":
        return [table.keep([]) for table in full]
    if condition == "shuffled":
        order = deranged([question.head or question.image or question.id for question in questions], seed)
        return [full[row] for row in order]
    if condition == "random":
        return _random(reader, full, seed)
    if condition == "oracle":
        if not all(question.head and question.path for question in questions):
            raise InputError("--knowledge oracle needs 'head' and 'path' of every question, as generated ones have")
        return [_oracle(reader, question) for question in questions]
    raise InputError(f"no knowledge condition is called {condition!r}; there are {', '.join(CONDITIONS)}")


def deranged(groups: Sequence[str], seed: int) -> list[int]:
    """A permutation that sends no row to a row of its own group, or as few as can be where a group is over half."""
    rng = random.Random(seed)
    order = sorted(range(len(groups)), key=lambda row: (groups[row], rng.random()))
    largest = max((groups.count(group) for group in set(groups)), default=0)
    result = [0] * len(groups)
    for place, row in enumerate(order):
        result[row] = order[(place + largest) % len(order)]
    return result


def _random(reader: Reader, full: Sequence[FactTable], seed: int) -> list[FactTable]:
    graph, rng = reader.world.graph, random.Random(seed)
    relations = [r for r in graph.relations() if r not in BOOKKEEPING_RELATIONS]
    pool = [s for relation in relations for s in _some(graph.triples(relation=relation), 30, rng)]
    found = []
    for table in full:
        drawn = rng.sample(pool, min(len(table), len(pool)))
        anchors = tuple(Link(s.head, 1.0 / len(drawn)) for s in drawn)
        facts = tuple(EvidenceFact(s, 0.5 / len(drawn), anchor=row) for row, s in enumerate(drawn))
        names = {end for s in drawn for end in s.fact if isinstance(end, str)}
        found.append(Evidence(facts, anchors, graph.version, graph.labels(names)))
    return reader.tables(found)


def _some(items, most: int, rng: random.Random) -> list:  # type: ignore[no-untyped-def]
    read = list(itertools.islice(items, 50 * most))
    return rng.sample(read, min(most, len(read)))


def _oracle(reader: Reader, question: Question) -> FactTable:
    retriever, world = reader.world.retriever, reader.world
    named = retriever.link_text(question.question, True)
    mentioned = [link for link in named if link.entity != question.head]
    asked = without_mentions(question.question, named)
    anchors = [Link(question.head, 1.0), *mentioned]
    evidence = retriever.gather(anchors, asked, world.settings.model.facts, question.question)
    table = reader.tables([evidence])[0]
    on_path = [
        row
        for row, fact in enumerate(evidence.facts)
        if fact.anchor == 0 and table.paths[row] == question.path[: fact.hop]
    ]
    return table.keep(on_path)
