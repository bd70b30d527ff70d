"""The benchmark of entity vectors: its table from finished results, made by hand; nothing is trained here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def finished(out: Path, condition: str, seed: int, full: list[int], steps: int = 10) -> None:
    """A result as a run leaves it: four questions, none of them right without knowledge."""
    result = {"world": "toys", "condition": condition, "seed": seed, "steps": steps, "questions": ["a", "b", "c", "d"]}
    result["right"] = {"full": full, "none": [0, 0, 0, 0]}
    (out / "toys" / "results").mkdir(parents=True, exist_ok=True)
    (out / "toys" / "results" / f"{len(condition)}-{seed}.json").write_text(json.dumps(result), encoding="utf-8")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.entity_embeddings", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_the_table_gives_the_paired_difference_over_the_seeds_that_both_have(tmp_path: Path) -> None:
    finished(tmp_path, "no vectors", 0, [1, 0, 0, 1])
    finished(tmp_path, "no vectors", 1, [1, 1, 1, 0])
    finished(tmp_path, "ComplEx, frozen", 0, [1, 1, 1, 1])  # half better
    finished(tmp_path, "ComplEx, frozen", 1, [1, 1, 1, 0])  # alike
    finished(tmp_path, "ComplEx, tuned", 2, [1, 1, 1, 1])  # no partner
    done = run("--table", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    rows = {(row["condition"], row["knowledge"]): row for row in json.loads(done.stdout)}
    assert rows["no vectors", "full"]["accuracy"] == 0.625 and "difference" not in rows["no vectors", "full"]
    frozen = rows["ComplEx, frozen", "full"]
    assert (frozen["accuracy"], frozen["difference"], frozen["n"]) == (0.875, 0.25, 8)
    low, high = frozen["ci95"]
    assert 0.0 == low < 0.25 < high <= 1.0  # seed 1 drawn twice gives 0, seed 0 twice up to 1
    assert rows["ComplEx, frozen", "none"]["ci95"] == [0.0, 0.0]
    assert "difference" not in rows["ComplEx, tuned", "full"]
    lines = run("--table", str(tmp_path)).stdout.splitlines()
    assert [
        line for line in lines if line.startswith("| toys | ComplEx, frozen | full | 0.875 | 8; 0, 1; 10 | +0.250 |")
    ]


def test_results_of_different_steps_are_not_compared(tmp_path: Path) -> None:
    finished(tmp_path, "no vectors", 0, [1, 0, 0, 1])
    finished(tmp_path, "TransE, frozen", 0, [1, 1, 1, 1], steps=20)
    done = run("--table", str(tmp_path))
    assert done.returncode == 1 and "'TransE, frozen' has other steps than 'no vectors'" in done.stderr


@pytest.mark.parametrize(("arguments", "said"), [([], "or --table"), (["a.yaml", "--out", "o", "--only", "x"], "'x'")])
def test_a_call_that_says_too_little_or_a_wrong_condition_is_refused(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2 and said in done.stderr
