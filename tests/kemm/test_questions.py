"""Generated questions: right answers, several wordings, and nothing held out that training could have seen."""

from __future__ import annotations

import re

import pytest

from kemm.data.questions import NOT_KNOWN, Holdout, Question, QuestionMaker, load_questions, save_questions
from kemm.data.wordings import share, split_wordings, wording_for
from kemm.settings import QuestionSettings, Wording
from kg.errors import FormatError, InputError
from kg.records import RDFS, Literal

K = "http://kemm.example/"
CAPITAL, BORDERS, AREA = K + "relation/capital", K + "relation/borders", K + "relation/area"


def country(number: int) -> str:
    return f"{K}country/c{number}"


def label(iri: str) -> str:
    return iri.rsplit("/", 1)[-1].upper() if "/country/" in iri or "/place/" in iri else iri.rsplit("/", 1)[-1]


FACTS = [
    *((country(n), CAPITAL, f"{K}place/p{n}") for n in range(60)),
    *((country(n), BORDERS, country(n + 1)) for n in range(0, 58, 2)),
    *((country(n), AREA, Literal(str(1000 + n))) for n in range(40)),
    *((country(n), RDFS + "label", Literal(f"C{n}")) for n in range(60)),
]


def make(seed: int = 0, **changes: object) -> list[Question]:
    pictures = {s: {country(n): [f"{s}/{n}.png"] for n in range(60)} for s in ("train", "dev", "test")}
    settings = QuestionSettings.model_validate({"min_facts": 4, "repeats": 3, **changes})
    return QuestionMaker(FACTS, label, pictures, settings, seed).make()


def test_no_training_question_rests_on_a_held_out_fact_or_entity() -> None:
    questions = make()
    holdout = Holdout(QuestionSettings(min_facts=4, repeats=3), 0)
    train = [q for q in questions if q.split == "train"]
    assert len(train) > 100
    for question in train:
        for head, relation, _ in question.supports:
            assert holdout.fact(head, relation) == "train"
            assert not holdout.entity(head)
        assert not question.held_out
        assert not question.image or question.image.startswith("train/")


def test_every_test_question_has_a_wording_that_training_never_uses() -> None:
    questions = make(repeats=8)
    test = {q for q in questions if q.split == "test" and q.type == "one-hop" and q.path == (CAPITAL,)}
    held_out = split_wordings(wording_for(CAPITAL, "capital", {}).ask, 0.25, seed=0)["test"]
    assert test
    shapes = [re.compile(re.escape(text).replace(r"\{x\}", ".+"), re.IGNORECASE) for text in held_out]
    train = [q for q in questions if q.split == "train" and q.path == (CAPITAL,)]
    for question in test:
        assert set(question.held_out) & {"facts", "entities"} and "wordings" in question.held_out
        assert any(shape.fullmatch(question.question) for shape in shapes)
    assert not any(shape.fullmatch(question.question) for question in train for shape in shapes)


def test_answers_are_those_of_the_graph() -> None:
    for question in make():
        numbers = "".join(c for c in question.head.rsplit("/", 1)[-1] if c.isdigit())
        if question.type == "one-hop" and question.path == (CAPITAL,) and question.head:
            assert question.answers == (f"P{numbers}",)
        if question.type == "two-hop" and question.path == (BORDERS, CAPITAL):
            assert question.answers == (f"P{int(numbers) + 1}",)
            assert question.supports[1] == (country(int(numbers) + 1), CAPITAL, f"P{int(numbers) + 1}")
        if question.type == "unknown":
            assert question.answers == (NOT_KNOWN,)
            assert (question.head, question.path[0]) not in {(h, r) for h, r, _ in FACTS}


def test_yes_is_true_and_no_is_false() -> None:
    stated = {(h, r, label(t)) for h, r, t in FACTS if isinstance(t, str)}
    questions = [q for q in make() if q.type == "yes-no"]
    assert {q.answers[0] for q in questions} == {"yes", "no"}
    for question in questions:
        true = {tail for h, r, tail in stated if (h, r) == (question.head, question.path[0])}
        named = any(tail in question.question.split() or f"{tail}?" in question.question for tail in true)
        assert named == (question.answers[0] == "yes")


def test_the_same_seed_gives_the_same_questions_and_another_seed_others() -> None:
    assert make() == make()
    assert make(seed=1) != make()
    assert share(0, "fact", "a", "b") == share(0, "fact", "a", "b") != share(1, "fact", "a", "b")


def test_every_relation_has_at_least_four_wordings_of_each_kind() -> None:
    for given in ({}, {"capital": Wording(ask=["Capital of {x}?"])}):
        wording = wording_for(CAPITAL, "capital", given)
        assert min(len(wording.ask), len(wording.of), len(wording.whether)) >= 4
        assert all("{r}" not in text for text in wording.ask + wording.of + wording.whether)
    assert wording_for(CAPITAL, "capital", {"capital": Wording(ask=["Capital of {x}?"])}).ask[0] == "Capital of {x}?"


def test_questions_survive_a_file(tmp_path) -> None:
    questions = make()
    save_questions(questions, tmp_path / "q.jsonl")
    assert load_questions(tmp_path / "q.jsonl") == questions


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "q.jsonl:2: not a question in JSON"),
        ('{"question": "a?"}', "q.jsonl:2: the field 'answers' is missing"),
        ('{"question": "  ", "answers": ["b"]}', "q.jsonl:2: the question is empty"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line: str, says: str) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "a?", "answers": ["b"]}\n' + line + "\n")
    with pytest.raises(FormatError, match=says):
        load_questions(tmp_path / "q.jsonl")


def test_an_absent_or_empty_file_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_questions(tmp_path / "none.jsonl")
    (tmp_path / "q.jsonl").write_text("\n")
    with pytest.raises(InputError, match="no questions in it"):
        load_questions(tmp_path / "q.jsonl")


def test_wordings_are_split_three_ways_and_few_of_them_two_ways() -> None:
    texts = [f"wording {number}" for number in range(12)]
    sides = split_wordings(texts, 0.25, seed=0)
    assert {side: len(chosen) for side, chosen in sides.items()} == {"train": 8, "dev": 1, "test": 3}
    assert sorted(sides["train"] + sides["dev"] + sides["test"]) == sorted(texts)
    few = split_wordings(texts[:4], 0.25, seed=0)
    assert len(few["test"]) == 1 and few["dev"] == few["train"] and len(few["train"]) == 3
    assert split_wordings(texts[:1], 0.25, seed=0) == {"train": texts[:1], "dev": texts[:1], "test": texts[:1]}
