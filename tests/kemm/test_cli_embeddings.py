"""``kemm kg train``, ``rank`` and ``combine``: a run from a settings file, its figures, and every wrong key named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kemm.cli import main
from kemm.config import load
from kg.embeddings import combined_runs
from kg.embeddings.figures import figures
from kg.embeddings.ranking import rank
from kg.embeddings.settings import EmbeddingSettings
from kg.errors import ConfigError
from tests.kg.embeddings import tiny_bert

SETTINGS = """
title: A ring
data: {folder: FOLDER/data}
model: {name: complex, dimension: 8, reciprocal: true, initial: 0.1}
training:
  objective: {kind: 1-vs-all}
  epochs: 30
  batch: 8
  learning_rate: 0.1
evaluation: {every: 10}
run: FOLDER/run
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    near = [f"e{n}\tone\te{(n + 1) % 12}\n" for n in range(12)]
    far = [f"e{n}\ttwo\te{(n + 2) % 12}\n" for n in range(12)]
    for split, lines in {"train": near + far[:8], "valid": far[8:10], "test": far[10:]}.items():
        (tmp_path / "data" / f"{split}.tsv").write_text("".join(lines), encoding="utf-8")
    path = tmp_path / "ring.yaml"
    path.write_text(SETTINGS.replace("FOLDER", str(tmp_path)), encoding="utf-8")
    return path


