"""Training a retriever on a file of questions: what is learned, kept, used by commands, and refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from kemm.progress import silent
from kemm.retriever_training import measure, train
from kemm.settings import Settings
from kg import KnowledgeGraph
from kg.errors import FormatError, IndexStale, InputError
from retrieval.evidence import Query
from retrieval.learned_parts import PARTS
from retrieval.question_file import read_questions
from tests.kemm.tiny_world import LABELS, TOYS, maker_of, town_of, weight_of

TOWERS = {"text": "tiny-text", "vision": "tiny-colours"}


def lines() -> list[str]:
    """Every toy's maker's town, maker and weight; the middle ones name their topic and give labels as answers."""
    rows = []
    for toy in TOYS:
        name = LABELS[toy]
        rows.append(
            json.dumps({"question": f"From which place does {name} come?", "answers": [f"town:{town_of(toy)}"]})
        )
        rows.append(f"Who put {name} together?\t{maker_of(toy)}\t{toy}")
        rows.append(f"How heavy is {name}?\t{weight_of(toy)}")
    return rows


@pytest.fixture(scope="module")
def trained(tiny_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("learned")
    (folder / "questions").write_text("\n".join(lines()), encoding="utf-8")
    report = learn(tiny_settings, folder / "questions", folder / "retriever")
    return folder / "retriever", report


def learn(settings: Settings, questions: Path, out: Path, **more: Any) -> dict[str, Any]:
    store, index = settings.data.store, settings.data.index
    return train(questions, store, index, out, progress=silent, k=4, **{"rounds": 150, **TOWERS, **more})


def opened(settings: Settings, folder: Path, hops: int | None = None) -> Any:
    from kemm.indexing import open_retriever

    return open_retriever(settings.data.store, settings.data.index, **TOWERS, learned=folder, hops=hops)


def test_paths_are_learned_from_answers_and_measured_on_toys_unseen(trained: tuple[Path, dict[str, Any]]) -> None:
    _, report = trained
    assert report["parts"] == {"learn": 48, "choices": 12, "figures": 12}  # 24 toys: 16, 4 and 4, three questions each
    assert report["wordings"] == 3 and report["unlinked"] == 0
    assert report["figures"] == {"questions": 12, "linked": 1.0, "recall": 1.0, "hits@1": 1.0}
    assert report["untrained"]["hits@1"] < 1.0


def test_a_retriever_is_measured_on_another_file_with_and_without_what_it_learned(
    tiny_settings: Settings, trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    toy, other = TOYS[:2]
    asked = [
        f"Who put [{LABELS[toy]}] together?\t{maker_of(toy)}",  # its topic is marked
        f"From which place does {LABELS[other]} come?\ttown:{town_of(other)}",  # two steps
        f"Who put {LABELS[toy]} together?\tAtlantis\t{other}",  # a wrong answer, and about something else
    ]
    (tmp_path / "asked.tsv").write_text("\n".join(asked), encoding="utf-8")
    place = tmp_path / "asked.tsv", tiny_settings.data.store, tiny_settings.data.index
    found = measure(*place, trained[0], k=4, progress=silent, **TOWERS)
    assert (found["questions"], found["k"]) == (3, 4) and "facts" not in found  # the index has none
    assert (found["linked"], found["recall"], found["hits@1"]) == pytest.approx((1 / 2, 2 / 3, 2 / 3))
    assert measure(*place, k=1, progress=silent, **TOWERS)["recall"] < found["recall"]


def test_the_folder_is_used_by_a_retriever(tiny_settings: Settings, trained: tuple[Path, dict[str, Any]]) -> None:
    toy = TOYS[3]
    question = Query(f"From which place does {LABELS[toy]} come?")
    evidence = opened(tiny_settings, trained[0]).retrieve(question, k=2)
    assert [(fact.far, fact.hop) for fact in evidence.facts] == [
        (f"maker:{maker_of(toy)}", 1),
        (f"town:{town_of(toy)}", 2),
    ]
    near = opened(tiny_settings, trained[0], hops=1).retrieve(question, k=2)
    assert all(fact.hop == 1 for fact in near.facts)


def test_a_foreign_or_stale_folder_is_refused_with_the_remedy(
    tiny_settings: Settings, trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"no learned retriever at .*run `kemm retriever train` first"):
        opened(tiny_settings, tmp_path / "nowhere")
    manifest = json.loads((trained[0] / "manifest.json").read_text())
    with KnowledgeGraph.open(tiny_settings.data.store) as graph:
        assert (manifest["store"], manifest["kg_version"]) == (graph.uuid, graph.version)
    faults = {
        "learned from another store than .* with another --out": {"store": "another"},
        "learned at KG version 1000, the store is at": {"kg_version": 1000},
        "knows 1 relations that the store has no more, such as r:gone": {"relations": ["r:madeBy", "r:gone"]},
        "learned with another tower, not": {"embedder": "another tower"},
        "format 0, not 2": {"format": 0},
        "not the manifest of a learned retriever": {"hops": "three"},
    }
    for reason, change in faults.items():
        copy = tmp_path / "copy"
        copy.mkdir(exist_ok=True)
        (copy / "steps.safetensors").write_bytes((trained[0] / "steps.safetensors").read_bytes())
        (copy / "manifest.json").write_text(json.dumps({**manifest, **change}))
        with pytest.raises((InputError, IndexStale), match=reason):
            opened(tiny_settings, copy)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("What is it?", "2 or 3 columns are wanted .*, here are 1"),
        ("\tHolzmann", "the question is empty"),
        ("Who?\t | ", "the question has no answer"),
        ("Who?\tHolzmann\tNobody", "the topic is not clear: .*Nobody"),
        ('{"question": "Who?"', "not JSON"),
        ('{"question": "Who?", "answers": 3}', "'answers' must be a list of texts"),
        ('{"question": 3, "answers": []}', "'question' must be a text"),
        ("caf\udce9\tHolzmann", "not UTF-8 at byte 4"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_written(
    tiny_settings: Settings, tmp_path: Path, line: str, reason: str
) -> None:
    file = tmp_path / "questions.tsv"
    file.write_bytes(f"{lines()[1]}\n\n{line}\n".encode(errors="surrogateescape"))
    with pytest.raises(FormatError, match=f"questions.tsv:3: {reason}"):
        learn(tiny_settings, file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_brackets_around_a_name_mark_the_topic_and_are_taken_off(tiny_settings: Settings, tmp_path: Path) -> None:
    toy, name = next(iter(LABELS.items()))
    lines = [
        f"who made [{name}]\tHolzmann",
        "is [this] known\tno",
        "[one] or [two]\tone",
        f"a [x] of {name}\tb\t{name}",
    ]
    (tmp_path / "asked.tsv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    with KnowledgeGraph.open(tiny_settings.data.store) as graph:
        read = read_questions(tmp_path / "asked.tsv.gz", graph)
    assert [(one.text, one.topic) for one in read] == [
        (f"who made {name}", toy),
        ("is this known", ""),  # no entity of that name: nobody knows what it is about
        ("[one] or [two]", ""),
        (f"a [x] of {name}", toy),  # the topic is given
    ]


def test_questions_that_nothing_can_be_learned_from_are_refused(tiny_settings: Settings, tmp_path: Path) -> None:
    file, out = tmp_path / "questions.tsv", tmp_path / "out"
    with pytest.raises(InputError, match=r"questions\.tsv: No such file"):
        learn(tiny_settings, file, out)
    file.write_text("\n")
    with pytest.raises(InputError, match="no questions in it"):
        learn(tiny_settings, file, out)
    file.write_text("\n".join(line for line in lines() if LABELS[TOYS[0]] in line or LABELS[TOYS[1]] in line))
    with pytest.raises(InputError, match="are about 2 entities"):
        learn(tiny_settings, file, out)
    file.write_text("\n".join(f"Who likes {LABELS[toy]}?\tAtlantis" for toy in TOYS))
    with pytest.raises(InputError, match="no path of at most 3 steps leads"):
        learn(tiny_settings, file, out)
    assert not out.exists()
    out.mkdir()
    (out / "diary.txt").write_text("mine")
    with pytest.raises(InputError, match="something else is there already"):
        learn(tiny_settings, file, out)
    assert (out / "diary.txt").read_text() == "mine"


def test_the_command_learns_and_retrieve_takes_what_it_wrote(
    tiny_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import kemm.indexing
    from kemm.cli import main

    opened_with = kemm.indexing.open_retriever

    def with_tiny_towers(*arguments: Any, **more: Any) -> Any:
        return opened_with(*arguments[:2], **{**more, **TOWERS})

    monkeypatch.setattr(kemm.indexing, "open_retriever", with_tiny_towers)
    monkeypatch.chdir(tmp_path)
    Path("questions").write_text("\n".join(lines()), encoding="utf-8")
    place = ["--store", str(tiny_settings.data.store), "--index", str(tiny_settings.data.index)]
    assert main(["retriever", "train", "questions", *place, "--out", "learned", "--rounds", "60", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["figures"]["questions"] == 12 and printed["out"] == "learned"
    asked = ["retrieve", "-q", f"Who put {LABELS[TOYS[5]]} together?", *place, "--retriever", "learned", "--hops", "1"]
    assert main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["evidence"]
    assert found[0]["tail"] == f"maker:{maker_of(TOYS[5])}" and {fact["hop"] for fact in found} == {1}
    assert main(["retriever", "measure", "questions", *place, "--retriever", "learned", "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert (measured["questions"], measured["linked"]) == (72, 1.0)
    assert main([*asked[:3], *place, "--retriever", "nowhere"]) == 2
    assert "run `kemm retriever train` first" in capsys.readouterr().err


@pytest.fixture(scope="module")
def with_facts(tiny_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, dict[str, str]]:
    """The store, an index of it with facts by a tower that has layers, and that tower's names."""
    from kemm.encoders import ENCODERS
    from kemm.indexing import build

    towers = {"text": "tiny-bert", "vision": "tiny-colours"}
    out = tmp_path_factory.mktemp("facts") / "index"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENCODERS, "tiny-bert", "tests.kemm.tiny_bert:TinyBert")
        build(tiny_settings.data.store, out, facts=True, progress=silent, **towers)
    return str(tiny_settings.data.store), out, towers


