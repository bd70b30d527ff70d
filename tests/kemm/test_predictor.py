"""Asking a trained run of the tiny world: answers with grounds, that follow the store, or "not known"."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kemm.data.questions import NOT_KNOWN, Question
from kemm.predict import Prediction, Predictor
from kemm.predict.predictor import run_settings
from kemm.predict.reader import Calibration, Reader
from kg.errors import ConfigError, InputError, StoreMissing, UnreadableImage
from kg.records import RDFS, Literal, Picture
from retrieval.pictures.confidence import Confidence
from tests.kemm import tiny_batch, tiny_world
from tests.kemm.conftest import Trained
from tests.kemm.tiny_towers import paint
from tests.kemm.tiny_world import LABELS, MADE_BY, TOYS, WEIGHT, maker_of, weight_of


@pytest.fixture
def predictor(tiny_run: Trained, tmp_path: Path) -> Predictor:
    """The run over a store of the test's own, so that it can be edited."""
    shutil.copy(tiny_run.folder.parent / "toys.db", tmp_path / "toys.db")
    loaded = Predictor.load(tiny_run.folder, store=f"sqlite:///{tmp_path}/toys.db")
    loaded.reader.calibration = Calibration()  # withhold nothing for lack of confidence
    return loaded


def ask_weight(predictor: Predictor, toy: str) -> Prediction:
    return predictor.predict(question=f"What is the weight of {LABELS[toy]}?")


def test_facts_named_in_words_are_found_and_said(predictor: Predictor) -> None:
    answers = [ask_weight(predictor, toy).answer for toy in TOYS]
    assert sum(answer == weight_of(toy) for toy, answer in zip(TOYS, answers, strict=True)) >= 20  # of 24


def test_a_picture_never_trained_on_is_recognised(predictor: Predictor, tiny_run: Trained) -> None:
    files = [tiny_run.pictures / f"{toy[4:]}-4.png" for toy in TOYS]
    pictured = predictor.reader.pictured
    known = pictured.known() if pictured is not None else None
    assert pictured is not None and known is not None and sorted(known.names) == sorted(TOYS)
    found = pictured.candidates(np.stack([predictor.reader.patches(file).mean(0) for file in files]))
    assert sum(one.entities[0] == toy for one, toy in zip(found, TOYS, strict=True)) >= 16
    links = predictor.reader.link_image(files[0], 3)
    assert len(links) == 3 and links[0].score == pytest.approx(found[0].chances[0], abs=1e-4)
    assert links[0].score >= links[1].score >= links[2].score


def test_an_answer_cites_the_fact_it_rests_on_with_its_source_and_version(predictor: Predictor) -> None:
    toy = next(toy for toy in TOYS if ask_weight(predictor, toy).answer == weight_of(toy))
    prediction = ask_weight(predictor, toy)
    cited = prediction.citations[0]
    assert (cited.head, cited.relation, cited.tail) == (LABELS[toy], "weight", weight_of(toy))
    assert (cited.source, cited.version) == ("toy shop", 1)
    assert prediction.known and 0 < cited.effect <= prediction.confidence <= 1


def test_a_citations_effect_is_what_the_answer_loses_without_the_fact(predictor: Predictor) -> None:
    question = f"What is the weight of {LABELS[TOYS[4]]}?"
    evidence, table, reading = predictor.explain(None, question)
    cited = {(c.head, c.relation, c.tail): c.effect for c in predictor.predict(question=question).citations}
    assert cited
    effects = {}
    for row, fact in enumerate(evidence.facts):
        without = table.keep([other for other in range(len(table)) if other != row])
        again = predictor.reader.read([Question("", question, ())], [without], [None])[0]
        said = tuple(map(evidence.label, fact.statement.fact))
        effects[said] = reading.answers[reading.best] - again.answers.get(reading.best, 0.0)
    assert {said: effects[said] for said in cited} == pytest.approx(cited, abs=1e-3)
    uncited = [effect for said, effect in effects.items() if said not in cited]
    assert all(effect <= min(cited.values()) + 1e-3 for effect in uncited)


