"""Facts and paths as plain words, each span of text keeping the fact it comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kg.records import Literal, Statement
from retrieval.evidence import Evidence, EvidenceFact


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text and the index into ``Evidence.facts`` of the fact that it says."""

    text: str
    fact_index: int


def path_text(steps: Sequence[tuple[str, bool]]) -> str:
    """Say what lies at the end of a path of one or two ``(relation label, forward)`` steps from an anchor.

    Forward "capital"; inverse "is capital of"; two steps forward, borders then capital, "capital of borders".
    """
    words = [label if forward else f"is {label} of" for label, forward in steps]
    if len(words) == 1:
        return words[0]
    (first, first_forward), (second, second_forward) = steps
    if second_forward:
        return f"{second} of {first}" if first_forward else f"{second} of what it {words[0]}"
    return f"{words[1]} {first}" if first_forward else f"{words[1]} what it {words[0]}"


def fact_text(statement: Statement, label: Callable[[str], str]) -> str:
    """Say a fact as it is stored: "Italy, capital: Rome"; a literal's unit follows it.

    Args:
        label: IRI → readable name; asked about units too, which may be names already.
    """
    tail = statement.tail
    said = tail.value if isinstance(tail, Literal) else label(tail)
    if isinstance(tail, Literal) and tail.unit:
        said = f"{said} {label(tail.unit)}"
    return f"{label(statement.head)}, {label(statement.relation)}: {said}"


def verbalise_fact(evidence: Evidence, fact: EvidenceFact) -> str:
    """Say one fact of the evidence by its labels."""
    return fact_text(fact.statement, evidence.label)


def verbalise(evidence: Evidence) -> list[Span]:
    """Say every fact of the evidence, in its order."""
    return [Span(verbalise_fact(evidence, fact), index) for index, fact in enumerate(evidence.facts)]
