"""The step: each encoding is computed once, and the total is the weighted sum."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from kemm.pretrain.task import PretrainTask
from kg.errors import InputError
from tests.kemm import tiny_batch


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two calls of ``fuse`` were given the same."""
    mine, theirs = ({**call["tokens"], **call["masks"]} for call in (one, other))
    if one["tokens"].keys() != other["tokens"].keys() or one.get("facts") is not other.get("facts"):
        return False
    return all(mine[name].shape == theirs[name].shape and torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize(
    ("names", "forwards"),
    [
        (["itc"], 0),
        (["itm"], 2),  # pictures with their own captions; with wrong ones
        (["mlm"], 1),
        (["mlm", "mim"], 1),  # one for both
        (["mem"], 1),
        (["mem", "answering"], 1),  # one for both
        (["link_prediction", "entity_image", "entity_text"], 0),
        (["itc", "itm", "mlm", "mim", "mem", "link_prediction", "entity_image", "entity_text", "answering"], 4),
    ],
)
def test_a_step_fuses_each_input_once(names: list[str], forwards: int) -> None:
    task = tiny_batch.task(names)
    calls = tiny_batch.count_fusions(task.model)
    task(tiny_batch.batch(), generator())
    assert len(calls) == forwards
    assert not [1 for n, one in enumerate(calls) for other in calls[:n] if alike(one, other)]


def test_the_total_is_the_weighted_sum_and_a_weight_of_zero_costs_no_forward() -> None:
    task = tiny_batch.task(["itc", "mlm"])
    task.weights = {"itc": 2.0, "mlm": 0.5}
    found = task(tiny_batch.batch(), generator())
    assert found.keys() == {"itc", "mlm", "total"}
    torch.testing.assert_close(found["total"], 2.0 * found["itc"] + 0.5 * found["mlm"])
    task.weights["mlm"] = 0.0
    calls = tiny_batch.count_fusions(task.model)
    found = task(tiny_batch.batch(), generator())
    assert found.keys() == {"itc", "total"} and not calls


def test_a_run_needs_an_objective() -> None:
    with pytest.raises(InputError, match=r"no objective .*itc, itm"):
        tiny_batch.task([])


def test_a_run_whose_objectives_all_weigh_nothing_is_refused() -> None:
    settings = tiny_batch.settings(["itc"])
    assert settings.objectives.itc is not None
    settings.objectives.itc.weight = 0.0
    with pytest.raises(InputError, match=r"no objective .*itc, itm"):
        PretrainTask(settings, tiny_batch.context())(tiny_batch.batch(), generator())
