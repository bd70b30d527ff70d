"""Facts found by a question alone: fused or judged, each saying what found it, as the store is now."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kg import KnowledgeGraph, Literal
from kg.errors import InputError
from retrieval.catalogue import build_index, update_index
from retrieval.entity_index import EntityIndex
from retrieval.evidence import Query
from retrieval.fact_index import FactIndex, build_facts
from retrieval.fact_ranker import FactRanker
from retrieval.retriever import Retriever
from tests.retrieval.small_world import LABEL, HashedWords


@pytest.fixture
def index(graph: KnowledgeGraph, tmp_path: Path, text: HashedWords) -> FactIndex:
    assert build_facts(graph, tmp_path / "facts", text.embed, text.dimension) == 10
    return FactIndex(tmp_path / "facts", graph, graph.version, text)


def test_a_question_finds_the_fact_that_says_most_of_it(index: FactIndex) -> None:
    statement, hit = index.search("What is the capital of Japan?", 3)[0]
    assert statement.fact == ("c:jp", "r:capital", "p:tokyo") and statement.source == "atlas"
    assert hit.found_by == ("lexical", "dense")


def test_a_number_is_a_fact_like_others(index: FactIndex) -> None:
    assert index.search("population of Italy", 1)[0][0].tail == Literal("58940000")
    assert index.search("58940000", 1)[0][0].relation == "r:population"


def test_names_and_descriptions_are_no_facts(index: FactIndex) -> None:
    assert len(index.table) == 10
    assert all(LABEL not in fact for fact, _ in (index.table[row] for row in range(10)))


def test_endings_of_words_do_not_matter(index: FactIndex) -> None:
    (_, hit), *_ = index.search("bordering", 1)
    assert "lexical" in hit.found_by


def test_a_retracted_fact_never_comes_back_and_a_new_one_counts_at_once(
    index: FactIndex, graph: KnowledgeGraph
) -> None:
    graph.retract("c:jp", "r:capital", "p:tokyo")
    with graph.edit(source="me") as edit:
        edit.add("p:kyoto", LABEL, Literal("Kyoto"))
        edit.add("c:jp", "r:capital", "p:kyoto")
    found = [statement.fact for statement, _ in index.search("What is the capital of Japan?", 10)]
    assert found[0] == ("c:jp", "r:capital", "p:kyoto") and ("c:jp", "r:capital", "p:tokyo") not in found


def test_an_update_embeds_only_what_says_something_new(
    index: FactIndex, graph: KnowledgeGraph, tmp_path: Path, text: HashedWords
) -> None:
    graph.add("c:ch", "r:currency", "m:euro", source="me")
    before = text.num_embedded
    assert build_facts(graph, tmp_path / "new", text.embed, 512, tmp_path / "facts") == 11
    assert text.num_embedded == before + 1
    fresh = FactIndex(tmp_path / "new", graph, graph.version, text)
    assert fresh.search("currency of Switzerland", 1)[0][0].fact == ("c:ch", "r:currency", "m:euro")


def test_a_store_without_facts_has_an_index_that_finds_nothing(tmp_path: Path, text: HashedWords) -> None:
    with KnowledgeGraph.open("sqlite://") as empty:
        assert build_facts(empty, tmp_path / "facts", text.embed, text.dimension) == 0
        assert FactIndex(tmp_path / "facts", empty, empty.version, text).search("anything", 5) == []


@pytest.mark.parametrize("question", ["", " ", "?", "\x00\x01", "א" * 500, "word " * 20_000])
def test_any_text_is_an_answerable_question(index: FactIndex, question: str) -> None:
    assert len(index.search(question, 5)) <= 5


def test_a_ranker_learns_words_that_no_fact_has(index: FactIndex, text: HashedWords, tmp_path: Path) -> None:
    """ "Where is the seat of …" means the capital: no shared word says so, and currency facts share as many."""
    asked = [f"Where is the seat of power in {name}" for name in ("Italy", "France", "Switzerland")]
    search = index.of_index
    right = [row for row in range(10) if index.table[row][0][1] == "r:capital"][:3]
    judged = search.learn(asked, right, steps=60)
    (statement, hit), *_ = index.search("Where is the seat of power in Japan", 3)
    assert statement.fact == ("c:jp", "r:capital", "p:tokyo") and 0 <= hit.score <= 1
    judged.save(tmp_path / "ranker.safetensors")
    again = FactRanker.open(tmp_path / "ranker.safetensors", text)
    facts = [index.table[row][1] for row in range(3)]
    arguments = asked[0], facts, text.embed(facts), np.zeros(3, dtype=np.float32)
    assert np.array_equal(again.logits(*arguments), judged.logits(*arguments))


def test_a_file_that_is_no_ranker_is_refused_in_one_line(tmp_path: Path, text: HashedWords) -> None:
    (tmp_path / "ranker.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"not a fact ranker \(.+\); train it again$"):
        FactRanker.open(tmp_path / "ranker.safetensors", text)


def test_an_entity_index_has_its_facts_where_asked_for_and_keeps_them_up_to_date(
    graph: KnowledgeGraph, tmp_path: Path, text: HashedWords
) -> None:
    build_index(graph, tmp_path / "without", text)
    with pytest.raises(InputError, match="built without facts: run `kemm index --facts`"):
        EntityIndex.open(tmp_path / "without", graph).fact_index(graph, text)
    assert build_index(graph, tmp_path / "with", text, facts=text)["facts"] == 10
    graph.add("c:ch", "r:currency", "m:euro", source="me")
    before = text.num_embedded
    assert update_index(graph, tmp_path / "with", text)["facts"] == 11
    assert text.num_embedded == before + 3  # the new fact, and both of its ends, whose entries it touches
    found = EntityIndex.open(tmp_path / "with", graph).fact_index(graph, text).search("currency of Switzerland", 1)
    assert found[0][0].fact == ("c:ch", "r:currency", "m:euro")


def test_a_question_that_names_nothing_is_answered_from_the_facts_and_each_says_what_found_it(
    graph: KnowledgeGraph, tmp_path: Path, text: HashedWords
) -> None:
    build_index(graph, tmp_path / "index", text, facts=text)
    entities = EntityIndex.open(tmp_path / "index", graph)
    retriever = Retriever(graph, entities, text, facts=entities.fact_index(graph, text))
    evidence = retriever.retrieve(Query("Which one has 58940000 in population"), 3)
    assert evidence.facts[0].statement.fact == ("c:it", "r:population", Literal("58940000"))
    assert evidence.facts[0].score == pytest.approx(0.25) and evidence.label("c:it") == "Italy"
    assert all(evidence.anchors[fact.anchor].entity == fact.statement.head for fact in evidence.facts)
    assert all(fact.found_by and set(fact.found_by) <= {"lexical", "dense"} for fact in evidence.facts)
    named = retriever.retrieve(Query("What is the capital of Japan?"), 3)
    assert {fact.found_by for fact in named.facts} == {("mention", "graph")}
