"""Captions say what the graph says of a picture's entity, and never what is held out."""

from __future__ import annotations

from kemm.data.captions import FORMS, captions
from kemm.data.questions import Fact, Holdout
from kemm.settings import QuestionSettings
from kg.records import RDFS, Literal


def label(iri: str) -> str:
    return iri.rsplit(":", 1)[-1]


def holdout(facts: float = 0.0, entities: float = 0.0) -> Holdout:
    return Holdout(QuestionSettings(held_out_facts=facts, held_out_entities=entities), seed=0)


FACTS: list[Fact] = [
    ("c:Italy", "r:capital", "p:Rome"),
    ("c:Italy", "r:area", Literal("302073")),
    ("c:Italy", RDFS + "label", Literal("Italia")),
    ("c:France", "r:capital", "p:Paris"),
]


def test_known_kinds_and_definitions_follow_every_second_name() -> None:
    made = captions(FACTS, ["c:Spain"], label, holdout(), per_entity=2, known=lambda _: (["country"], "in Iberia."))
    assert made == {"c:Spain": ["a picture of Spain, country, in Iberia", "Spain"]}


def test_a_caption_names_its_entity_and_every_other_one_adds_a_fact() -> None:
    made = captions(FACTS, ["c:Italy"], label, holdout(), per_entity=8)["c:Italy"]
    assert len(made) == 8
    plain = [form.replace("{x}", "Italy") for form in FORMS]
    assert [made[n] for n in (0, 2, 4, 6)] == [plain[n % 4] for n in (0, 2, 4, 6)]
    said = {"capital Rome", "area 302073"}  # the label is no fact about it
    for number in (1, 3, 5, 7):
        name, *facts = made[number].split(", ")
        assert name == plain[number % 4] and facts and set(facts) <= said


def test_an_entity_without_facts_is_only_named() -> None:
    assert captions(FACTS, ["c:Spain"], label, holdout(), per_entity=2) == {"c:Spain": ["a picture of Spain", "Spain"]}


def test_held_out_facts_are_never_mentioned() -> None:
    facts: list[Fact] = [(f"c:{n}", "r:capital", f"p:{n}") for n in range(200)]
    rule = holdout(facts=0.3, entities=0.2)
    made = captions(facts, [head for head, _, _ in facts], label, rule, seed=1)
    mentioned = {entity for entity, texts in made.items() if any("capital" in text for text in texts)}
    allowed = {head for head, relation, _ in facts if rule.fact(head, relation) == "train"}
    assert 40 < len(allowed) < 160 and mentioned == allowed


def test_the_same_seed_says_the_same() -> None:
    once = captions(FACTS, ["c:Italy", "c:France"], label, holdout(), per_entity=20, seed=3)
    assert captions(FACTS, ["c:Italy", "c:France"], label, holdout(), per_entity=20, seed=3) == once
    assert captions(FACTS, ["c:Italy", "c:France"], label, holdout(), per_entity=20, seed=4) != once
