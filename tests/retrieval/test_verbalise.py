"""Facts and paths in words."""

from __future__ import annotations

import pytest

from kg.records import Literal, Statement
from retrieval.evidence import Evidence, EvidenceFact
from retrieval.verbalise import Span, path_text, verbalise


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([("capital", True)], "capital"),
        ([("capital", False)], "is capital of"),
        ([("borders", True), ("capital", True)], "capital of borders"),
        ([("maker", False), ("country", True)], "country of what it is maker of"),
        ([("region", True), ("region", False)], "is region of region"),
        ([("maker", False), ("rival", False)], "is rival of what it is maker of"),
    ],
)
def test_a_path_is_worded_from_its_far_end(steps: list[tuple[str, bool]], words: str) -> None:
    assert path_text(steps) == words


def test_every_span_keeps_its_fact_and_a_unit_is_said() -> None:
    facts = (
        EvidenceFact(Statement("c:it", "r:capital", "p:rome"), 1.0),
        EvidenceFact(Statement("c:it", "r:area", Literal("301336", unit="km²")), 0.5),
        EvidenceFact(Statement("c:fr", "r:borders", "c:it"), 0.5, forward=False),
    )
    labels = {"c:it": "Italy", "r:capital": "capital", "p:rome": "Rome", "r:area": "area", "c:fr": "France"}
    assert verbalise(Evidence(facts, labels=labels)) == [
        Span("Italy, capital: Rome", 0),
        Span("Italy, area: 301336 km²", 1),
        Span("France, r:borders: Italy", 2),
    ]
