from __future__ import annotations

import math

import numpy as np
import pytest

from kg import EntityLinker, KnowledgeGraph, Literal
from kg.coherence import Coherence, relatedness
from kg.records import RDFS


@pytest.fixture
def georgias() -> KnowledgeGraph:
    """Two Georgias: one beside Turkey, with more said of it; one where Atlanta is."""
    graph = KnowledgeGraph.open("sqlite://")
    names = {"x:country": "Georgia", "x:state": "Georgia", "x:tbilisi": "Tbilisi", "x:atlanta": "Atlanta"}
    with graph.edit(source="s") as edit:
        for iri, name in names.items():
            edit.add(iri, RDFS + "label", Literal(name))
        edit.add("x:atlanta", "x:capital_of", "x:state")
        edit.add("x:tbilisi", "x:capital_of", "x:country")
        for number in range(20):
            edit.add("x:country", "x:trades_with", f"x:{number}")
    return graph


def test_relatedness_by_hand() -> None:
    a, b = np.array([1, 2, 3, 4]), np.array([3, 4])
    assert relatedness(a, b, 16) == pytest.approx(1 - (math.log(4) - math.log(2)) / (math.log(16) - math.log(2)))
    assert relatedness(a, np.array([9]), 16) == 0.0 and relatedness(a, a, 16) == 1.0


def test_another_mention_tells_which_entity_of_a_name_is_meant(georgias: KnowledgeGraph) -> None:
    linker, coherence = EntityLinker(georgias), Coherence(georgias)
    text = "Is Atlanta in Georgia?"

    def meant(**options: object) -> str:
        return next(link.entity for link in linker.link(text, **options) if link.mention == "Georgia")  # type: ignore[arg-type]

    assert meant() == "x:country"  # more is said of it
    assert meant(coherence=coherence) == "x:state"
    before, after = linker.link(text), linker.link(text, coherence=coherence)
    assert sum(one.score for one in before) == pytest.approx(sum(one.score for one in after))  # NIL stays as likely


def test_a_single_mention_has_nothing_to_go_together_with(georgias: KnowledgeGraph) -> None:
    linker, coherence = EntityLinker(georgias), Coherence(georgias)
    assert linker.link("Georgia", coherence=coherence) == linker.link("Georgia")
    assert coherence([]) == [] and coherence([{"x:never-heard-of": 1.0}, {"x:state": 0.5, "x:country": 0.5}])
