"""The benchmarks, on a few hundred triples, vectors or words: they run, and their tables say what was left out."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from kg.errors import InputError
from kg.ingest.wordnet import data_folder

ROOT = Path(__file__).parent.parent


def run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_benchmark_of_the_graph_measures_each_contender_and_says_which_it_left_out(tmp_path: Path) -> None:
    try:
        data_folder()
    except InputError:
        pytest.skip("WordNet's data files are not installed")
    (tmp_path / "fb15k-237").mkdir()
    for split, start in (("train", 0), ("valid", 50), ("test", 60)):
        with gzip.open(tmp_path / "fb15k-237" / f"{split}.tsv.gz", "wt") as file:
            file.writelines(f"e{n % 20}\tr{n % 3}\te{n % 7}\n" for n in range(start, start + 50))
    arguments = ["--triples", "200", "--copies", "2", "--rounds", "1", "--data", str(tmp_path), "--json"]
    result = json.loads(run("-m", "benchmarks.kg", "--only", "load N*s", "--only", "load TSV", *arguments))
    assert result["about"]["fb15k"] == "FB15k-237 ×2"
    rows = {(row["measure"], row["contender"]): row for row in result["rows"]}
    ours = rows["load N-Triples", "kg"]
    assert ours["note"] == "200 triples" and ours["median"] > 0 and 20 < ours["peak_mb"][0] < 2_000
    assert rows["load N-Triples", "rdflib, into memory"]["values"]
    assert "no database" in rows["load N-Triples", "kg, into PostgreSQL"]["skipped"]
    assert rows["load TSV", "kg"]["median"] > 0

    figures = tmp_path / "figures.json"
    figures.write_text(json.dumps(result), encoding="utf-8")
    table = run("-m", "benchmarks.kg_scale", str(figures), "--triples", str(round(ours["median"] * 7200)))
    (load,) = [line for line in table.splitlines() if line.startswith("| load into SQLite")]
    assert load.endswith("| 2.0 h |")
    assert "not measured: load N-Triples, kg, into PostgreSQL" in table


def test_the_benchmark_of_retrieval_searches_the_same_index_with_each_contender() -> None:
    arguments = [
        "--only",
        "dense, exact, *",
        "--only",
        "dense, hnsw, single",
        "--size",
        "300",
        "--rounds",
        "1",
        "--json",
    ]
    rows = json.loads(run("-m", "benchmarks.retrieval", *arguments))["rows"]
    assert [(row["measure"], row["contender"]) for row in rows] == [
        (f"dense, {kind}", contender)
        for kind in ("exact, single", "exact, batch", "hnsw, single")
        for contender in ("retrieval", "FAISS")
    ]
    assert all(row["median"] > 0 and row["note"].startswith("recall@10 ") for row in rows)


def test_the_benchmark_of_writing_times_every_way_of_it() -> None:
    result = json.loads(run("-m", "benchmarks.generation", "--rounds", "1", "--tokens", "2", "--batch", "1", "--json"))
    assert [row["contender"] for row in result["rows"]][:3] == ["cached", "uncached", "GPT-2 of transformers"]
    assert all(row["median"] > 0 for row in result["rows"])


def test_the_table_of_retrieval_lists_every_measure_and_tells_what_it_lacks() -> None:
    listed = dict(line.split(": ", 1) for line in run("-m", "benchmarks.retrieval", "--list").splitlines())
    assert listed["retrieve, all of it (ms/question)"] == "retrieval; rdflib, networkx, FTS5"
    assert listed["FVQA, question → fact (% recall@1)"].startswith("learned ranker; ")
    assert "WordNet, definition → synset (% recall@1)" in listed
    rows = json.loads(run("-m", "benchmarks.retrieval", "--only", "retrieve*", "--json"))["rows"]
    assert {row["skipped"] for row in rows} == {"give --store and --index, those of the quick start"}


def test_the_benchmark_of_the_model_gives_every_contender_as_many_turns_as_there_are_rounds() -> None:
    small = ["--batch", "1", "--rounds", "2", "--threads", "1", "--json"]
    rows = json.loads(run("-m", "benchmarks.model", "--only", "with 64 facts, bfloat16", *small))["rows"]
    ways = ["kemm, pre-LN, no facts", "kemm, their tokens given", "kemm, subgraphs built and encoded"]
    assert [(row["contender"], len(row["values"])) for row in rows] == [(way, 2) for way in ways]
    assert all(min(row["values"] + row["peaks"]) > 0 and row["peak_mb"][0] > 100 for row in rows)


def test_a_measure_that_does_not_exist_and_a_python_that_does_not_run_are_named() -> None:
    for wrong, said in (
        (("--only", "x*"), "no measure is called ['x*']"),
        (("--peer-python", "/no"), "--peer-python /no"),
    ):
        command = [sys.executable, "-m", "benchmarks.generation", *wrong]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1
