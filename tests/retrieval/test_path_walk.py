"""Following a question along the small world: which paths there are, where they lead, and what is kept of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kg import KnowledgeGraph, Literal
from kg.errors import InputError
from retrieval.evidence import Query
from retrieval.index.path_walk import PathWalk, Trail
from retrieval.packing import evidence_facts, pack
from retrieval.path_supervision import mean_scores, meant_paths, path_scores
from retrieval.retriever import Retriever
from retrieval.step_scorer import Reading, StepScorer
from tests.retrieval.small_world import LABEL, HashedWords


@pytest.fixture
def walk(graph: KnowledgeGraph) -> PathWalk:
    return PathWalk(graph)


def steps(walk: PathWalk, *names: str) -> list[tuple[int, bool]]:
    """Steps by name, backward ones with a ^ before it."""
    return [(walk.relations.index("r:" + name.lstrip("^")), not name.startswith("^")) for name in names]


def ends(walk: PathWalk, trail: Trail | None) -> set[str]:
    assert trail is not None
    last = trail.levels[-1]
    return {str(s.tail) for s in last.values} or set(walk.entities(last.nodes))


def trail(walk: PathWalk, anchor: str, *names: str, probability: float = 1.0) -> Trail:
    found = walk.follow(walk.number(anchor), steps(walk, *names))
    assert found is not None
    return Trail(found.anchor, found.levels, math.log(probability))


def test_a_path_is_followed_both_ways_and_never_back_to_its_anchor(walk: PathWalk) -> None:
    italy = walk.number("c:it")
    assert ends(walk, walk.follow(italy, steps(walk, "borders", "capital"))) == {"p:paris", "p:bern"}
    assert ends(walk, walk.follow(italy, steps(walk, "^borders", "currency"))) == {"m:euro"}
    assert ends(walk, walk.follow(italy, steps(walk, "currency", "^currency", "capital"))) == {"p:paris"}
    assert walk.follow(italy, steps(walk, "capital", "^capital")) is None  # only Italy has Rome as its capital


def test_a_value_is_the_last_step(walk: PathWalk) -> None:
    found = walk.follow(walk.number("c:fr"), steps(walk, "borders", "population"))
    assert ends(walk, found) == {"58940000"}
    assert found is not None and found.levels[-1].values[0].head == "c:it"
    assert not any(t.steps[:2] == found.steps and len(t.steps) > 2 for t in walk.all_trails(walk.number("c:fr")))


def test_all_paths_are_those_that_lead_somewhere(walk: PathWalk) -> None:
    walk.hops = 2
    found = {tuple(walk.steps[2 * r + (not f)] for r, f in t.steps) for t in walk.all_trails(walk.number("p:bern"))}
    assert found == {(("capital", False),), (("capital", False), ("borders", False))}  # of Switzerland, beside Italy


def test_an_edit_is_followed_at_once(graph: KnowledgeGraph, walk: PathWalk) -> None:
    graph.add("c:ch", "r:currency", "m:franc", source="user")
    graph.retract("c:it", "r:borders", "c:fr")
    assert walk.refresh() == 3
    italy = walk.number("c:it")
    assert ends(walk, walk.follow(italy, steps(walk, "borders", "currency"))) == {"m:franc"}
    assert walk.trails("c:never-heard-of", reading_of(walk)) == []


def reading_of(walk: PathWalk, *names: str, width: int = 8) -> Reading:
    """A reader that takes these steps in turn whatever it reads: state t is the t-th axis, and so is the t-th step."""
    number = len(walk.steps)
    wanted = [walk.steps.index((name.lstrip("^"), not name.startswith("^"))) for name in names] + [number]
    table = np.zeros((number + 1, width), dtype=np.float32)
    for axis, step in enumerate(wanted):
        table[step, axis] = 5.0
    go = np.zeros((width, 3 * width), dtype=np.float32)
    for axis in range(width - 1):
        go[axis + 1, axis] = 9.0  # h_t = e_t → h_{t+1} = e_{t+1}, by tanh
    say = np.zeros((width, 2 * width), dtype=np.float32)
    say[:, :width] = 9 * np.eye(width)
    start = np.eye(width, dtype=np.float32)[0]
    weights = {"attend": np.zeros((width, width), np.float32), "say": say, "go": go, "start": start}
    return Reading(weights, np.zeros((1, width), dtype=np.float32), table)


def test_the_beam_finds_the_path_that_is_read(walk: PathWalk) -> None:
    reading = reading_of(walk, "currency", "^currency", "capital")
    trails = walk.trails("c:it", reading)
    assert trails[0].steps == tuple(steps(walk, "currency", "^currency", "capital"))
    assert math.exp(trails[0].log_probability) > 0.7
    assert [t.log_probability for t in trails] == sorted((t.log_probability for t in trails), reverse=True)
    assert sum(math.exp(t.log_probability) for t in trails) <= 1


def test_a_chain_of_facts_leads_to_every_end_that_is_kept(walk: PathWalk) -> None:
    found = [[trail(walk, "c:it", "borders", "capital", probability=0.9), trail(walk, "c:it", "currency")]]
    facts = evidence_facts(walk, pack(found, [1.0], 8))
    said = [(f.statement.head, f.statement.relation, f.statement.tail, f.hop, f.parent) for f in facts]
    assert said == [
        ("c:it", "r:currency", "m:euro", 1, -1),
        ("c:it", "r:borders", "c:fr", 1, -1),
        ("c:it", "r:borders", "c:ch", 1, -1),
        ("c:fr", "r:capital", "p:paris", 2, 1),
        ("c:ch", "r:capital", "p:bern", 2, 2),
    ]
    assert [f.score for f in facts] == pytest.approx([1.0, 0.9, 0.9, 0.9, 0.9])
    assert facts[0].statement.source == "atlas"


@pytest.mark.parametrize("k", range(6))
def test_never_more_than_k_facts_and_no_chain_is_cut(walk: PathWalk, k: int) -> None:
    found = [[trail(walk, "c:it", "borders", "capital"), trail(walk, "c:it", "currency", probability=0.001)]]
    facts = evidence_facts(walk, pack(found, [1.0], k))
    assert len(facts) <= k and all(f.parent == -1 or facts[f.parent].far == f.near for f in facts)
    assert sum(f.hop == 2 for f in facts) == min(k // 2, 2)


def test_chains_share_the_entity_that_leads_to_most_ends(graph: KnowledgeGraph) -> None:
    with graph.edit(source="atlas") as edit:
        for far in ("a", "b", "c"):
            edit.add("c:ch", "r:makes", far)
        edit.add("c:fr", "r:makes", "a")
    walk = PathWalk(graph)
    facts = pack([[trail(walk, "c:it", "borders", "makes")]], [1.0], 4)
    assert len(facts) == 4 and {f.near for f in facts if f.hop == 2} == {walk.number("c:ch")}


def test_a_missing_fact_is_looked_for_where_a_neighbour_is_shared(graph: KnowledgeGraph, walk: PathWalk) -> None:
    graph.retract("c:fr", "r:currency")
    graph.add("c:ch", "r:currency", "m:franc", source="user")
    walk.refresh()
    best = walk.trails("c:fr", reading_of(walk, "currency"))[0]
    assert best.steps == tuple(steps(walk, "^borders", "borders", "currency"))  # Italy borders both
    assert ends(walk, best) == {"m:franc"}
    assert 0 < math.exp(best.log_probability) < 0.1


def test_a_path_is_learned_from_answers_alone(walk: PathWalk) -> None:
    scores = path_scores(walk, "c:it", ["p:paris", "p:bern"])
    assert scores[tuple(steps(walk, "borders", "capital"))] == 1.0
    assert scores[tuple(steps(walk, "^borders", "capital"))] == pytest.approx(2 / 3)  # Paris alone: 2 · 1 / (1 + 2)
    asked = [("next to this, what is the capital?", "c:it", ["p:paris", "p:bern"]), ("how many?", "c:it", ["58940000"])]
    meant = meant_paths(mean_scores(walk, [*asked, ("who knows?", "c:it", ["nobody"])]))
    assert meant == {
        asked[0][0]: tuple(steps(walk, "borders", "capital")),
        asked[1][0]: tuple(steps(walk, "population")),
    }


WORDINGS = {
    "chief city of this": ["capital"],
    "seat of government of this": ["capital"],
    "money of this": ["currency"],
    "coin of this": ["currency"],
    "chief city of a neighbour of this": ["borders", "capital"],
    "money of a neighbour of this": ["borders", "currency"],
    "coin of a land beside this": ["borders", "currency"],
    "land beside this": ["borders"],
    "chief city of whoever pays with the same coin as this": ["currency", "^currency", "capital"],
}


@pytest.fixture(scope="module")
def scorer() -> StepScorer:
    paths = [[(name.lstrip("^"), not name.startswith("^")) for name in path] for path in WORDINGS.values()]
    everything = [(name, ahead) for name in ("capital", "borders", "currency", "population") for ahead in (True, False)]
    return StepScorer.train(HashedWords(), list(WORDINGS), paths, everything, rounds=150, seed=1)


def test_a_trained_scorer_reads_an_unheard_wording(walk: PathWalk, scorer: StepScorer) -> None:
    unheard = {"the chief city": ["capital"], "seat of government of a neighbour": ["borders", "capital"]}
    for question, path in unheard.items():
        best = walk.trails("c:it", scorer.read(question, walk.steps))[0]
        assert best.steps == tuple(steps(walk, *path)), question


def test_a_question_over_three_steps_is_answered_by_the_retriever(graph: KnowledgeGraph, scorer: StepScorer) -> None:
    with pytest.raises(InputError, match="3 hops need a step scorer"):
        Retriever(graph, None, HashedWords(), hops=3)
    retriever = Retriever(graph, None, HashedWords(), hops=3, step_scorer=scorer)
    asked = Query("The chief city of whoever pays with the same coin as Italy?")
    evidence = retriever.retrieve(asked, k=3)
    assert [link.entity for link in evidence.anchors] == ["c:it"]
    assert [(f.statement.head, f.far, f.hop, f.parent) for f in evidence.facts] == [
        ("c:it", "m:euro", 1, -1),
        ("c:fr", "c:fr", 2, 0),
        ("c:fr", "p:paris", 3, 1),
    ]
    graph.retract("c:fr", "r:capital")
    graph.add("c:fr", "r:capital", "p:lyon", source="user")
    assert [f.far for f in retriever.retrieve(asked, k=3).facts] == ["m:euro", "c:fr", "p:lyon"]


def test_of_two_entities_of_one_name_that_is_meant_where_the_question_leads_on(
    graph: KnowledgeGraph, scorer: StepScorer
) -> None:
    with graph.edit(source="atlas") as edit:
        edit.add("x:film", LABEL, Literal("France"))
        for number in range(30):
            edit.add("x:film", "r:likes", f"x:{number}")
    retriever = Retriever(graph, None, HashedWords(), hops=3, step_scorer=scorer)
    assert retriever.link_text("Name the chief city of France")[0].entity == "c:fr"
