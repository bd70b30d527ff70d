"""A user's own graph and photos, by the commands of examples/grocery.md: some of the photos, a short training."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

STORE = "sqlite:///grocery.db"


def kemm(folder: Path, *arguments: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "kemm", *arguments, "--json"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, shared_data: Path, root: Path) -> tuple[Path, dict[str, dict]]:
    """Run the commands; five train photos and two val photos a product."""
    folder, data = tmp_path_factory.mktemp("shop"), shared_data / "grocery"
    with (data / "images.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    kept, counts = [], {}
    for row in rows:
        key = row["entity"], row["split"]
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= {"train": 5, "val": 2, "iconic": 1}[row["split"]]:
            kept.append((row["path"], row["entity"], row["split"]))
    table = folder / "images.tsv"
    table.write_text("path\tentity\tsplit\n" + "".join("\t".join(row) + "\n" for row in kept))
    results = {"ingest": kemm(folder, "ingest", str(data / "products.ttl"), "--store", STORE, "--source", "catalogue")}
    results["media"] = kemm(folder, "media", "add", str(table), "--root", str(data), "--store", STORE)
    results["index"] = kemm(folder, "index", "--store", STORE, "--out", "grocery-index")
    small = ["train.steps=60", "data.views=0", "train.pairs=32", "train.questions=32", f"data.root={data}"]
    sets = [item for value in small for item in ("--set", value)]
    results["pretrain"] = kemm(folder, "pretrain", str(root / "configs" / "grocery.yaml"), *sets)
    return folder, results


def test_counts_are_those_of_the_catalogue(shop: tuple[Path, dict[str, dict]]) -> None:
    ingest, media = shop[1]["ingest"], shop[1]["media"]
    assert (ingest["triples"], ingest["rejected"]) == (1569, 0)  # 1,682 lines, 113 of them said twice
    assert media["entities"] == 81 and media["splits"]["iconic"] == 81


def test_val_photos_are_not_indexed(shop: tuple[Path, dict[str, dict]]) -> None:
    splits = shop[1]["media"]["splits"]
    assert shop[1]["index"]["pictures"] == splits["train"] + splits["iconic"] < shop[1]["media"]["pictures"]


def test_val_photos_are_answered_from_the_catalogue(shop: tuple[Path, dict[str, dict]], shared_data: Path) -> None:
    folder = shop[0]
    with (folder / "images.tsv").open() as file:
        val = [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == "val"][:80]
    from kg.store.graph import KnowledgeGraph

    questions = []
    with KnowledgeGraph.open(f"sqlite:///{folder / 'grocery.db'}", create=False) as graph:
        for row in val:
            tails = [s.tail for s in graph.triples(head=row["entity"], relation="http://example.org/grocery/kind")]
            answers = list(graph.labels(tails).values())
            questions.append(
                {
                    "id": row["path"],
                    "image": row["path"],
                    "question": "What kind of food is shown here?",
                    "answers": answers,
                }
            )
    (folder / "Q.jsonl").write_text("".join(json.dumps(q) + "\n" for q in questions))
    common = ("evaluate", "--run", "runs/grocery", "--questions", "Q.jsonl", "--images", str(shared_data / "grocery"))
    full, none = kemm(folder, *common, "--knowledge", "full"), kemm(folder, *common, "--knowledge", "none")
    assert full["n"] == len(questions) and set(full) >= {"accuracy", "ci95", "n", "by_type"}
    assert full["accuracy"] > none["accuracy"] + 0.15


def test_a_prediction_has_answer_confidence_and_citations(
    shop: tuple[Path, dict[str, dict]], shared_data: Path
) -> None:
    photo = shared_data / "grocery" / "iconic" / "Granny_Smith.jpg"
    found = kemm(
        shop[0], "predict", "--run", "runs/grocery", "--image", str(photo), "--question", "Where does this come from?"
    )
    assert set(found) >= {"answer", "confidence", "citations", "known"}
    assert found["known"] == (found["answer"] != "not known")
    for citation in found["citations"]:
        assert set(citation) >= {"head", "relation", "tail", "source", "effect"}
        assert citation["source"] == "catalogue"
