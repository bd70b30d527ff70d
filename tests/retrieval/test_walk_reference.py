"""The walk over integers beside a plain one over statements: the same candidates, the same evidence, edit by edit."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from kg import KnowledgeGraph, Literal
from kg.mentions import STOP_WORDS
from kg.names import words_of
from kg.records import BOOKKEEPING_RELATIONS, RDF_TYPE, Link, Statement, Tail
from kg.store import bulk, surroundings
from retrieval import Query, Retriever
from retrieval.index.graph_walk import GraphWalk
from retrieval.selection import SECOND_HOP_ODDS
from retrieval.verbalise import path_text
from tests.retrieval.small_world import LABEL, HashedWords

#: A candidate: its statement, read forwards or not, the row of its parent, and its path.
Row = tuple[Statement, bool, int, tuple[tuple[str, bool], ...]]

ENTITIES = [f"http://x/e{n}" for n in range(14)]
RELATIONS = ["http://x/near", "http://x/partOf", "http://x/likes"]
INVERSE, BRIDGE, LIMIT = 3, 12, 60


@pytest.fixture(params=["rows", "segment", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KnowledgeGraph]:
    """An empty store, whose first load lies in rows or in a segment."""
    monkeypatch.setattr(bulk, "SMALL", 5_000 if request.param == "rows" else 0)
    address = f"sqlite:///{tmp_path}/store.db"
    if request.param == "postgresql":
        address = request.getfixturevalue("empty_postgres")
    with KnowledgeGraph.open(address) as opened:
        yield opened


class OrderedWords(HashedWords):
    """No two texts are equally like a third, whatever their words: nothing hangs on how equal sums are rounded."""

    def embed(self, items: Sequence[str]) -> np.ndarray:
        vectors = super().embed(items)
        for row, text in enumerate(items):
            vectors[row] += 0.02 * np.random.default_rng(zlib.crc32(text.encode())).random(self.dimension)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def around(graph: KnowledgeGraph, entity: str) -> tuple[list[tuple[Statement, bool]], bool]:
    """(fact, forward) of an entity, and whether it may be walked through."""
    ids = {term: number for number, term in graph.terms(range(-99, 400)).items()}
    sources = graph.sources()
    facts = [s for s in graph.triples(head=entity) if s.relation not in BOOKKEEPING_RELATIONS]
    facts.sort(key=lambda s: (s.added, ids[s.relation], ids[s.tail], sources.index(s.source)))
    into = [s for s in graph.triples(tail=entity) if s.relation not in BOOKKEEPING_RELATIONS and s.head != entity]
    into.sort(key=lambda s: (s.added, ids[s.head], ids[s.relation], sources.index(s.source)))
    kept, number = [(s, True) for s in facts], Counter[str]()
    for statement in into:
        number[statement.relation] += 1
        if number[statement.relation] <= INVERSE:
            kept.append((statement, False))
    return kept, len(facts) + len(into) <= BRIDGE


def far(statement: Statement, forward: bool) -> Tail:
    return statement.tail if forward else statement.head


def walked(graph: KnowledgeGraph, anchor: str) -> list[Row]:
    first = around(graph, anchor)[0]
    rows: list[Row] = [(s, forward, -1, ((s.relation, forward),)) for s, forward in first]
    for place, (statement, forward) in enumerate(first):
        bridge = far(statement, forward)
        if isinstance(bridge, str) and bridge != anchor:
            facts, may_pass = around(graph, bridge)
            for second, onward in facts if may_pass else ():
                if far(second, onward) != anchor:
                    rows.append((second, onward, place, (*rows[place][3], (second.relation, onward))))
    return rows[:LIMIT]


def evidence(graph: KnowledgeGraph, anchors: Sequence[Link], question: str, k: int, text: HashedWords) -> list[tuple]:
    """(statement, score, forward, hop, anchor), as `Retriever.gather` keeps them."""
    rows = [(number, *row) for number, link in enumerate(anchors) for row in walked(graph, link.entity)]
    starts = [sum(row[0] < number for row in rows) for number in range(len(anchors))]
    names = {name for row in rows for name in (row[1].head, row[1].relation, row[1].tail) if isinstance(name, str)}
    labels = graph.labels(names)
    asked = text.embed([question])[0]
    scores, hops = [], [len(path) for *_, path in rows]
    for number, _, _, _, path in rows:
        cosine = max(0.0, float(text.embed([path_text([(labels[r], way) for r, way in path])])[0] @ asked))
        odds = (SECOND_HOP_ODDS if len(path) == 2 else 1) * cosine / max(1 - cosine, 1e-9)
        scores.append(anchors[number].score * odds / (1 + odds))
    said = words_of(question).split()
    runs = [" ".join(said[i:j]) for i in range(len(said)) for j in range(i + 1, i + 9)]
    runs = [run for run in dict.fromkeys(runs) if len(run) > 1 and run not in STOP_WORDS]
    others = [link.entity for link in anchors]
    named: dict[int, int] = {}  # row → place of its far end: other anchors before what the question spells out
    for row, (number, statement, forward, _, _) in enumerate(rows):
        end = far(statement, forward)
        spelt = words_of(labels[end] if isinstance(end, str) else end.value)
        if end in others and end != anchors[number].entity:
            named[row] = others.index(str(end))
        elif spelt in runs:
            named[row] = len(others) + runs.index(spelt)
    exact = [-round(score, 6) for score in scores]
    wanted = sorted(named, key=lambda i: (hops[i], exact[i], rows[i][0], named[i], i))
    near_first = [i for i in wanted if hops[i] == 1] + [i for i in wanted if hops[i] == 2][: max(1, k // 4)]
    kept: dict[int, None] = {}
    seen: set[tuple] = set()
    for i in (*near_first, *sorted(range(len(rows)), key=lambda i: exact[i])):
        number, statement, _, parent, _ = rows[i]
        above = starts[number] + parent
        if len(kept) >= k or i in kept or statement.fact in seen:
            continue
        if parent >= 0 and above not in kept:
            if len(kept) + 2 > k:
                continue
            kept[above] = None
            seen.add(rows[above][1].fact)
        kept[i] = None
        seen.add(statement.fact)
    order = sorted(kept, key=lambda i: (hops[i], exact[i], i))
    return [(rows[i][1], pytest.approx(scores[i], abs=1e-4), rows[i][2], hops[i], rows[i][0]) for i in order]


def drawn(draw: random.Random) -> tuple[str, str, Tail]:
    """A fact: mostly an edge, often to the hub, e0, or to the entity itself; or a value."""
    relation = draw.choice(RELATIONS)
    if draw.random() < 0.2:
        return draw.choice(ENTITIES), relation + "Value", Literal(str(draw.randrange(10, 15)))
    head, tail = draw.choice(ENTITIES), draw.choice([ENTITIES[0], *ENTITIES])
    return head, relation, tail


def edit(graph: KnowledgeGraph, draw: random.Random) -> None:
    """Add a few facts, by two sources, some of new entities; retract some of what is there."""
    stated = [s for s in graph.triples() if s.relation not in BOOKKEEPING_RELATIONS]
    with graph.edit(source=draw.choice(["atlas", "user"])) as made:
        for _ in range(6):
            made.add(*drawn(draw))
        made.add(f"http://x/new{draw.randrange(99)}", draw.choice(RELATIONS), draw.choice(ENTITIES))
        made.add(draw.choice(ENTITIES), f"http://x/late{draw.randrange(2)}", draw.choice(ENTITIES))
    for statement in draw.sample(stated, 4):
        if any(s.fact == statement.fact for s in graph.triples(*statement.fact)):
            graph.retract(*statement.fact)


def check(graph: KnowledgeGraph, walk: GraphWalk, retriever: Retriever, draw: random.Random) -> None:
    walk.refresh()
    for anchor in ENTITIES:
        near = walk.candidates(anchor)
        statements = walk.statements(near, np.arange(len(near)))
        found = list(zip(statements, near.forward.tolist(), near.parent.tolist(), near.hop.tolist(), strict=True))
        assert found == [(*row[:3], len(row[3])) for row in walked(graph, anchor)]
    for k in (1, 5, 20):
        anchors = [Link(iri, draw.choice([0.5, 0.9])) for iri in draw.sample(ENTITIES, 2)]
        question = f"near likes of thing {draw.randrange(9)}, {draw.randrange(10, 15)}?"
        found = retriever.gather(anchors, question, k, question)
        facts = [(f.statement, f.score, f.forward, f.hop, f.anchor) for f in found.facts]
        assert facts == evidence(graph, anchors, question, k, retriever.text)  # type: ignore[arg-type]
        assert all(f.parent < 0 or found.facts[f.parent].far == f.near for f in found.facts)


@pytest.mark.parametrize("seed", range(3))
def test_integers_find_what_statements_say_after_every_edit(
    store: KnowledgeGraph, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, text = random.Random(seed), OrderedWords()
    facts: list[tuple[str, str, Tail]] = [drawn(draw) for _ in range(90)]
    facts += [(iri, LABEL, Literal(f"thing {number}")) for number, iri in enumerate(ENTITIES)]
    facts += [(iri, RDF_TYPE, "http://x/Thing") for iri in ENTITIES]
    bulk.load(store, facts, source="file")
    limits = {"inverse_limit": INVERSE, "bridge_limit": BRIDGE, "limit": LIMIT}
    walk, retriever = GraphWalk(store, text.embed, **limits), Retriever(store, None, text)
    retriever.walk = GraphWalk(store, text.embed, **limits)
    for turn in range(4):
        if turn == 3:  # as if this edit touched too much: all rows are read again
            monkeypatch.setattr(surroundings, "_LEAST", 0)
        check(store, walk, retriever, draw)
        edit(store, draw)
    store.undo()
    check(store, walk, retriever, draw)


def test_a_hub_s_row_has_the_first_facts_of_each_relation(text: HashedWords) -> None:
    with KnowledgeGraph.open("sqlite://") as graph:
        with graph.edit(source="atlas") as made:
            for number in range(300):
                made.add(f"http://x/{number}", RELATIONS[number % 2], "http://x/hub")
        walk = GraphWalk(graph, text.embed)
        walk.refresh()
        near = walk.candidates("http://x/hub")
        heads = [s.head for s in walk.statements(near, np.arange(len(near)))]
        assert sorted(heads) == sorted(f"http://x/{number}" for number in range(64))
        assert not walk.candidates("http://x/299").parent.max() >= 0  # and no second step is taken from it


def test_a_question_reads_nothing_of_the_store_but_its_version(
    store: KnowledgeGraph, text: HashedWords, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.edit(source="atlas") as made:
        for iri, label in (("c:it", "Italy"), ("p:rome", "Rome"), ("c:fr", "France")):
            made.add(iri, LABEL, Literal(label))
        made.add("c:it", "r:capital", "p:rome")
        made.add("c:it", "r:borders", "c:fr")
    retriever = Retriever(store, None, text)
    retriever.retrieve(Query("Which land borders France?"))
    asked: list[str] = []

    def counted(name: str, real: Callable[..., object], *given: str) -> object:
        asked.append(name)
        return real(*given)

    for name in ("look", "glance", "read"):
        monkeypatch.setattr(store.database, name, partial(counted, name, getattr(store.database, name)))
    facts = retriever.retrieve(Query("What is the capital of Italy?")).facts
    assert [f.statement.tail for f in facts] == ["p:rome", "c:fr"]
    assert asked == (["look"] if store.database.is_sqlite else ["look", "read"])
