"""The step: each encoding is computed once, and the total is the weighted sum."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from kemm.pretrain.task import PretrainTask
from kemm.settings.objectives.base import Schedule
from kg.errors import InputError
from tests.kemm import tiny_batch


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two calls of ``fuse`` were given the same."""
    if one["tokens"].keys() != other["tokens"].keys() or one.get("facts") is not other.get("facts"):
        return False
    pairs = [(one[kind][name], other[kind][name]) for kind in ("tokens", "masks") for name in one["tokens"]]
    return all(a.shape == b.shape and torch.equal(a, b) for a, b in pairs)


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


def test_one_task_a_step_is_drawn_by_weight_and_the_same_for_the_same_step() -> None:
    task = tiny_batch.task(["itc", "mlm"])
    task.tasks, task.weights = "one", {"itc": 3.0, "mlm": 1.0}
    drawn = [next(iter(task.weights_at(step))) for step in range(400)]
    assert drawn == [next(iter(task.weights_at(step))) for step in range(400)]
    assert 250 < drawn.count("itc") < 350
    assert task(tiny_batch.batch(), generator(), step=0).keys() == {drawn[0], "total"}


def test_a_weight_goes_its_way() -> None:
    task = tiny_batch.task(["itc", "mlm"])
    task.weights = {"itc": 1.0, "mlm": Schedule(start=0.0, end=2.0, steps=10)}
    assert [task.weights_at(step).get("mlm") for step in (0, 5, 10, 99)] == [None, 1.0, 2.0, 2.0]


def test_learned_weights_start_at_the_sum_and_get_a_gradient() -> None:
    settings = tiny_batch.settings(["itc", "mlm"], weighting="uncertainty")
    torch.manual_seed(0)
    task = PretrainTask(settings, tiny_batch.context())
    found = task(tiny_batch.batch(), generator())
    torch.testing.assert_close(found["total"], found["itc"] + found["mlm"])  # σ = 1
    found["total"].backward()
    assert task.log_variance is not None and task.log_variance.grad is not None and task.log_variance.grad.all()


def momentum_task() -> PretrainTask:
    settings = tiny_batch.settings(["itc", "mlm"])
    assert settings.objectives.itc is not None
    settings.objectives.itc.alpha, settings.objectives.itc.queue = 0.4, 6
    torch.manual_seed(0)
    return PretrainTask(settings, tiny_batch.context())


def test_the_slow_copy_follows_once_a_step_and_the_queue_takes_in_the_batch() -> None:
    task = momentum_task()
    itc: Any = task.objectives["itc"]
    before = itc.slow.copy["vision"][1].weight.clone()
    for held in (4, 6, 6):  # four a step, six at most
        task(tiny_batch.batch(), generator())["total"].backward()
        with torch.no_grad():
            itc.project["vision"][1].weight += 1.0
        task.after_step()
        assert len(itc.queues["vision"]) == held
    moved, steps = itc.slow.copy["vision"][1].weight - before, 0.005 + 0.005 * 1.995 + 0.005 * 2.985025
    torch.testing.assert_close(moved, torch.full_like(moved, steps), atol=1e-5, rtol=0)


def test_no_tower_runs_on_what_is_cached_and_a_hidden_text_goes_through_it_once() -> None:
    task = tiny_batch.task(["itc", "itm", "mlm", "mim", "captioning"])
    encoded = task.encode(tiny_batch.batch(), generator())
    for part in task.parts().values():
        part(encoded)
    assert encoded.calls == {"fusion": 4, "language tower": 1}  # right pairs, wrong ones, hidden, written