def test_every_part_is_learned_kept_and_taken_by_a_retriever(
    with_facts: tuple[str, Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kemm.encoders import ENCODERS
    from kemm.indexing import open_retriever

    monkeypatch.setitem(ENCODERS, "tiny-bert", "tests.kemm.tiny_bert:TinyBert")
    store, index, towers = with_facts
    file, out = tmp_path / "questions.jsonl", tmp_path / "learned"
    asked = [
        {"question": wording.format(LABELS[toy]), "answers": [answer], "topic": toy}
        for toy in TOYS
        for wording, answer in (("Who put {} together?", maker_of(toy)), ("How heavy is {}?", weight_of(toy)))
    ]
    file.write_text("\n".join(map(json.dumps, asked)))
    parts = ["cross", "linker", "fusion", "facts", "paths"]
    report = train(file, store, index, out, parts, rounds=40, k=4, progress=silent, **towers)
    assert report["learned"] == ["paths", "linker", "facts", "fusion", "cross"]
    assert report["linker"] == {"mentions": 32, "candidates": 32}
    assert report["facts"]["figures"]["questions"] == 8  # 4 toys, each question answered by one fact
    assert sorted(path.name for path in out.iterdir()) == sorted([*PARTS.values(), "manifest.json"])
    retriever = open_retriever(store, index, **towers, learned=out)
    assert retriever.linker_head is not None and retriever.step_scorer is not None and retriever.facts is not None
    fusion = retriever.facts.of_index.fusion
    assert fusion is not None and set(fusion.weights) == {"lexical", "dense", "ranker"}
    found = retriever.retrieve(Query("Put together by Engel"), 3)
    assert found.facts
    nothing_named = retriever.retrieve(Query("who put it together"), 3)
    assert nothing_named.facts and all("cross" in fact.found_by for fact in nothing_named.facts)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (["pathes"], "there is no part 'pathes' of a retriever .there are: paths, linker, facts, fusion, cross"),
        ([], "no part of a retriever is named"),
        (["paths", "cross"], "built without facts, which 'cross' ranks: run `kemm index --facts`"),
    ],
)
def test_a_part_that_cannot_be_learned_is_refused_in_one_line(
    tiny_settings: Settings, tmp_path: Path, parts: list[str], reason: str
) -> None:
    file = tmp_path / "questions"
    file.write_text("\n".join(lines()), encoding="utf-8")
    with pytest.raises(InputError, match=reason):
        learn(tiny_settings, file, tmp_path / "out", parts=parts)
    assert not (tmp_path / "out").exists()
