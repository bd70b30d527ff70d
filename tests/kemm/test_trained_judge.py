"""Training retriever and reader together in a tiny run: losses fall, and what was learned judges facts in `predict`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from kemm.predict.trained_judge import TrainedJudge
from kemm.progress import silent
from kemm.settings import Settings
from retrieval.evidence import Query
from retrieval.index.path_vectors import PathVectors
from tests.kemm.tiny_world import LABELS, TOYS, town_of


def head(matrix: Any, scale: float, trust: float) -> Any:
    weight = torch.tensor(matrix)
    return SimpleNamespace(
        match=SimpleNamespace(weight=weight), scale=torch.tensor(scale), relevance_weight=torch.tensor(trust)
    )


def test_the_best_path_keeps_its_chance_and_the_others_move_by_what_was_learned() -> None:
    text: Any = SimpleNamespace(embed=lambda texts: np.array([[1.0, 0.0]] * len(texts), dtype=np.float32))
    paths = PathVectors(text.embed)
    paths.learn(["one", "other"], np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32))
    base: Any = SimpleNamespace(judge=lambda question, paths: lambda rows: np.array([0.8, 0.2])[rows])
    rows = np.array([0, 1])
    same = TrainedJudge(head([[1.0, 0.0], [0.0, 1.0]], 0.0, 1.0), text, base).judge("q", paths)(rows)
    assert same == pytest.approx([0.8, 0.2])
    # M turns the question to the other path, by 4 log 4: logits log 4 and 3 log 4, of which 2 log 4 are taken off
    turned = head([[0.0, 0.0], [1.0, 0.0]], 4 * float(np.log(4)), 1.0)
    found = TrainedJudge(turned, text, base).judge("q", paths)(rows)
    assert found == pytest.approx([1 / 5, 4 / 5])


@pytest.mark.parametrize("name", ["reader_distillation", "joint_retrieval"])
def test_what_a_run_learns_of_facts_reaches_the_retriever_of_predict(
    tiny_settings: Settings, tmp_path: Path, name: str
) -> None:
    from kemm.predict.reader import Reader
    from kemm.pretrain import prepare, train

    objectives = {"answering": {}, name: {}}
    values = tiny_settings.model_dump() | {"run": tmp_path / "run", "objectives": objectives}
    values["train"] |= {"steps": 100, "pairs": 0}
    settings = Settings.model_validate(values)
    world, data = prepare(settings, silent)
    train(world, data, False, silent)
    world.close()

    losses = [loss for _, loss in json.loads((settings.run / "run.json").read_text())["training"]["losses"][name]]
    assert np.mean(losses[-3:]) < 0.75 * np.mean(losses[:3])
    reader = Reader.load(settings.run, settings)
    judge = reader.world.retriever.path_scorer
    assert isinstance(judge, TrainedJudge)
    assert np.abs(judge.matrix - np.eye(len(judge.matrix))).max() > 1e-3
    # The judge that was trained on the wordings alone holds another town for what is meant; the reader knows better.
    question = Query(f"Which town is the firm that makes {LABELS[TOYS[0]]} based in?")
    learned = reader.world.retriever.retrieve(question, 2)
    reader.world.retriever.path_scorer = judge.base
    before = reader.world.retriever.retrieve(question, 2)
    assert learned.facts[-1].far == f"town:{town_of(TOYS[0])}" != before.facts[-1].far
    reader.world.close()
