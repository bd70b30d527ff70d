"""A load that becomes segments says just what the same load as rows does, before and after edits."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from kg import KnowledgeGraph, Literal, Statement
from kg.records import RDF_TYPE, RDFS, SKOS
from kg.store import bulk, segments

ENTITIES = [f"x:e{number}" for number in range(12)]
RELATIONS = ["x:r1", "x:r2", RDF_TYPE]
NAMES = ["Anna", "anna ", "Änne", "Bertha  von Suttner", "b" * 130, 'a "quoted" name', "\ttab", ""]


def random_facts(rng: random.Random, n: int) -> list[bulk.Fact]:
    facts: list[bulk.Fact] = []
    for _ in range(n):
        head = rng.choice(ENTITIES)
        kind = rng.random()
        if kind < 0.5:
            facts.append((head, rng.choice(RELATIONS), rng.choice(ENTITIES)))
        elif kind < 0.8:
            name = Literal(rng.choice(NAMES), language=rng.choice([None, "en", "de"]))
            facts.append((head, rng.choice([RDFS + "label", SKOS + "altLabel", SKOS + "definition"]), name))
        else:
            facts.append((head, "x:size", Literal(str(rng.randrange(9)), "x:number", unit=rng.choice([None, "km"]))))
    return facts


def everything(graph: KnowledgeGraph) -> dict[str, object]:
    """All that a store answers, without ids and in no order that depends on them."""

    def plain(statements: Iterator[Statement] | list[Statement]) -> list[str]:
        return sorted(map(repr, statements))

    edges = graph.edges()
    iris = graph.iris(range(1, 200))
    said: dict[str, object] = {
        "stats": graph.stats(),
        "relations": graph.relations(),
        "facts": graph.count_facts(),
        "edges": sorted((iris[h], iris[r], iris[t]) for h, r, t in zip(edges.heads, edges.relations, edges.tails)),
        "entities": sorted(e.iri for e in graph.entities()),
        "labels": {e.iri: len(e.label) for e in graph.entities(with_description=False)},
        "degrees": {iris[number]: n for number, n in graph.degrees().items()},
        "search": sorted(e.iri for e in graph.search("ann")),
        "inside": sorted(e.iri for e in graph.search("suttner")),
    }
    for version in range(graph.version + 1):
        said[f"at {version}"] = plain(graph.triples(version=version))
        said[f"since {version}"] = plain(graph.changes(version))
        for end in (ENTITIES[0], ENTITIES[5]):
            said[f"head {end} at {version}"] = plain(graph.triples(head=end, version=version))
            said[f"tail {end} at {version}"] = plain(graph.triples(tail=end, version=version))
        said[f"relation at {version}"] = plain(graph.triples(relation="x:r1", version=version))
        said[f"all but head {version}"] = plain(graph.triples(relation="x:r1", tail=ENTITIES[3], version=version))
        said[f"name {version}"] = plain(graph.triples(tail=Literal("Anna"), version=version))
    return said


@pytest.mark.parametrize("seed", range(3))
def test_segments_say_what_rows_say(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("STATEMENTS", 16), ("TERMS", 4), ("KEYS_IN_BLOCK", 8), ("NAMES_IN_BLOCK", 3)):
        monkeypatch.setattr(segments, name, size)
        monkeypatch.setattr(f"kg.store.writing.{name}", size)
    answers = []
    for small, portion in ((10**9, 10**9), (0, 40), (60, 100)):
        monkeypatch.setattr(bulk, "SMALL", small)
        monkeypatch.setattr(bulk, "PORTION", portion)
        monkeypatch.setattr("kg.store.batches.BATCH", 25)
        rng = random.Random(seed)
        with KnowledgeGraph.open("sqlite://") as graph:
            counts = [bulk.load(graph, random_facts(rng, 120), source="one")]
            for _ in range(5):
                said = rng.choice(sorted(graph.triples(), key=repr))
                graph.retract(*said.fact)
                if rng.random() < 0.5:
                    graph.add(*said.fact, source=rng.choice(["one", "other"]))
                graph.add(rng.choice(ENTITIES), RDFS + "label", Literal(rng.choice(NAMES)), source="by hand")
            counts.append(bulk.load(graph, random_facts(rng, 120), source="one"))
            counts.append(bulk.load(graph, random_facts(rng, 50), source="other"))
            graph.retract(*sorted(graph.triples(), key=repr)[7].fact)
            answers.append((counts, everything(graph)))
    for counts, said in answers[1:]:
        assert counts == answers[0][0]
        for name, answer in said.items():
            assert answer == answers[0][1][name], name


def test_terms_keep_their_ids_from_load_to_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "SMALL", 0)
    with KnowledgeGraph.open("sqlite://") as graph:
        bulk.load(graph, [("a", "r", "b"), ("b", "r", Literal("x"))], source="s")
        before = graph.ids(["a", "r", "b"])
        bulk.load(graph, [("c", "r", "a"), ("b", "r", Literal("y"))], source="s")
        graph.add("d", "r", "c", source="s")
        assert before == {"a": 1, "r": 3, "b": 2} or sorted(before.values()) == [1, 2, 3]
        assert graph.ids(["a", "r", "b"]) == before and len({*graph.ids("abcdr").values()}) == 5
        assert [s.fact for s in graph.triples(head="d")] == [("d", "r", "c")]


@pytest.mark.parametrize("small", [0, 1_000_000])
@pytest.mark.parametrize("limit", [1, 3, 256])
def test_neighbours_of_many_are_what_triples_says_of_each(
    monkeypatch: pytest.MonkeyPatch, small: int, limit: int
) -> None:
    monkeypatch.setattr(bulk, "SMALL", small)
    rng = np.random.default_rng(0)
    facts = [(f"e:{h}", f"r:{r}", f"e:{t}") for h, r, t in rng.integers(0, (30, 3, 30), (400, 3)).tolist()]
    with KnowledgeGraph.open("sqlite://") as graph:
        bulk.load(graph, facts[:300], source="one")
        bulk.load(graph, facts[200:], source="two")
        graph.add("e:1", "r:0", "e:1", source="me")
        for fact in facts[:20]:
            if next(graph.triples(*fact), None):
                graph.retract(*fact)
        wanted = [f"e:{n}" for n in (7, 1, 29, 3, 7)] + ["e:unheard"]
        found = graph.neighbours_of(wanted, limit=limit)
        assert list(found) == ["e:7", "e:1", "e:29", "e:3", "e:unheard"]
        assert found["e:unheard"] == []
        for version in (1, 2, 12, None):
            found = graph.neighbours_of(wanted, limit=limit, version=version)
            for name in ("e:7", "e:1", "e:29", "e:3"):
                out = [s for s in found[name] if s.head == name]
                into = [s for s in found[name] if s.head != name]
                assert sorted(map(str, out)) == sorted(map(str, graph.triples(head=name, version=version)))
                all_in = [str(s) for s in graph.triples(tail=name, version=version) if s.head != name]
                assert len(into) == min(limit, len(all_in)) and set(map(str, into)) <= set(all_in)
                assert graph.neighbours(name, limit=limit, version=version) == found[name]