def test_a_corrected_fact_is_answered_at_once(predictor: Predictor) -> None:
    right = [toy for toy in TOYS if ask_weight(predictor, toy).answer == weight_of(toy)][:8]
    followed = 0
    for number, toy in enumerate(right):
        version = predictor.reader.world.graph.version
        after = predictor.edit(
            add=(toy, WEIGHT, Literal(str(900 + number))), retract=(toy, WEIGHT, Literal(weight_of(toy)))
        )
        assert after == version + 1  # both in one
        prediction = ask_weight(predictor, toy)
        followed += prediction.answer == str(900 + number)
        assert weight_of(toy) not in {cited.tail for cited in prediction.citations}
    assert followed >= 7  # of 8


def test_an_entity_without_facts_is_not_known(predictor: Predictor) -> None:
    predictor.edit(add=("toy:new", RDFS + "label", Literal("Zeppo")))
    prediction = predictor.predict(question="What is the weight of Zeppo?")
    assert prediction.trace["anchors"][0]["entity"] == "toy:new"
    assert (prediction.answer, prediction.known, prediction.citations) == (NOT_KNOWN, False, ())
    assert prediction.trace["why"].startswith("the store has no facts about")


def test_a_new_entity_is_answered_for_without_training(predictor: Predictor) -> None:
    predictor.edit(add=("toy:new", RDFS + "label", Literal("Zeppo")))
    predictor.edit(add=("toy:new", WEIGHT, Literal("4321")))
    assert predictor.predict(question="What is the weight of Zeppo?").answer == "4321"


def test_an_entity_pictured_later_can_be_linked(predictor: Predictor, tmp_path: Path) -> None:
    pictured = predictor.reader.pictured
    assert pictured is not None
    known = pictured.known()
    assert known is not None and "toy:new" not in known.names
    graph = predictor.reader.world.graph
    predictor.edit(add=("toy:new", RDFS + "label", Literal("Zeppo")))
    paint(tmp_path / "white.png", (250, 250, 250))
    graph.add_pictures([Picture("white.png", "toy:new", "train", str(tmp_path))], source="photos")
    known = pictured.known()
    assert known is not None and "toy:new" in known.names and len(known.vectors) == 25


def test_a_picture_of_nothing_in_the_graph_is_said_to_be_one(predictor: Predictor, tiny_run: Trained) -> None:
    picture = tiny_run.pictures / "3-4.png"
    assert predictor.predict(picture, "What is the weight of this?").known
    predictor.reader.calibration = Calibration(linking=Confidence(threshold=1.0))  # nothing is as sure as that
    assert predictor.reader.link_image(picture, 3) == []
    prediction = predictor.predict(picture, "What is the weight of this?")
    assert (prediction.answer, prediction.known, prediction.citations) == (NOT_KNOWN, False, ())
    assert prediction.trace["why"].startswith("the picture shows none of the store's entities")


def test_beside_a_strange_picture_what_the_question_names_is_answered(predictor: Predictor, tiny_run: Trained) -> None:
    predictor.reader.calibration = Calibration(linking=Confidence(threshold=1.0))
    toy = next(toy for toy in TOYS if ask_weight(predictor, toy).answer == weight_of(toy))
    prediction = predictor.predict(tiny_run.pictures / "3-4.png", f"What is the weight of {LABELS[toy]}?")
    assert prediction.trace["strange_picture"] and [a["entity"] for a in prediction.trace["anchors"]] == [toy]


def test_below_the_threshold_the_answer_is_withheld_with_its_confidence(predictor: Predictor) -> None:
    given = ask_weight(predictor, TOYS[4])
    predictor.reader.calibration = Calibration(threshold=1.0)
    withheld = ask_weight(predictor, TOYS[4])
    assert given.known and not withheld.known
    assert (withheld.answer, withheld.confidence, withheld.citations) == (NOT_KNOWN, given.confidence, ())
    assert (given.trace["why"], withheld.trace["why"]) == ("", "the confidence is below 1.0")


def test_the_same_question_gets_the_same_prediction_in_plain_json(predictor: Predictor, tiny_run: Trained) -> None:
    picture = tiny_run.pictures / "3-4.png"
    once, again = (predictor.predict(picture, "Who makes this?") for _ in range(2))
    assert once == again
    plain = json.loads(json.dumps(once.as_dict()))
    assert set(plain) == {"answer", "confidence", "known", "citations", "trace"}


