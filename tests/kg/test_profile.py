from __future__ import annotations

import json

import numpy as np
import pytest

from kg import KnowledgeGraph, Literal
from kg.patterns import Pairs, Rule, compositions, implications, shapes
from kg.profile import Thresholds, profile
from tests.kg.conftest import LABEL

XSD = "http://www.w3.org/2001/XMLSchema#"


def arrays(edges: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return tuple(np.array(edges, dtype=np.int64).T)  # type: ignore[return-value]


#: 0 is symmetric on two of its three pairs, with a loop; 1 is 0's pairs turned round; 2 goes from all to entity 9.
DRAWN = [(0, 0, 1), (1, 0, 0), (2, 0, 3), (4, 0, 4), (3, 1, 2), (0, 1, 1)] + [(n, 2, 9) for n in range(6)]


def test_shapes_of_relations_by_hand() -> None:
    zero, one, two = shapes(*arrays(DRAWN), 10, 3)
    assert (zero.edges, zero.heads, zero.tails, zero.loops, zero.cardinality) == (4, 4, 4, 1, "1-1")
    assert zero.symmetric == pytest.approx(2 / 3) and one.symmetric == 0.0
    assert (two.tails_per_head, two.heads_per_tail, two.cardinality) == (1.0, 6.0, "n-1")
    (turned,) = shapes(*arrays([(tail, 0, head) for head, relation, tail in DRAWN if relation == 2]), 10, 1)
    assert turned.cardinality == "1-n"
    (only_loops,) = shapes(*arrays([(1, 0, 1)]), 10, 1)
    assert only_loops.symmetric is None


def test_inverse_and_duplicate_relations_by_hand() -> None:
    pairs = Pairs(*arrays(DRAWN), 10, 3)
    # all two pairs of 1 are turned round in 0, and two of 0's three in 1: (1, 0), (2, 3)
    assert implications(pairs, is_reversed=True) == [Rule((1,), 0, 2, 1.0), Rule((0,), 1, 3, 2 / 3)]
    assert implications(pairs, is_reversed=False) == [Rule((1,), 0, 2, 0.5), Rule((0,), 1, 3, 1 / 3)]
    assert implications(pairs, is_reversed=True, confidence=0.8, support=3) == []


def test_a_grandparent_is_a_parent_of_a_parent() -> None:
    parents = [(n, 0, n // 2 + 100 * (n < 100)) for n in range(64)] + [(n, 0, n // 2 + 100) for n in range(100, 140)]
    parent = {head: tail for head, _, tail in parents}
    grand = [(n, 1, parent[parent[n]]) for n in parent if parent[n] in parent]
    rules = compositions(Pairs(*arrays(parents + grand), 400, 2), confidence=0.9, support=5)
    assert [(rule.body, rule.head, rule.confidence) for rule in rules] == [((0, 0), 1, 1.0)]


@pytest.fixture
def flawed() -> KnowledgeGraph:
    """30 people with a birthplace and a birth year each, two of them with more; two called alike; two sources."""
    graph = KnowledgeGraph.open("sqlite://")
    with graph.edit(source="register") as edit:
        for number in range(30):
            person = f"x:p{number}"
            edit.add(person, "x:born_in", f"x:town{number % 5}")
            edit.add(person, "x:year", Literal(str(1900 + number), XSD + "integer"))
            edit.add(person, LABEL, Literal(f"Person {number}", language="en"))
        edit.add("x:p3", LABEL, Literal("Mensch 3", language="de"))
        edit.add("x:twin", LABEL, Literal("PERSON 7"))
        edit.add("x:twin", "x:born_in", "x:town2")
        edit.add("x:p1", "x:married", "x:p2")
        edit.add("x:p2", "x:married", "x:p1")
    with graph.edit(source="rumours") as edit:
        edit.add("x:p4", "x:born_in", "x:town0")
        edit.add("x:p5", "x:year", Literal("1800", XSD + "integer"))
        edit.add("x:p0", "x:born_in", "x:town0")  # the register says so too
    return graph


def test_every_section_of_a_small_graph_by_hand(flawed: KnowledgeGraph) -> None:
    found = profile(flawed, Thresholds(support=2))
    edges = 30 + 1 + 2 + 1  # births, the twin's, two marriages, a rumour
    assert found.counts == {
        "triples": edges + 1 + 30 + 30 + 1 + 1 + 1, "facts": edges + 63, "edges": edges, "literals": 63, "entities": 36,
        "relations": 4, "sources": 2, "pictures": 0,
    }  # fmt: skip
    # town0: persons 0, 5, …, 25 and the rumour; town2: 2, 7, …, 27 and the twin
    assert found.degrees["in"]["max"] == 7
    assert found.degrees["hubs"][0] == {"entity": "x:town0", "label": "x:town0", "out": 0, "in": 7}
    # towns 1 and 2 by the marriage, 0 and 4 by the rumour, 3
    assert found.components["count"] == 3 and found.components["isolated"] == 0
    rows = {row["relation"]: row for row in found.relations}
    assert rows["x:married"]["patterns"] == ["symmetric"] and rows["x:born_in"]["cardinality"] == "n-1"
    assert rows["x:year"]["literals"] == 31 and rows["x:year"]["cardinality"] == ""
    assert found.cardinalities == {"1-1": 1, "n-1": 1}
    kinds = {(row["datatype"], row["language"]): row["count"] for row in found.literals}
    assert kinds == {(XSD + "integer", ""): 31, ("text", "en"): 30, ("text", "de"): 1, ("text", ""): 1}
    assert found.missing["label"] == 5 and found.missing["examples"]["label"][0] == "x:town0"
    assert found.duplicates["pairs"] == 1 and found.duplicates["same_label"] == 2
    assert set(found.duplicates["examples"][0]["entities"]) == {"x:p7", "x:twin"}
    broken = {(row["head"], row["relation"]): row for row in found.contradictions["examples"]}
    assert broken.keys() == {("x:p4", "x:born_in"), ("x:p5", "x:year")}
    assert set(broken["x:p4", "x:born_in"]["tails"]) == {"x:town4", "x:town0"}
    assert broken["x:p5", "x:year"]["sources"] == ["register", "rumours"]
    sources = {row["source"]: row for row in found.sources}
    assert sources["rumours"]["triples"] == 3 and sources["rumours"]["only_here"] == 0
    assert sources["register"]["entities"] == 36 and sources["register"]["only_here"] == 36 - 4
    json.dumps(found.as_dict(), allow_nan=False)


def test_an_empty_store_has_a_profile() -> None:
    with KnowledgeGraph.open("sqlite://") as graph:
        found = profile(graph)
    assert found.counts["entities"] == 0 and found.relations == [] and found.components["count"] == 0
