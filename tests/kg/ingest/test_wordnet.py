from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from kg import EntityLinker, KnowledgeGraph, ingest
from kg.errors import FormatError, InputError
from kg.ingest.wordnet import ONTOLOGY, PARTS, SYNSET, Synset, data_folder, synsets, wordnet
from kg.records import RDF_TYPE, RDFS, Literal

try:
    data_folder()
except InputError as missing:
    pytest.skip(str(missing), allow_module_level=True)


@pytest.fixture(scope="module")
def every() -> list[Synset]:
    return [synset for part in PARTS for synset in synsets(part)]


def test_all_synsets_and_pointers_are_read(every: list[Synset]) -> None:
    assert len(every) == 117_659
    assert sum(len(synset.pointers) for synset in every) == 377_592
    iris = {synset.iri for synset in every}
    assert len(iris) == 117_659 and all(other in iris for synset in every for _, other in synset.pointers)
    assert Counter(synset.type for synset in every) == {"n": 82_115, "v": 13_767, "a": 7_463, "s": 10_693, "r": 3_621}


def test_a_synset_is_read_in_full(every: list[Synset]) -> None:
    dog = next(synset for synset in every if synset.iri == SYNSET + "02084071-n")
    assert dog.lemmas == ("dog", "domestic dog", "Canis familiaris")
    assert dog.gloss.startswith("a member of the genus Canis") and dog.gloss.endswith('"the dog barked all night"')
    assert ("hypernym", SYNSET + "02083346-n") in dog.pointers and (
        "part_meronym",
        SYNSET + "02158846-n",
    ) in dog.pointers


def test_an_adjective_s_marker_and_satellites_are_resolved(every: list[Synset]) -> None:
    adjectives = {synset.iri: synset for synset in every if synset.type in "as"}
    assert not any("(" in lemma for synset in adjectives.values() for lemma in synset.lemmas)
    satellite = next(synset for synset in adjectives.values() if synset.type == "s")
    assert any(name == "similar_to" and other in adjectives for name, other in satellite.pointers)


def test_a_limited_wordnet_is_the_top_and_points_to_itself_only() -> None:
    facts = list(wordnet(limit=50))
    heads = {head for head, relation, tail in facts if relation == RDF_TYPE}
    assert len(heads) == 50 and SYNSET + "00001740-n" in heads
    pointed = {tail for _, relation, tail in facts if relation.startswith(ONTOLOGY)}
    assert pointed <= heads and len(pointed) > 25
    assert (ONTOLOGY + "hypernym", RDFS + "label", Literal("hypernym", language="en")) in facts
    animals = list(wordnet(lexfiles={5}, limit=20))
    assert len({head for head, relation, _ in animals if relation == RDF_TYPE}) == 20


def test_a_damaged_data_file_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "data.noun").write_text("  1 licence\n00001740 03 n 01 entity 0 001 ? 00001930 n 0000 | x\n")
    with pytest.raises(FormatError, match=r"data\.noun:2: not a line of WordNet's database"):
        list(synsets("noun", tmp_path))


def test_two_hundred_thousand_names_are_linked(every: list[Synset]) -> None:
    rows = [(synset.iri, synset.lemmas[0], synset.lemmas[1:]) for synset in every]
    start = time.process_time()
    linker = EntityLinker(rows)
    assert time.process_time() - start < 8  # 3 s on a free core
    assert sum(len(aliases) + 1 for _, _, aliases in rows) == 206_978
    assert linker.link("A golden retriever?")[0].entity == SYNSET + "02099601-n"
    start = time.process_time()
    linker.link("the quick brown fox jumps over the lazy dog " * 20)
    assert time.process_time() - start < 0.5


def test_the_whole_of_wordnet_is_loaded_in_twenty_seconds(tmp_path: Path) -> None:
    with KnowledgeGraph.open(tmp_path / "wordnet.db") as graph:
        start = time.process_time()
        report = ingest.load("wordnet", into=graph, source="wordnet")
        assert time.process_time() - start < 20
        pointers = sum(n for iri, n in graph.relations().items() if iri.startswith(ONTOLOGY))
        assert pointers == 364_552  # of 377,592: lemmas of the same two synsets may point to each other several times
        assert report.triples == 806_875
        assert report.literals == 117_659 * 2 + 89_319 + 27  # labels, glosses; aliases; labels of relations
        start = time.process_time()
        assert graph.snapshot().num_edges == pointers + 117_659
        assert time.process_time() - start < 6
        cities = [s.head for s in graph.triples(relation=ONTOLOGY + "instance_hypernym")][:1_000]
        start = time.process_time()
        assert all(graph.neighbours(city) for city in cities)
        assert time.process_time() - start < 2  # 0.3 s on a free core
