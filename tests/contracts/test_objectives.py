"""What every objective owes, tested over the table: a new one is covered on arrival."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from kemm.data.batch import Batch
from kemm.fuse.encoded import Encoded
from kemm.objectives import OBJECTIVES
from kemm.objectives.hiding import FactHiding
from kemm.objectives.objective import MissingModality, Objective
from kemm.pretrain.task import PretrainTask
from kg.errors import InputError
from tests.kemm import tiny_batch


def encode(task: PretrainTask, batch: Batch, seed: int = 5) -> Encoded:
    """One step's encodings, with about half of the facts hidden in part."""
    torch.manual_seed(seed)  # dropout, as the loop seeds it
    task.plan = replace(task.plan, nodes=0.5, facts=FactHiding(0.4, 0.1, 0.5, 0.5))
    return task.encode(batch, torch.Generator().manual_seed(seed))


def loss_of(name: str, task: PretrainTask, batch: Batch, seed: int = 5) -> torch.Tensor:
    return task.objectives[name](encode(task, batch, seed))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_its_loss_is_one_finite_number_above_zero(name: str) -> None:
    loss = loss_of(name, tiny_batch.task([name]), tiny_batch.batch(is_told=True))
    assert loss.shape == () and torch.isfinite(loss) and loss > 0


@pytest.mark.parametrize("name", OBJECTIVES)
def test_its_gradient_reaches_all_of_its_own_head(name: str) -> None:
    task = tiny_batch.task([name])
    loss_of(name, task, tiny_batch.batch(is_told=True)).backward()
    head = dict(task.objectives[name].named_parameters())
    assert head
    assert not [part for part, parameter in head.items() if parameter.grad is None or not parameter.grad.any()]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_forty_steps_on_one_batch_lower_it(name: str) -> None:
    task, batch = tiny_batch.task([name]), tiny_batch.batch(is_told=True)
    optimizer = torch.optim.Adam(task.parameters(), lr=3e-3)
    first = loss_of(name, task, batch).item()
    for _ in range(40):
        optimizer.zero_grad()
        loss_of(name, task, batch).backward()
        optimizer.step()
    assert loss_of(name, task, batch).item() < 0.8 * first


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_same_seed_gives_the_same_loss(name: str) -> None:
    task, batch = tiny_batch.task([name]), tiny_batch.batch(is_told=True)
    assert torch.equal(loss_of(name, task, batch, seed=3), loss_of(name, task, batch, seed=3))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_it_says_in_one_line_what_a_batch_lacks(name: str) -> None:
    with pytest.raises(MissingModality, match=r"^\w+ needs .+, and the batch has none$") as caught:
        loss_of(name, tiny_batch.task([name]), Batch())
    assert isinstance(caught.value, InputError) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_it_works_on_a_batch_of_nothing_but_what_it_needs(name: str) -> None:
    task, whole = tiny_batch.task([name]), tiny_batch.batch(is_told=True)
    needed = []
    for kind in ("samples", "pictures", "questions", "edges", "entities"):
        try:
            loss_of(name, task, replace(whole, **{kind: None}))
        except MissingModality:
            needed.append(kind)
    alone = Batch(**{kind: getattr(whole, kind) for kind in needed})
    assert needed and torch.equal(loss_of(name, task, alone), loss_of(name, task, whole))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_its_head_is_its_own_and_no_other_run_carries_it(name: str) -> None:
    task = tiny_batch.task([name])
    assert isinstance(task.objectives[name], Objective) and list(task.objectives) == [name]
    others = tiny_batch.task([other for other in OBJECTIVES if other != name])
    assert not [key for key in others.state_dict() if key.startswith(f"objectives.{name}.")]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_in_bfloat16_it_is_finite_and_near(name: str) -> None:
    task, batch = tiny_batch.task([name]), tiny_batch.batch(is_told=True)
    exact = loss_of(name, task, batch).item()
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(name, task, batch)
    assert torch.isfinite(loss) and loss.item() == pytest.approx(exact, rel=0.1, abs=0.1)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_its_metrics_are_finite_and_an_accuracy_stands_beside_chance(name: str) -> None:
    task = tiny_batch.task([name]).eval()
    with torch.no_grad():
        found = task.parts()[name].metrics(encode(task, tiny_batch.batch(is_told=True)))
    assert all(math.isfinite(value) for value in found.values())
    assert "accuracy" not in found or (0 <= found["accuracy"] <= 1 and 0 < found["chance"] <= 1)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_without_data_for_it_training_does_not_start(name: str) -> None:
    task = tiny_batch.task([name])
    with pytest.raises(InputError, match=rf"^objectives\.{name} needs .*which no source of this run has"):
        task.check({"stones": frozenset({"weight"})})
    task.check({"source": frozenset(task.parts()[name].needs)})


OF_SAMPLES = ["itc", "itm", "mlm", "mim", "captioning", "seq2seq", "masked_audio", "masked_video", "masked_regions"]


@pytest.mark.parametrize("name", [*OF_SAMPLES, "modality_masking", "frame_order", "video_subtitle", "action"])
def test_a_batch_of_one_is_finite(name: str) -> None:
    task, batch = tiny_batch.task([name]), tiny_batch.batch(is_told=True)
    assert batch.samples is not None
    one = replace(batch, samples=batch.samples.take(torch.tensor([0])))
    loss = loss_of(name, task, one)
    loss.backward()
    assert torch.isfinite(loss)
