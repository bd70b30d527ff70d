"""The step: each encoding is computed once, and the total is the weighted sum."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kemm.pretrain.task import PretrainTask
from kg.errors import InputError
from tests.kemm import tiny_batch


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def alike(one: tuple, other: tuple) -> bool:
    def same(a: object, b: object) -> bool:
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            return a.shape == b.shape and torch.equal(a, b)
        return a is b

    return all(map(same, one, other))


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
