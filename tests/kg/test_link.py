from __future__ import annotations

import pytest

from kg import EntityLinker, KnowledgeGraph, Literal
from kg.errors import InputError
from kg.records import RDF_TYPE, RDFS

NAMES = [
    ("x:Italy", "Italy", ["Italia"]),
    ("x:Rome", "Rome", ["capital of Italy"]),
    ("x:Turkey", "Turkey", []),
    ("x:turkey", "turkey", ["gobbler"]),
    ("x:capital", "capital", []),
    ("x:US", "United States", ["US"]),
    ("x:IT", "information technology", ["IT"]),
    ("x:it", "it", []),
    ("x:Georgia1", "Georgia", []),
    ("x:Georgia2", "Georgia", []),
    ("x:NewYork", "New York", []),
    ("x:York", "York", []),
]


@pytest.fixture(scope="module")
def linker() -> EntityLinker:
    return EntityLinker(NAMES)


def entities(links: list) -> list[str]:
    return [link.entity for link in links]


def test_a_link_says_where_its_mention_stands(linker: EntityLinker) -> None:
    text = "Is  ITALIA near Georgia?"
    for link in linker.link(text):
        assert text[link.start : link.end] == link.mention
    assert linker.link(text)[0].mention == "ITALIA"


def test_function_words_are_no_mentions_but_acronyms_are(linker: EntityLinker) -> None:
    assert linker.link("Is it so? Let us see it in a while.") == []
    assert entities(linker.link("Is it in the US?")) == ["x:US"]
    assert entities(linker.link("Who works in IT?")) == ["x:IT"]
    assert linker.link("IS IT US?") == []


def test_scores_of_one_mention_sum_to_at_most_one(linker: EntityLinker) -> None:
    links = linker.candidates("Georgia")
    assert entities(links) == ["x:Georgia1", "x:Georgia2"]
    assert links[0].score == pytest.approx(links[1].score) and 0.9 < sum(link.score for link in links) <= 1
    for mention in ("turkey", "Italia", "gobblers", "US"):
        assert 0 < sum(link.score for link in linker.candidates(mention)) <= 1
    assert linker.candidates("Atlantis") == [] and linker.candidates("") == []


def test_casing_tells_the_country_from_the_bird(linker: EntityLinker) -> None:
    assert linker.link("Do they eat turkey?")[0].entity == "x:turkey"
    assert linker.link("What do they eat in Turkey?")[0].entity == "x:Turkey"


def test_a_label_is_likelier_than_an_alias() -> None:
    linker = EntityLinker([("x:a", "Alba", []), ("x:b", "Scotland", ["Alba"])])
    first, second = linker.candidates("Alba")
    assert first.entity == "x:a" and first.score == pytest.approx(2 * second.score)


def test_telling_mentions_come_first_and_the_limit_counts_mentions(linker: EntityLinker) -> None:
    links = linker.link("Which capital is nearer to New York: Rome or one in Georgia?", per_mention=1)
    assert entities(links) == ["x:NewYork", "x:Rome", "x:Georgia1", "x:capital"]
    assert entities(linker.link("Which capital is nearer to New York?", limit=1)) == ["x:NewYork"]


def test_a_name_inside_a_description_is_meant_and_one_inside_a_name_is_not(linker: EntityLinker) -> None:
    assert entities(linker.link("What is the capital of Italy?"))[0] == "x:Italy"
    assert "x:Rome" in entities(linker.link("What is the capital of Italy?"))
    assert entities(linker.link("what is the capital of italy?"))[0] == "x:Italy"
    assert entities(linker.link("He lives in New York.")) == ["x:NewYork"]
    assert entities(linker.link("he lives in new york.")) == ["x:NewYork"]


def test_only_some_entities_or_types_can_be_asked_for(europe: KnowledgeGraph) -> None:
    europe.add("x:Rome", RDF_TYPE, "x:City", source="s")
    europe.add("x:Rome_NY", RDFS + "label", Literal("Rome"), source="s")
    linker = EntityLinker(europe)
    assert set(entities(linker.link("Rome"))) == {"x:Rome", "x:Rome_NY"}
    assert entities(linker.link("Rome", types={"x:City"})) == ["x:Rome"]
    assert entities(linker.link("Rome in Italy", among={"x:Italy"})) == ["x:Italy"]


def test_the_entity_of_which_more_is_said_is_likelier(europe: KnowledgeGraph) -> None:
    europe.add("x:Other", RDFS + "label", Literal("Italy"), source="s")
    links = EntityLinker(europe).candidates("Italy")
    assert entities(links) == ["x:Italy", "x:Other"] and links[0].score > links[1].score


def test_a_context_can_turn_the_choice(linker: EntityLinker) -> None:
    links = linker.link("Georgia", context=lambda iris, _: [iri == "x:Georgia2" for iri in iris])
    assert entities(links) == ["x:Georgia2", "x:Georgia1"] and links[0].score > 0.9 > 0.1 > links[1].score


