"""Which candidates become evidence: order, parents, k, and what a question names."""

from __future__ import annotations

import numpy as np
import pytest

from kg import KnowledgeGraph
from kg.records import Link
from retrieval.evidence import EvidenceFact
from retrieval.index.graph_walk import GraphWalk
from retrieval.selection import SECOND_HOP_ODDS, by_cosine, select
from tests.retrieval.small_world import HashedWords


def chosen(
    graph: KnowledgeGraph, text: HashedWords, question: str, k: int, *anchors: str, score: float = 1.0
) -> list[EvidenceFact]:
    walk = GraphWalk(graph, text.embed)
    walk.refresh()
    links = [Link(iri, score) for iri in anchors]
    near = [walk.candidates(iri) for iri in anchors]
    return select(walk, near, links, by_cosine(text.embed([question])[0], walk.paths), k, question)


def said(facts: list[EvidenceFact]) -> list[tuple[str, str, str]]:
    return [(f.statement.head, f.statement.relation, str(f.statement.tail)) for f in facts]


def test_the_path_that_sounds_like_the_question_comes_first(graph: KnowledgeGraph, text: HashedWords) -> None:
    facts = chosen(graph, text, "currency", 1, "c:it", score=0.5)
    assert said(facts) == [("c:it", "r:currency", "m:euro")]
    assert facts[0].score == pytest.approx(0.5, abs=1e-3)  # link 0.5 × cosine 1


def test_a_two_hop_fact_brings_its_parent_and_stands_after_it(graph: KnowledgeGraph, text: HashedWords) -> None:
    facts = chosen(graph, text, "capital of borders", 4, "c:it")
    assert said([f for f in facts if f.hop == 2]) == [("c:fr", "r:capital", "p:paris"), ("c:ch", "r:capital", "p:bern")]
    for child in (f for f in facts if f.hop == 2):
        parent = facts[child.parent]
        assert facts.index(parent) < facts.index(child)
        assert (parent.hop, parent.far) == (1, child.near)
        assert child.score == pytest.approx(1.0, abs=1e-3)  # who is sure of two hops is believed


def test_of_two_paths_that_sound_alike_the_nearer_is_meant(graph: KnowledgeGraph, text: HashedWords) -> None:
    walk = GraphWalk(graph, text.embed)
    walk.refresh()
    facts = select(walk, [walk.candidates("c:it")], [Link("c:it", 1.0)], lambda rows: np.full(len(rows), 0.5), 32)
    assert {f.hop: f.score for f in facts} == pytest.approx({1: 0.5, 2: SECOND_HOP_ODDS / (1 + SECOND_HOP_ODDS)})


@pytest.mark.parametrize("k", (0, 1, 2, 3, 4, 5, 9, 10, 11))
def test_never_more_than_k_and_no_child_without_its_parent(graph: KnowledgeGraph, text: HashedWords, k: int) -> None:
    facts = chosen(graph, text, "capital of borders", k, "c:it", "c:jp")
    assert len(facts) == min(k, 10)  # six facts touch Italy, three lie beyond, one is Japan's
    assert all(f.parent == -1 or facts[f.parent].far == f.near for f in facts)
    assert [f.hop for f in facts] == sorted(f.hop for f in facts)
    for hop in (1, 2):
        scores = [f.score for f in facts if f.hop == hop]
        assert scores == sorted(scores, reverse=True)


def test_a_fact_between_two_anchors_is_kept_whatever_the_words(graph: KnowledgeGraph, text: HashedWords) -> None:
    facts = chosen(graph, text, "population population population", 2, "c:it", "c:fr")
    assert ("c:it", "r:borders", "c:fr") in said(facts) and ("c:fr", "r:borders", "c:it") in said(facts)


def test_a_far_end_spelt_out_in_the_question_is_kept(graph: KnowledgeGraph, text: HashedWords) -> None:
    assert said(chosen(graph, text, "Is the population that of ROME?", 1, "c:it")) == [("c:it", "r:capital", "p:rome")]
    assert said(chosen(graph, text, "Does Romeo know the population?", 1, "c:it")) == [
        ("c:it", "r:population", "58940000")
    ]


def test_a_statement_reached_from_both_ends_is_kept_once(graph: KnowledgeGraph, text: HashedWords) -> None:
    said_once = said(chosen(graph, text, "borders", 32, "c:it", "c:fr", "c:ch"))
    assert len(said_once) == len(set(said_once)) == 9  # all but Japan's


def test_a_learned_judge_takes_the_place_of_the_cosine(graph: KnowledgeGraph, text: HashedWords) -> None:
    walk = GraphWalk(graph, text.embed, hops=1)
    walk.refresh()
    near, (row,) = walk.candidates("c:it"), walk.paths.rows(["population"])

    def likes_population(rows: np.ndarray) -> np.ndarray:
        return np.where(rows == row, 0.9, 0.1)

    facts = select(walk, [near], [Link("c:it", 1.0)], likes_population, 2)
    assert said(facts)[0] == ("c:it", "r:population", "58940000")
    assert [f.score for f in facts] == pytest.approx([0.9, 0.1])


def test_no_candidates_give_no_facts(graph: KnowledgeGraph, text: HashedWords) -> None:
    assert chosen(graph, text, "capital", 5, "c:never-heard-of") == []
    assert chosen(graph, text, "capital", 5) == []
