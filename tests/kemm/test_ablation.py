"""Ablation: which variants there are, that finished ones stay, and the table by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kemm.evaluate.ablation import run, tabulate, variants
from kemm.evaluate.ablation_table import summarise
from kemm.evaluate.paired import paired_interval
from kemm.evaluate.results_page import put
from kemm.pretrain import loop
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
        "without knowledge–language",
        "without language–vision",
        "trained without knowledge",
    ]
    left = {name: {key for key, part in one.objectives if part is not None} for name, one in found.items()}
    assert left["whole"] == set(NEEDS)
    assert left["without mim"] == set(NEEDS) - {"mim"}
    assert left["without language–vision"] == set(NEEDS) - {"itc", "itm"}
    assert left["without knowledge–language"] == set(NEEDS) - {"link_prediction", "mem"}
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
    rows = run(short, tmp_path, [3], only, silent)
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
    (tmp_path / "world" / "questions.jsonl").unlink()
    assert run(short, tmp_path, [3], only, silent) == rows
    assert (tmp_path / "results" / "whole-3.json").stat().st_mtime_ns == before
    assert not (tmp_path / "world" / "questions.jsonl").exists()  # nor is the world prepared again
    assert json.loads((tmp_path / "variants.json").read_text())["without mlm"] == ["mlm"]
    page = tmp_path / "results.md"
    assert tabulate("Toys", tmp_path, page, "toys.yaml") == rows
    said = page.read_text()
    assert said.startswith("# Results") and "`kemm ablate toys.yaml`, 4 steps each" in said
    assert "| without mem | not run |" in said and "| without mlm | 3 | " in said


def test_what_trains_without_knowledge_sees_no_facts(
    short: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, fit = [], loop.fit

    def watched(task: Any, batches: Any, *rest: Any, **more: Any) -> Any:
        seen.append(batches(0).questions.facts)
        return fit(task, batches, *rest, **more)

    monkeypatch.setattr(loop, "fit", watched)
    run(short, tmp_path, [3], ["whole", "trained without knowledge"], silent)
    assert [facts is not None for facts in seen] == [True, False]


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


def finished(folder: Path, variant: str, seed: int, right: dict[str, list[int]], steps: int = 10) -> None:
    """A result as a run leaves it: four questions, two of them about facts held out."""
    result: dict[str, Any] = {"variant": variant, "seed": seed, "steps": steps, "right": right}
    result["held_out"] = ["wordings", "wordings", "facts", "facts"]
    (folder / "results").mkdir(exist_ok=True)
    (folder / "results" / f"{variant}-{seed}.json").write_text(json.dumps(result))


def test_rows_have_means_over_seeds_and_differences_on_the_same_questions(tmp_path: Path) -> None:
    finished(tmp_path, "whole", 0, {"full": [1, 1, 1, 1], "none": [0, 0, 0, 1]})
    finished(tmp_path, "whole", 1, {"full": [1, 1, 0, 0], "none": [0, 0, 0, 0]})
    finished(tmp_path, "without mim", 0, {"full": [1, 0, 1, 0], "none": [0, 0, 0, 1]})
    finished(tmp_path, "without mim", 2, {"full": [0, 0, 0, 0], "none": [0, 0, 0, 0]})  # a seed that is not asked for
    rows = {(row["variant"], row["knowledge"]): row for row in summarise(tmp_path / "results", [0, 1])}
    whole = rows["whole", "full"]
    assert (whole["accuracy"], whole["n"], whole["seeds"]) == (0.75, 8, [0, 1])
    assert whole["deviation"] == 0.3536  # of 1 and 0.5
    assert {kind: part["accuracy"] for kind, part in whole["by_held_out"].items()} == {"wordings": 1.0, "facts": 0.5}
    assert "difference" not in whole
    assert rows["whole", "none"]["difference"] == -0.625  # to full knowledge
    without = rows["without mim", "full"]
    assert (without["difference"], without["deviation"]) == (-0.5, None)  # to the whole of seed 0 alone
    assert without["ci95"] == [-1.0, 0.0]
    assert without["by_held_out"]["facts"]["difference"] == -0.5
    assert rows["without mim", "none"]["difference"] == 0.0


def test_a_page_gets_both_tables_and_keeps_what_else_is_written_there(tmp_path: Path) -> None:
    finished(tmp_path, "whole", 0, {"full": [1, 1, 1, 1], "none": [0, 0, 0, 0]})
    finished(tmp_path, "without mim", 0, {"full": [1, 1, 1, 0], "none": [0, 0, 0, 0]})
    left_out = {"whole": [], "without mim": ["mim"], "without language–vision": ["itc", "itm"]}
    (tmp_path / "variants.json").write_text(json.dumps(left_out))
    page = tmp_path / "page.md"
    page.write_text("# Ours\n\nBy hand.\n")
    for _ in range(2):  # the second time in the place of the first
        tabulate("Toys", tmp_path, page, "toys.yaml")
        page.write_text(page.read_text() + "More by hand.\n")
    lines = page.read_text().splitlines()
    assert lines[0] == "# Ours" and lines.count("By hand.") == 1 and lines.count("More by hand.") == 2
    assert lines.count("<!-- kemm ablate: Toys -->") == 1
    none = "| none | 0 | 0.000 | 0.000 | 0.000 | **−1.000 [−1.000, −1.000]** |"
    whole = "| whole | 0 | 1.000 |  | 1.000 | 1.000 | 0.000 |"
    mim = (
        "| without mim | 0 | 0.750 | −0.250 [−0.750, +0.000] | +0.000 [+0.000, +0.000] | −0.500 [−1.000, +0.000] "
        "| +0.000 [+0.000, +0.000] |"
    )
    assert {none, whole, mim} <= set(lines)
    assert "| without language–vision (itc, itm) | not run |  |  |  |  |  |" in lines


def test_a_page_cannot_be_made_of_no_whole_of_different_steps_or_of_half_a_mark(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no result of 'whole' yet"):
        tabulate("Toys", tmp_path, tmp_path / "page.md", "toys.yaml")
    finished(tmp_path, "whole", 0, {"full": [1, 1, 1, 1]})
    finished(tmp_path, "without mim", 0, {"full": [1, 1, 1, 1]}, steps=20)
    with pytest.raises(InputError, match=r"results of different steps"):
        tabulate("Toys", tmp_path, tmp_path / "page.md", "toys.yaml")
    assert not (tmp_path / "page.md").exists()
    with pytest.raises(InputError, match=r"'<!-- a -->' without '<!-- end of a -->'"):
        put("<!-- a -->", "a", "new")


def test_intervals_know_the_chance_of_seeds_and_of_questions() -> None:
    good, even = np.ones(100, dtype=int), np.zeros(100, dtype=int)
    assert paired_interval([good, good]) == [1.0, 1.0]
    assert paired_interval([good, even]) == [0.0, 1.0]  # each question is sure, but another seed might be either
    low, high = paired_interval([np.array([1, 0] * 50)])
    assert abs(low - 0.40) < 0.02 and abs(high - 0.60) < 0.02  # 0.5 ± 1.96 · √(0.25 / 100)
