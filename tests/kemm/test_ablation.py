"""Ablation: which variants there are, that finished ones stay, and the table by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kemm.evaluate.ablation import run, variants
from kemm.evaluate.ablation_table import summarise, table
from kemm.progress import silent
from kemm.settings import Settings
from kg.errors import InputError

NEEDS = {
    "itc": ("vision", "language"),
    "itm": ("vision", "language"),
    "mim": ("vision",),
    "entity_image": ("pictured entities",),
    "link_prediction": ("edges",),
    "mem": ("questions",),
    "answering": ("questions",),
}


def test_every_objective_and_every_pair_that_several_tie_is_left_out_in_turn_but_what_answers_stays() -> None:
    settings = Settings.model_validate({"objectives": {name: {} for name in NEEDS}})
    found = variants(settings, NEEDS)
    assert list(found) == [
        "whole",
        *(f"without {name}" for name in NEEDS if name != "answering"),
        "without language–vision",
        "trained without knowledge",
    ]
    left = {name: {key for key, part in one.objectives if part is not None} for name, one in found.items()}
    assert left["whole"] == set(NEEDS)
    assert left["without mim"] == set(NEEDS) - {"mim"}
    assert left["without language–vision"] == set(NEEDS) - {"itc", "itm"}
    assert left["trained without knowledge"] == {"itc", "itm", "mim", "answering"}
    blind = found["trained without knowledge"].objectives.answering
    assert blind is not None and blind.drop == 1.0
    assert settings.objectives.answering is not None and settings.objectives.answering.drop < 1  # a copy was changed


@pytest.fixture
def short(tiny_settings: Settings) -> Settings:
    settings = tiny_settings.model_copy(deep=True)
    settings.train.steps = 4
    return settings


def test_variants_are_trained_measured_and_not_run_again(short: Settings, tmp_path: Path) -> None:
    only = ["whole", "without mlm"]
    rows = run(short, tmp_path, [3], only, silent)["rows"]
    assert [(row["variant"], row["knowledge"]) for row in rows] == [
        *(("whole", condition) for condition in ("full", "none", "shuffled", "random", "oracle")),
        ("without mlm", "full"),
        ("without mlm", "none"),
    ]
    results = {file.name: json.loads(file.read_text()) for file in (tmp_path / "results").iterdir()}
    assert set(results) == {"whole-3.json", "without-mlm-3.json"}
    assert "mlm" in results["whole-3.json"]["losses"] and "mlm" not in results["without-mlm-3.json"]["losses"]
    right = results["without-mlm-3.json"]["right"]["full"]
    assert rows[5]["accuracy"] == round(sum(right) / len(right), 4) and "ci95" in rows[5]
    assert not list((tmp_path / "runs").iterdir())  # weights are not kept

    before = (tmp_path / "results" / "whole-3.json").stat().st_mtime_ns
    assert run(short, tmp_path, [3], only, silent)["rows"] == rows
    assert (tmp_path / "results" / "whole-3.json").stat().st_mtime_ns == before
    assert (tmp_path / "ablation.md").read_text().startswith("| variant | knowledge | accuracy |")


def test_results_of_other_settings_and_unknown_variants_are_refused(short: Settings, tmp_path: Path) -> None:
    run(short, tmp_path, [0], ["whole"], silent)
    with pytest.raises(InputError, match=r"no variant is called 'without x': there are whole, without mlm, "):
        run(short, tmp_path, [0], ["without x"], silent)
    short.train.steps = 5
    with pytest.raises(InputError, match=r"whole-0\.json is of other settings: give another --out"):
        run(short, tmp_path, [0], ["whole", "without mem"], silent)
    short.objectives.answering = None
    with pytest.raises(InputError, match=r"set objectives\.answering"):
        run(short, tmp_path, [0], [], silent)


def finished(folder: Path, variant: str, seed: int, right: dict[str, list[int]]) -> None:
    """A result as a run leaves it: four questions, two of them about facts held out."""
    result: dict[str, Any] = {"variant": variant, "seed": seed, "steps": 10, "right": right}
    result["held_out"] = ["wordings", "wordings", "facts", "facts"]
    (folder / f"{variant}-{seed}.json").write_text(json.dumps(result))


def test_the_table_has_means_over_seeds_and_differences_on_the_same_questions(tmp_path: Path) -> None:
    finished(tmp_path, "whole", 0, {"full": [1, 1, 1, 1], "none": [0, 0, 0, 1]})
    finished(tmp_path, "whole", 1, {"full": [1, 1, 0, 0], "none": [0, 0, 0, 0]})
    finished(tmp_path, "without mim", 0, {"full": [1, 0, 1, 0], "none": [0, 0, 0, 1]})
    finished(tmp_path, "without mim", 2, {"full": [0, 0, 0, 0], "none": [0, 0, 0, 0]})  # a seed that is not asked for
    rows = {(row["variant"], row["knowledge"]): row for row in summarise(tmp_path, [0, 1])}
    whole = rows["whole", "full"]
    assert (whole["accuracy"], whole["n"], whole["seeds"]) == (0.75, 8, [0, 1])
    assert whole["deviation"] == 0.3536  # of 1 and 0.5
    assert whole["by_held_out"] == {"wordings": 1.0, "facts": 0.5} and "difference" not in whole
    assert rows["whole", "none"]["difference"] == -0.625  # to full knowledge
    without = rows["without mim", "full"]
    assert (without["difference"], without["deviation"]) == (-0.5, None)  # to the whole of seed 0 alone
    assert without["ci95"] == [-1.0, 0.0]
    assert rows["without mim", "none"]["difference"] == 0.0
    lines = table(list(rows.values())).splitlines()
    assert lines[2] == "| whole | full | 0.750 ± 0.354 | 1.000 | 0.500 | 8; 0, 1; 10 |  |  |"
    assert lines[-2].endswith("| 4; 0; 10 | -0.500 | -1.000 … +0.000 |")
