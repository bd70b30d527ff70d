"""One run trained by two processes: the same weights in both, files and output from the first alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from kemm import processes
from kemm.settings import Settings

ROOT = Path(__file__).parents[2]

#: `kemm pretrain` with the tiny towers; each process keeps the weights that it ends with.
PRETRAIN = """
import os, sys, torch
from kemm.cli import main
from kemm.encoders import ENCODERS
from kemm.pretrain import loop
from tests.kemm.tiny_towers import TinyText, TinyVision

for name, tower in (("tiny-text", TinyText), ("tiny-colours", TinyVision)):
    ENCODERS[name] = f"{tower.__module__}:{tower.__name__}"
fit = loop.fit

def fit_and_keep(task, *rest):
    found = fit(task, *rest)
    torch.save(task.state_dict(), f"{os.path.dirname(sys.argv[1])}/{os.environ['RANK']}.pt")
    return found

loop.fit = fit_and_keep
status = main(["pretrain", sys.argv[1], "--json"])
sys.stdout.flush()
os._exit(status)  # gloo's threads can abort an interpreter that ends (pytorch/pytorch#179291)
"""


def test_alone_there_is_one() -> None:
    assert processes.count() == 1 and processes.is_first()
    with processes.first_alone():
        pass
    processes.leave()


def test_two_processes_train_one_run(tiny_settings: Settings, tmp_path: Path) -> None:
    settings = tiny_settings.model_dump(mode="json") | {"run": str(tmp_path / "run")}
    settings["train"] |= {"steps": 12, "held_out_every": 6}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "pretrain.py").write_text(PRETRAIN)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launch, str(tmp_path / "pretrain.py"), str(tmp_path / "config.yaml")],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout)  # one line, of the first
    assert said["steps"] == 12
    training = json.loads((tmp_path / "run" / "run.json").read_text())["training"]
    assert [step for step, _ in training["held_out"]["answering"]["loss"]] == [0, 6, 12]
    one, two = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert list(one) == list(two) and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_the_first_of_several_speaks(rank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    assert processes.count() == 2 and processes.is_first() == (rank == "0")
