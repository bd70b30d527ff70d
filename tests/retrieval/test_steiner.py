"""The prize-collecting tree against every connected subset of small graphs, and on evidence."""

from __future__ import annotations

import random
from itertools import combinations
from typing import Any

import pytest

from kg.records import Link, Literal, Statement
from retrieval.evidence import Evidence, EvidenceFact
from retrieval.steiner import best_connected, connected

Ends = list[tuple[Any, Any]]


def is_connected(ends: Ends, rows: tuple[int, ...]) -> bool:
    reached, left = set(ends[rows[0]]), list(rows[1:])
    while left:
        joined = [row for row in left if set(ends[row]) & reached]
        if not joined:
            return False
        for row in joined:
            reached |= set(ends[row])
        left = [row for row in left if row not in joined]
    return True


def value(ends: Ends, prizes: list[float], of_entities: dict[Any, float], rows: tuple[int, ...], cost: float) -> float:
    entities = {end for row in rows for end in ends[row]}
    return sum(prizes[row] - cost for row in rows) + sum(of_entities.get(end, 0.0) for end in entities)


def drawn(seed: int) -> tuple[Ends, list[float], dict[int, float]]:
    rng = random.Random(seed)
    ends: Ends = [tuple(rng.sample(range(6), 2)) for _ in range(9)]
    prizes = [rng.choice([0.0, 0.0, 0.2, 1.5]) for _ in ends]
    return ends, prizes, {node: rng.choice([0.0, 0.0, 0.6, 2.5]) for node in range(6)}


def test_a_way_is_bought_where_what_it_joins_is_worth_more() -> None:
    ends = [("a", "b"), ("b", "c"), ("c", "d")]
    assert best_connected(ends, [0, 0, 0], {"a": 5, "c": 5}, k=3, cost=1) == [0, 1]
    assert best_connected(ends, [0, 0, 0], {"a": 5, "c": 1.5}, k=3, cost=1) == []
    assert best_connected(ends, [0, 0, 3], {"a": 5, "c": 1}, k=3, cost=1) == [0, 1, 2]


def test_at_most_k_facts_are_taken_the_best_first() -> None:
    star = [("hub", f"leaf {n}") for n in range(5)]
    assert best_connected(star, [0.9, 0.2, 0.8, 0.4, 0.7], {"hub": 1}, k=3) == [0, 2, 4]
    assert best_connected(star, [0.9, 0.2, 0.8, 0.4, 0.05], {}, k=9) == [0, 1, 2, 3]


def test_parallel_facts_and_loops_are_taken_on_their_own_merit() -> None:
    ends = [("a", "b"), ("a", "b"), ("b", "a"), ("a", "a")]
    assert best_connected(ends, [0.5, 0.4, 0.0, 0.3], {"a": 1}, k=4) == [0, 1, 3]


@pytest.mark.parametrize("seed", range(40))
def test_it_is_connected_and_within_twice_the_least_possible(seed: int) -> None:
    ends, prizes, of_entities = drawn(seed)
    rows = tuple(best_connected(ends, prizes, of_entities, k=9, cost=1.0))
    every = [set_ for size in range(1, 10) for set_ in combinations(range(9), size) if is_connected(ends, set_)]
    best = max(value(ends, prizes, of_entities, one, 1.0) for one in every)
    ours = value(ends, prizes, of_entities, rows, 1.0) if rows else 0.0
    assert not rows or is_connected(ends, rows)
    net = [max(0.0, prize - 1.0) for prize in prizes]
    everything = sum(of_entities.values()) + sum(net)  # value = everything − (what it costs + what it forgoes)
    single = max(of_entities.values())  # a tree of one entity and no fact, which is no answer but a valid tree
    assert everything - max(ours, single) <= 2 * (everything - max(best, single)) + 1e-9


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_with_few_facts_allowed_it_stays_near_the_best_of_all_subsets(k: int) -> None:
    """No guarantee holds here; over these 60 graphs it was the best in 95 %, and 0.98 of it or more in the mean."""
    share = []
    for seed in range(60):
        ends, prizes, of_entities = drawn(seed)
        rows = tuple(best_connected(ends, prizes, of_entities, k, cost=1.0))
        assert len(rows) <= k and (not rows or is_connected(ends, rows))
        every = [set_ for size in range(1, k + 1) for set_ in combinations(range(9), size) if is_connected(ends, set_)]
        best = max(value(ends, prizes, of_entities, one, 1.0) for one in every)
        best = max(best, *of_entities.values())  # one entity and no fact is a tree, too
        ours = value(ends, prizes, of_entities, rows, 1.0) if rows else max(of_entities.values())
        share.append(ours / best if best else 1.0)
    assert sum(share) / len(share) > 0.97


def fact(head: str, tail: str | Literal, score: float) -> EvidenceFact:
    return EvidenceFact(Statement(head, "r", tail), score)


def test_of_evidence_it_keeps_what_hangs_together_and_says_how() -> None:
    facts = (fact("it", "rome", 0.9), fact("rome", Literal("1"), 0.8), fact("jp", Literal("1"), 0.7))
    kept = connected(Evidence(facts, (Link("it", 1.0), Link("jp", 0.2))), 2)
    assert [(one.statement.head, one.hop, one.parent, one.anchor) for one in kept.facts] == [
        ("it", 1, -1, 0),
        ("rome", 2, 0, 0),
    ]
    backwards = connected(Evidence((fact("lake", "it", 0.9),), (Link("it", 1.0),)), 5)
    assert [(one.forward, one.far) for one in backwards.facts] == [(False, "lake")]


def test_nothing_makes_nothing() -> None:
    assert best_connected([], [], {}, 5) == [] and best_connected([("a", "b")], [1.0], {}, 0) == []
    assert connected(Evidence(), 5) == Evidence()
