"""Training that stops anywhere goes on exactly there, and a damaged checkpoint is one clear line."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.optim.optimizer import register_optimizer_step_post_hook

from kemm.pretrain.checkpoint import load_state, load_weights, save_state
from kemm.pretrain.loop import Diverged, fit
from kemm.pretrain.optimizer import build_optimizer, learning_rate
from kemm.pretrain.task import PretrainTask
from kemm.settings import TrainSettings
from kg.errors import InputError, KemmError
from tests.kemm import tiny_batch

NAMES = ("itc", "mim", "mem", "link_prediction", "answering")
SETTINGS = TrainSettings(steps=6, warmup=2, checkpoint_every=100, log_every=1)
FILES = {"model.safetensors", "optimizer.safetensors", "progress.json"}


def new_task(seed: int = 0) -> PretrainTask:
    return tiny_batch.task(NAMES, dropout=0.1, seed=seed)


def train(folder: Path, settings: TrainSettings = SETTINGS, task: PretrainTask | None = None, **more: Any) -> dict:
    batch_of = more.pop("batch_of", tiny_batch.batch)
    return fit(new_task() if task is None else task, batch_of, settings, folder, **more)


def contents(folder: Path) -> dict[str, Any]:
    """Weights, optimizer state and losses of a checkpoint, to be compared bit for bit."""
    found: dict[str, Any] = {"progress": json.loads((folder / "progress.json").read_text())}
    for name in ("model", "optimizer"):
        tensors = load_file(folder / f"{name}.safetensors")
        found |= {f"{name}/{key}": value.numpy().tobytes() for key, value in tensors.items()}
    return found


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whole") / "checkpoint"
    train(folder)
    return contents(folder)


def ctrl_c() -> None:
    """Press Ctrl-C: a real signal, wherever we are."""
    signal.raise_signal(signal.SIGINT)


def interrupt_in_data(task: PretrainTask, folder: Path) -> None:
    def batch_of(step: int) -> object:
        if step == 3:
            ctrl_c()
        return tiny_batch.batch(step)

    train(folder, task=task, batch_of=batch_of)


def interrupt_in_the_forward(task: PretrainTask, folder: Path) -> None:
    fuse, calls = task.model.fuse, []

    def stopping(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 2 * 3 + 2:  # two a step: the fourth step's second
            ctrl_c()
        return fuse(*arguments, **named)

    task.model.fuse = stopping  # type: ignore[method-assign]
    train(folder, task=task)


def interrupt_after_the_update(task: PretrainTask, folder: Path) -> None:
    steps: list[int] = []

    def stopping(*_: object) -> None:
        steps.append(1)
        if len(steps) == 4:
            ctrl_c()

    hook = register_optimizer_step_post_hook(stopping)
    try:
        train(folder, task=task)
    finally:
        hook.remove()


def interrupt_between_steps(task: PretrainTask, folder: Path) -> None:
    def progress(step: int, losses: dict[str, float]) -> None:
        if step == 3:
            ctrl_c()

    train(folder, task=task, progress=progress)


@pytest.mark.parametrize(
    "interrupted",
    [interrupt_in_data, interrupt_in_the_forward, interrupt_after_the_update, interrupt_between_steps],
)
def test_stopped_by_ctrl_c_and_resumed_it_ends_bit_for_bit_the_same(
    interrupted: Callable[[PretrainTask, Path], None], uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        interrupted(new_task(), folder)
    first = json.loads((folder / "progress.json").read_text())["step"]
    assert first in (3, 4) if interrupted is not interrupt_in_data else 1 <= first <= 4  # data are made ahead
    done = train(folder, task=new_task(seed=99))  # its own weights are replaced by the saved ones
    assert (done["first"], done["steps"]) == (first, 6)
    assert contents(folder) == uninterrupted


def test_every_objectives_loss_is_logged(uninterrupted: dict[str, Any]) -> None:
    losses = uninterrupted["progress"]["losses"]
    assert set(losses) == {*NAMES, "total"}
    assert [step for step, _ in losses["itc"]] == [1, 2, 3, 4, 5, 6]


def test_a_finished_run_is_not_trained_further(tmp_path: Path) -> None:
    train(tmp_path / "checkpoint")
    before = contents(tmp_path / "checkpoint")
    done = train(tmp_path / "checkpoint", task=new_task(seed=99))
    assert (done["first"], done["steps"]) == (6, 6) and contents(tmp_path / "checkpoint") == before


def test_without_resuming_it_starts_anew(uninterrupted: dict[str, Any], tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"steps": 1})
    train(tmp_path / "checkpoint", settings)
    assert train(tmp_path / "checkpoint", resume=False)["first"] == 0
    assert contents(tmp_path / "checkpoint") == uninterrupted


def test_another_seed_trains_otherwise(uninterrupted: dict[str, Any], tmp_path: Path) -> None:
    train(tmp_path / "checkpoint", SETTINGS.model_copy(update={"seed": 1}))
    assert contents(tmp_path / "checkpoint")["progress"] != uninterrupted["progress"]


def test_a_checkpoint_is_safetensors_and_json_and_nothing_beside_it(tmp_path: Path) -> None:
    train(tmp_path / "checkpoint", SETTINGS.model_copy(update={"steps": 2, "checkpoint_every": 1}))
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint"}
    assert {path.name for path in (tmp_path / "checkpoint").iterdir()} == FILES
    for path in (tmp_path / "checkpoint").glob("*.safetensors"):
        length = int.from_bytes(path.read_bytes()[:8], "little")
        assert json.loads(path.read_bytes()[8 : 8 + length])  # a JSON header, then numbers
    assert load_file(tmp_path / "checkpoint" / "optimizer.safetensors")


def test_a_kill_between_the_two_renames_is_mended(tmp_path: Path) -> None:
    train(tmp_path / "checkpoint", SETTINGS.model_copy(update={"steps": 2}))
    whole = contents(tmp_path / "checkpoint")
    (tmp_path / "checkpoint").rename(tmp_path / "checkpoint.old")  # as save_state does first
    task = new_task(seed=99)
    found = load_state(tmp_path / "checkpoint", task, build_optimizer(task, SETTINGS))
    assert found == whole["progress"] and contents(tmp_path / "checkpoint") == whole


def test_a_kill_amid_writing_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    train(tmp_path / "checkpoint", SETTINGS.model_copy(update={"steps": 2}))
    whole = contents(tmp_path / "checkpoint")
    task = new_task()
    with pytest.raises(TypeError):
        save_state(tmp_path / "checkpoint", task, None, {"step": object()})  # no JSON: stops before the end
    assert contents(tmp_path / "checkpoint") == whole
    train(tmp_path / "checkpoint")  # the half-written one is no obstacle
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint"}


def test_there_is_nothing_to_resume_in_an_empty_folder(tmp_path: Path) -> None:
    task = new_task()
    assert load_state(tmp_path / "checkpoint", task, build_optimizer(task, SETTINGS)) is None


# ── damage ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    train(tmp_path / "checkpoint", SETTINGS.model_copy(update={"steps": 1}))
    return tmp_path / "checkpoint"


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_weights_say_what_to_run(tmp_path: Path) -> None:
    says = refusal(lambda: load_weights(tmp_path / "checkpoint", new_task()))
    assert says == f"{tmp_path / 'checkpoint'}: no model there; run `kemm pretrain` first"


@pytest.mark.parametrize("length", [0, 5, 200, -100])
def test_truncated_weights_are_named(length: int, checkpoint: Path) -> None:
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    assert str(path) in refusal(lambda: load_weights(checkpoint, new_task()))
    assert str(path) in refusal(lambda: train(checkpoint))


def test_weights_of_another_width_name_the_tensor_and_both_shapes(checkpoint: Path) -> None:
    path = checkpoint / "model.safetensors"
    state = load_file(path)
    state["model.inputs.language.summary"] = torch.zeros(7)
    save_file(state, path)
    says = refusal(lambda: load_weights(checkpoint, new_task()))
    assert "model.inputs.language.summary is (7,) there and (8,) in this configuration" in says
    assert "--no-resume" in says


def test_weights_of_other_objectives_name_what_is_absent(checkpoint: Path) -> None:
    says = refusal(lambda: load_weights(checkpoint, tiny_batch.task(["mim"])))
    assert "is absent" not in says and " and absent in this configuration" in says
    says = refusal(lambda: load_weights(checkpoint, tiny_batch.task([*NAMES, "itm"])))
    assert "objectives.itm.head." in says and "is absent there" in says


def test_refused_weights_leave_the_model_as_it_was(checkpoint: Path) -> None:
    task = tiny_batch.task([*NAMES, "itm"])
    before = {name: value.clone() for name, value in task.state_dict().items()}
    refusal(lambda: load_weights(checkpoint, task))
    assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())


@pytest.mark.parametrize("name", ["optimizer.safetensors", "progress.json"])
def test_a_checkpoint_truncated_elsewhere_is_one_clear_line_too(name: str, checkpoint: Path) -> None:
    path = checkpoint / name
    path.write_bytes(path.read_bytes()[:20])
    says = refusal(lambda: train(checkpoint))
    assert str(checkpoint) in says and name in says


def test_a_checkpoint_without_optimizer_state_is_one_clear_line(checkpoint: Path) -> None:
    (checkpoint / "optimizer.safetensors").unlink()
    assert "optimizer.safetensors" in refusal(lambda: train(checkpoint))


# ── numbers ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_loss_that_is_no_number_names_the_step_and_the_objective_and_spares_the_checkpoint(tmp_path: Path) -> None:
    def batch_of(step: int) -> object:
        batch = tiny_batch.batch(step)
        if step == 2:
            batch.samples.parts["vision"].states[0, 0, 0] = torch.inf  # type: ignore[union-attr]
        return batch

    settings = SETTINGS.model_copy(update={"checkpoint_every": 1})
    with pytest.raises(Diverged, match=r"^step 2: the loss of 'itc' is nan; lower train\.learning_rate") as caught:
        train(tmp_path / "checkpoint", settings, batch_of=batch_of)
    assert isinstance(caught.value, KemmError)
    assert json.loads((tmp_path / "checkpoint" / "progress.json").read_text())["step"] == 2
    for name in ("model", "optimizer"):
        tensors = load_file(tmp_path / "checkpoint" / f"{name}.safetensors")
        assert all(torch.isfinite(value).all() for value in tensors.values())


def test_the_learning_rate_warms_up_and_falls_to_a_hundredth() -> None:
    settings = TrainSettings(steps=12, warmup=4, learning_rate=0.8)
    rates = [learning_rate(step, settings) for step in (0, 1, 3, 4, 8, 12)]
    # a quarter, a half, all of it; then η · (0.01 + 0.99 · ½(1 + cos π·t/8)) at t = 0, 4 and 8
    assert rates == pytest.approx([0.2, 0.4, 0.8, 0.8, 0.8 * (0.01 + 0.99 * 0.5), 0.008])


def test_norms_biases_and_link_predictions_are_not_decayed_and_the_latter_learn_at_their_own_rate() -> None:
    task = new_task()
    optimizer = build_optimizer(task, TrainSettings(learning_rate=1e-3, weight_decay=0.02))
    group_of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert len(group_of) == len(list(task.parameters()))  # each in one group
    for name, parameter in task.named_parameters():
        group = group_of[id(parameter)]
        shallow = name.startswith("objectives.link_prediction.")
        assert group["weight_decay"] == (0.02 if parameter.dim() > 1 and not shallow else 0.0), name
        assert group["scale"] == pytest.approx(10.0 if shallow else 1.0), name  # 1e-2 against 1e-3