def test_a_reading_is_one_distribution_and_equal_far_ends_add_up(predictor: Predictor, tiny_run: Trained) -> None:
    questions = [q for q in tiny_run.data.questions if not q.image][:12]
    tables = predictor.reader.tables([predictor.reader.retrieve(q.question) for q in questions])
    tables[0] = tables[0].with_answer(range(len(tables[0])), "Mars", 0)  # every fact leads to Mars
    readings = predictor.reader.read(questions, tables, [None] * len(questions))
    for table, reading in zip(tables, readings, strict=True):
        assert sum(reading.answers.values()) == pytest.approx(1.0, abs=1e-4)
        assert list(reading.answers.values()) == sorted(reading.answers.values(), reverse=True)
        assert len(reading.pointed) == len(table)
    assert len(tables[0]) > 1
    assert readings[0].answers["Mars"] == pytest.approx(readings[0].pointed.sum(), abs=1e-5)


def test_a_question_is_read_alike_alone_and_in_a_batch(predictor: Predictor, tiny_run: Trained) -> None:
    questions = [q for q in tiny_run.data.questions if not q.image][:9]
    tables = predictor.reader.tables([predictor.reader.retrieve(q.question) for q in questions])
    together = predictor.reader.read(questions, tables, [None] * 9)
    alone = predictor.reader.read(questions, tables, [None] * 9, batch=1)
    for one, other in zip(together, alone, strict=True):
        assert {a: pytest.approx(p, abs=1e-4) for a, p in one.answers.items()} == other.answers


# ── what a user can get wrong ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("question", ["", "   \n"])
def test_an_empty_question_is_refused(predictor: Predictor, question: str, tiny_run: Trained) -> None:
    with pytest.raises(InputError, match="empty question"):
        predictor.predict(tiny_run.pictures / "3-4.png", question)


def test_a_picture_that_is_none_is_refused(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(UnreadableImage, match=r"bad\.png"):
        predictor.predict(tmp_path / "bad.png", "Who makes this?")
    with pytest.raises(UnreadableImage, match=r"none\.png: no such picture"):
        predictor.predict(str(tmp_path / "none.png"), "Who makes this?")


def test_a_missing_or_unfinished_run_says_what_to_run(tiny_run: Trained, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run there; run `kemm pretrain CONFIG` first"):
        Predictor.load(tmp_path / "none")
    shutil.copytree(tiny_run.folder, tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    with pytest.raises(InputError, match="no finished run there"):
        Predictor.load(tmp_path / "run")


def test_a_run_whose_weights_are_damaged_names_the_file(tiny_run: Trained, tmp_path: Path) -> None:
    shutil.copytree(tiny_run.folder, tmp_path / "run")
    weights = tmp_path / "run" / "checkpoint" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"model\.safetensors: not a readable safetensors file"):
        Predictor.load(tmp_path / "run")


def test_a_missing_store_is_not_made(tiny_run: Trained, tmp_path: Path) -> None:
    with pytest.raises(StoreMissing):
        Predictor.load(tiny_run.folder, store=f"sqlite:///{tmp_path}/none.db")
    assert not (tmp_path / "none.db").exists()


def test_a_run_not_trained_to_answer_says_so(tiny_run: Trained) -> None:
    with pytest.raises(InputError, match="trained without the objective 'answering'"):
        Reader(tiny_batch.task(["itc"]), tiny_run.world, (), Calibration())


def test_a_finished_run_describes_itself(tiny_run: Trained) -> None:
    described = json.loads((tiny_run.folder / "run.json").read_text())
    assert described["vocabulary"][:3] == ["yes", "no", NOT_KNOWN]
    assert described["training"]["steps"] == 120 and described["kg_version"] == tiny_run.world.graph.version
    assert sum(described["questions"].values()) == len(tiny_run.data.questions)
    assert set(described["relations"]) == {MADE_BY, WEIGHT, tiny_world.BASED_IN}
    assert not list(tiny_run.folder.glob("*.partial"))


def test_the_makers_of_pictured_toys_are_mostly_right(predictor: Predictor, tiny_run: Trained) -> None:
    asked = {toy: predictor.predict(tiny_run.pictures / f"{toy[4:]}-4.png", "Name the maker of this.") for toy in TOYS}
    assert sum(asked[toy].answer == maker_of(toy) for toy in TOYS) >= 12  # of 24; a guess is right one time in six


def test_a_run_with_settings_of_another_version_is_refused_by_file_line_and_key(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("title: toys\nmodel:\n  witdh: 8\n")
    with pytest.raises(ConfigError, match=r"settings\.yaml:3: unknown key 'model\.witdh'; did you mean 'width'\?"):
        run_settings(tmp_path)