def test_names_follow_the_store(europe: KnowledgeGraph) -> None:
    linker = EntityLinker(europe)
    assert linker.update(europe) is False
    europe.add("x:Paris", RDFS + "label", Literal("Paris"), source="s")
    europe.retract("x:Rome", "http://www.w3.org/2004/02/skos/core#altLabel")
    assert linker.link("Paris") == [] and linker.link("the Eternal City")
    assert linker.update(europe) is True
    assert entities(linker.link("Paris")) == ["x:Paris"] and linker.link("the Eternal City") == []
    assert entities(linker.link("Rome")) == ["x:Rome"] and linker.version == europe.version
    europe.retract("x:Paris", RDFS + "label")
    europe.add("x:Paris", RDFS + "label", Literal("Lutetia"), source="s")
    linker.update(europe)
    assert linker.link("Paris") == [] and entities(linker.link("Lutetia")) == ["x:Paris"]


def test_nothing_to_link_is_no_error(linker: EntityLinker) -> None:
    assert linker.link("") == [] and linker.link("???") == [] and EntityLinker([]).link("Italy") == []


def test_an_entity_is_found_by_its_label_in_any_language(europe: KnowledgeGraph) -> None:
    europe.add("x:Italy", RDFS + "label", Literal("Italien", language="de"), source="s")
    europe.add("x:Italy", RDFS + "label", Literal("イタリア", language="ja"), source="s")
    linker = EntityLinker(europe)
    assert entities(linker.link("Wo liegt Italien?")) == entities(linker.link("イタリアの首都は?")) == ["x:Italy"]


def test_numbers_letters_and_function_words_are_names_only_as_they_are_written() -> None:
    linker = EntityLinker([(name, name, []) for name in ("300", "M", "Her", "s", "film", "2-Headed Shark", "Shark")])
    assert set(entities(linker.link("who acted in 300 and in M"))) == {"300", "M"}
    assert entities(linker.link("who stars in Her")) == ["Her"] and linker.link("who saw her") == []
    assert linker.link("Italy's m and 3000") == [] and linker.link("Her house") == []
    assert entities(linker.link("what genre is 2-Headed Shark")) == ["2-Headed Shark"]


def test_what_is_asked_for_comes_after_what_is_asked_about() -> None:
    linker = EntityLinker([("x:film", "film", []), ("x:palestine", "palestine", [])])
    assert entities(linker.link("which films are about palestine"))[0] == "x:palestine"


def test_a_context_may_say_that_none_of_them_is_meant(linker: EntityLinker) -> None:
    sure = linker.link("Georgia", context=lambda iris, _: [1.0, 0.0, -5.0])
    unsure = linker.link("Georgia", context=lambda iris, _: [1.0, 0.0, 5.0])
    assert sum(link.score for link in sure) > 0.99 and sum(link.score for link in unsure) < 0.01


def test_a_long_text_is_linked_in_time_that_grows_with_its_length() -> None:
    linker = EntityLinker([("x:house", "in the house", []), ("x:rome", "Rome", []), ("x:her", "Her", [])])
    text = "Did Her cat sit in the house at Rome, "
    assert len(linker.link(text * 3_000)) == 3_000 * len(linker.link("and so: " + text))  # took a minute before


def test_only_names_in_the_languages_asked_for_are_known_and_those_in_none() -> None:
    label = RDFS + "label"
    with KnowledgeGraph.open("sqlite://") as graph:
        with graph.edit(source="atlas") as edit:
            edit.add("x:de", label, Literal("Germany", language="en-GB"))
            edit.add("x:de", label, Literal("Allemagne", language="fr"))
            edit.add("x:Katze", label, Literal("Katze", language="de"))
            edit.add("x:m", label, Literal("Mondo"))
            edit.add("x:de", "x:borders", "x:m")
            edit.add("x:de", "x:has", "x:Katze")
        text = "Allemagne, Germany, Mondo, Katze"
        everything = {"x:de", "x:Katze", "x:m"}
        assert set(entities(EntityLinker(graph).link(text))) == everything
        english = EntityLinker(graph, languages=["EN"])
        assert {link.mention for link in english.link(text)} == {"Germany", "Mondo"}
        assert {link.mention for link in EntityLinker(graph, ["fr", "de"]).link(text)} == {
            "Allemagne",
            "Mondo",
            "Katze",
        }
        graph.add("x:Katze", label, Literal("Cat", language="en"), source="user")
        assert english.update(graph)
        assert {link.mention for link in english.link("Katze, Cat, Germany")} == {"Cat", "Germany"}
        with pytest.raises(InputError, match="has a name in pt"):
            only_tagged = KnowledgeGraph.open("sqlite://")
            only_tagged.add("x:de", label, Literal("Germany", language="en"), source="atlas")
            EntityLinker(only_tagged, ["pt"])