def test_a_run_is_trained_and_its_test_split_ranked(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kg", "train", str(config), "--test", "--json"]) == 0
    printed = capsys.readouterr()
    trained = json.loads(printed.out)
    assert trained["epochs"] == 30 and trained["valid"]["count"] == 4 and trained["data"]["train"]["triples"] == 20
    assert "epoch 10: loss" in printed.err and trained["test"]["both"]["count"] == 4
    assert main(["kg", "rank", "--run", trained["run"], "--split", "test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["both"] == trained["test"]["both"]
    assert main(["kg", "rank", "--run", trained["run"], "--split", "exam"]) == 2
    assert "there is no split 'exam' (there are: train, valid, test)" in capsys.readouterr().err


def test_true_triples_are_told_from_false_ones(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kg", "train", str(config), "--set", "training.epochs=1", "--json"]) == 0
    run, data = json.loads(capsys.readouterr().out)["run"], config.parent / "data"
    assert main(["kg", "classify", "--run", run]) == 2
    assert f"{data} holds no valid_negatives.tsv" in capsys.readouterr().err
    for split in ("valid", "test"):
        (data / f"{split}_negatives.tsv").write_text("e0\ttwo\te5\ne1\tone\te9\n", encoding="utf-8")
    assert main(["kg", "classify", "--run", run, "--split", "test", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["true"], found["false"], list(found["by_relation"])) == (2, 2, ["one", "two"])
    assert main(["kg", "classify", "--run", run, "--split", "train"]) == 2
    assert "there are false triples for valid and test, not for 'train'" in capsys.readouterr().err


def test_a_limit_of_memory_trains_and_ranks_in_parts(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = ["--set", "training.memory=0.0008", "--json"]  # 800 bytes for twelve entities of 64, and Adagrad's sums
    assert main(["kg", "train", str(config), *parts]) == 2
    assert "needs 12 parts, which are trained by the objective negatives" in capsys.readouterr().err
    parts += ["--set", "training.objective={kind: negatives, count: 4}", "--set", "training.epochs=2"]
    assert main(["kg", "train", str(config), *parts, "--test"]) == 0
    printed = capsys.readouterr()
    trained = json.loads(printed.out)
    assert "12 parts of 1 entities" in printed.err
    assert main(["kg", "rank", "--run", trained["run"], "--split", "test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["both"] == trained["test"]["both"]


def test_every_wrong_key_is_named_with_its_line_and_the_nearest(config: Path) -> None:
    text = config.read_text(encoding="utf-8").replace("batch: 8", "bach: 8").replace("complex", "complx")
    config.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(config, EmbeddingSettings)
    says = str(caught.value)
    assert f"{config}:8: unknown key 'training.bach'; did you mean 'training.batch'?" in says or "'batch'" in says
    assert f"{config}:4:" in says and "'complex'" in says


def test_a_run_that_is_not_there_and_a_run_of_other_data_are_told(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["kg", "rank", "--run", str(config.parent)]) == 2
    assert "there is no run of `kemm kg train`" in capsys.readouterr().err
    assert main(["kg", "train", str(config), "--set", "training.epochs=1"]) == 0
    (config.parent / "data" / "train.tsv").write_text("a\tb\tc\n", encoding="utf-8")
    (config.parent / "data" / "valid.tsv").unlink()
    (config.parent / "data" / "test.tsv").unlink()
    assert main(["kg", "rank", "--run", str(config.parent / "run"), "--split", "train"]) == 2
    assert "the checkpoint is of another vocabulary" in capsys.readouterr().err
    (config.parent / "run" / "settings.json").write_text('{"training": {"rounds": 1}}', encoding="utf-8")
    assert main(["kg", "rank", "--run", str(config.parent / "run")]) == 2
    says = capsys.readouterr().err
    assert "settings.json: no settings of this version (" in says and says.count("\n") == 1


def test_every_shipped_settings_file_is_valid(root: Path) -> None:
    files = sorted((root / "configs" / "kg").glob("*.yaml"))
    assert files
    for file in files:
        settings = load(file, EmbeddingSettings).settings
        assert settings.story, f"{file} does not say what was published and measured"
        assert file.stem == Path(settings.run).name


def test_texts_are_trained_and_summed_with_a_structure_model(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_bert.write(tmp_path / "bert")
    lines = [f"e{n}\tw{n} w{n + 20}\n" for n in range(12)]
    (tmp_path / "data" / "entity2text.tsv").write_text("".join(lines), encoding="utf-8")
    assert main(["kg", "train", str(config), "--json"]) == 0
    texts = SETTINGS.replace("1-vs-all", "info-nce").replace("FOLDER/run", "FOLDER/texts")
    model = "model: {name: texts, encoder: FOLDER/bert, cache: FOLDER/cache, trained_layers: 1, hidden: 8}"
    texts = texts.replace("model: {name: complex, dimension: 8, reciprocal: true, initial: 0.1}", model)
    (tmp_path / "texts.yaml").write_text(texts.replace("FOLDER", str(tmp_path)), encoding="utf-8")
    assert main(["kg", "train", str(tmp_path / "texts.yaml"), "--set", "training.epochs=2", "--json"]) == 0
    capsys.readouterr()
    parts = [str(tmp_path / name) for name in ("run", "texts")]
    assert main(["kg", "combine", *parts, "--out", str(tmp_path / "both"), "--hops", "2", "--test", "--json"]) == 0
    combined = json.loads(capsys.readouterr().out)
    assert list(combined["weights"]) == parts and combined["valid"]["count"] == 4
    model, triples = combined_runs.load(tmp_path / "both")
    assert figures(rank(model, triples, "test"), triples)["both"] == combined["test"]["both"]
    assert main(["kg", "rank", "--run", str(tmp_path / "both"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["both"] == combined["valid"]
    assert main(["kg", "combine", *parts, "--out", str(tmp_path / "late"), "--shared", "--json"]) == 0
    assert not combined_runs.load(tmp_path / "late")[0].offsets.any() and model.offsets.any()
    capsys.readouterr()
    assert main(["kg", "combine", *parts, str(tmp_path), "--out", str(tmp_path / "three")]) == 2
    assert "there is no run of `kemm kg train`" in capsys.readouterr().err and not (tmp_path / "three").exists()


def test_a_model_and_an_objective_that_do_not_go_together_are_told(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["kg", "train", str(config), "--set", "training.objective.kind=info-nce"]) == 2
    assert "the model texts and the objective info-nce go together" in capsys.readouterr().err
