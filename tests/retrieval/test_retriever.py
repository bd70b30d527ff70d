"""From a question and a picture to evidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kg import KnowledgeGraph, Literal
from kg.errors import InputError
from kg.records import Link
from retrieval import EntityIndex, Evidence, Query, Retriever, build_index
from retrieval.anchors import TEMPERATURE, best_mentions, relation_words
from tests.retrieval.small_world import LABEL, NAMES, HashedWords, Thumbnail


@pytest.fixture
def retriever(pictured: KnowledgeGraph, text: HashedWords, images: Thumbnail, tmp_path: Path) -> Retriever:
    build_index(pictured, tmp_path / "index", text, images)
    return Retriever(pictured, EntityIndex.open(tmp_path / "index", pictured), text, images)


def said(evidence: Evidence) -> list[tuple[str, str, str]]:
    return [
        (evidence.label(f.statement.head), evidence.label(f.statement.relation), evidence.label(f.statement.tail))
        for f in evidence.facts
    ]


def test_a_question_brings_the_fact_that_answers_it_first(retriever: Retriever) -> None:
    evidence = retriever.retrieve(Query("Which capital has Italy?"))
    assert [link.entity for link in evidence.anchors] == ["c:it"]
    assert said(evidence)[0] == ("Italy", "capital", "Rome")
    assert evidence.facts[0].statement.source == "atlas" and evidence.kg_version == retriever.graph.version
    ends = {end for f in evidence.facts for end in f.statement.fact if isinstance(end, str)}
    assert ends <= set(evidence.labels)


def test_a_picture_links_by_its_nearest_neighbours(retriever: Retriever, tmp_path: Path) -> None:
    for image in (tmp_path / "it2.png", Image.open(tmp_path / "it2.png")):
        evidence = retriever.retrieve(Query("Which currency is used here?", image))
        assert evidence.anchors[0].entity == "c:it" and said(evidence)[0] == ("Italy", "currency", "euro")


def test_picture_links_are_a_softmax_over_entities(retriever: Retriever, tmp_path: Path) -> None:
    links = retriever.link_picture(tmp_path / "it2.png")
    lime, white = retriever.images.embed([tmp_path / "it2.png", tmp_path / "jp.png"])  # type: ignore[union-attr]
    japan = 1 / (1 + np.exp((1 - lime @ white) / TEMPERATURE))
    assert {link.entity: link.score for link in links} == pytest.approx({"c:it": 1 - japan, "c:jp": japan}, abs=1e-4)


def test_a_models_own_picture_linker_is_used_instead(pictured: KnowledgeGraph, retriever: Retriever) -> None:
    own = Retriever(pictured, retriever.index, retriever.text, link_image=lambda image, k: [Link("c:jp", 0.9)])
    assert said(own.retrieve(Query("capital?", object()))) == [("Japan", "capital", "Tokyo")]


def test_yes_or_no_questions_keep_the_fact_between_the_two(retriever: Retriever) -> None:
    evidence = retriever.retrieve(Query("Does Italy border France?"), k=2)
    assert {link.entity for link in evidence.anchors} == {"c:it", "c:fr"}
    assert set(said(evidence)) == {("Italy", "borders", "France"), ("France", "borders", "Italy")}


def test_an_edit_counts_in_the_next_question(retriever: Retriever) -> None:
    query = Query("What is the capital of Japan?")
    assert said(retriever.retrieve(query))[0] == ("Japan", "capital", "Tokyo")
    retriever.graph.retract("c:jp", "r:capital")
    retriever.graph.add("c:jp", "r:capital", "p:kyoto", source="user")
    evidence = retriever.retrieve(query)
    assert said(evidence)[0] == ("Japan", "capital", "p:kyoto") and evidence.facts[0].statement.source == "user"


def test_an_entity_named_since_is_linked(retriever: Retriever) -> None:
    retriever.retrieve(Query("What is the capital of Italy?"))
    retriever.graph.add("c:at", LABEL, Literal("Austria"), source="user")
    retriever.graph.add("c:at", "r:capital", "p:rome", source="user")
    assert said(retriever.retrieve(Query("What is the capital of Austria?")))[0] == ("Austria", "capital", "Rome")


def test_of_two_entities_of_one_name_the_one_with_such_facts_is_meant(retriever: Retriever) -> None:
    retriever.graph.add("w:paris", LABEL, Literal("Paris"), source="myths")
    retriever.graph.add("w:paris", "r:brother", "w:hector", source="myths")
    for question, meant in (("Who has the brother Paris?", "w:paris"), ("What is Paris the capital of?", "p:paris")):
        links = retriever.link_text(question)
        assert {link.entity for link in links} == {"p:paris", "w:paris"} and links[0].entity == meant


def test_when_nothing_is_named_the_searches_find_anchors_with_low_scores(retriever: Retriever) -> None:
    evidence = retriever.retrieve(Query("Which is a country?"))
    assert evidence.anchors and all(0 < link.score <= 0.25 for link in evidence.anchors)
    assert {link.entity for link in evidence.anchors} == {"c:it", "c:fr", "c:ch", "c:jp"}
    assert all(f.found_by == ("dense", "lexical", "graph") for f in evidence.facts)


@pytest.mark.parametrize("words", ["", "  \n"])
def test_an_empty_question_is_refused(retriever: Retriever, words: str) -> None:
    with pytest.raises(InputError, match="empty question"):
        retriever.retrieve(Query(words))


def test_a_picture_without_a_question_brings_the_nearest_facts(retriever: Retriever, tmp_path: Path) -> None:
    evidence = retriever.retrieve(Query(image=tmp_path / "jp.png"), k=1)
    assert said(evidence) == [("Japan", "capital", "Tokyo")]


def test_a_picture_that_nothing_can_look_at_is_refused(pictured: KnowledgeGraph, retriever: Retriever) -> None:
    blind = Retriever(pictured, retriever.index, retriever.text)
    with pytest.raises(InputError, match="without an image embedder"):
        blind.retrieve(Query("capital?", object()))


def test_an_anchor_without_facts_gives_evidence_without_facts(retriever: Retriever) -> None:
    retriever.graph.add("c:xx", LABEL, Literal("Nowhere"), source="user")
    evidence = retriever.retrieve(Query("What is the capital of Nowhere?"))
    assert evidence.facts == () and [link.entity for link in evidence.anchors] == ["c:xx"]
    assert evidence.label("c:xx") == "Nowhere"


def test_another_embedder_than_the_indexs_is_refused(pictured: KnowledgeGraph, retriever: Retriever) -> None:
    class Other(HashedWords):
        name = "other"

    with pytest.raises(InputError, match="built with hashed-words-512, not other"):
        Retriever(pictured, retriever.index, Other())


def mention(iri: str, words: str, start: int, score: float = 0.9) -> Link:
    return Link(iri, score, words, start, start + len(words))


def test_names_beat_common_words_and_those_beat_words_that_only_ask() -> None:
    asking = relation_words(["capital", "borders"])
    names = {**NAMES, "w:capital": "capital", "w:city": "city", "w:oat_milk": "oat milk"}

    def kept(*links: Link, has_picture: bool = False) -> list[str]:
        return [link.entity for link in best_mentions(links, lambda iri: names[iri], asking, has_picture, 4)]

    capital, city, italy = (
        mention("w:capital", "Capital", 0),
        mention("w:city", "city", 20),
        mention("c:it", "Italy", 11),
    )
    assert kept(capital, italy, city) == ["c:it"]
    assert kept(capital, city) == ["w:city"]
    assert kept(capital) == ["w:capital"]
    assert kept(capital, city, has_picture=True) == []
    assert kept(capital, mention("w:oat_milk", "oat milk", 30), has_picture=True) == ["w:oat_milk"]
    assert kept(italy, mention("w:city", "kind of", 30)) == ["c:it"]


def test_every_mention_gets_its_first_candidate_before_any_gets_its_second() -> None:
    links = [mention("c:it", "Italy", 0, 0.6), mention("p:rome", "Italy", 0, 0.4), mention("c:fr", "France", 10, 0.5)]
    kept = best_mentions(links, lambda iri: NAMES[iri], frozenset(), False, 2)
    assert [link.entity for link in kept] == ["c:it", "c:fr"]
