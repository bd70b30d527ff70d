"""The training loop, on one page."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from kemm.data.ahead import Ahead
from kemm.data.batch import Batch
from kemm.objectives.gathering import alone
from kemm.pretrain.checkpoint import load_state, save_state
from kemm.pretrain.optimizer import build_optimizer, learning_rate
from kemm.pretrain.task import PretrainTask
from kemm.settings import TrainSettings
from kg.errors import KemmError


class Diverged(KemmError):
    """A loss is no number any more."""


def fit(
    task: PretrainTask,
    batch_of: Callable[[int], Batch],
    settings: TrainSettings,
    folder: Path,
    resume: bool = True,
    progress: Callable[[int, dict[str, float]], object] = lambda step, losses: None,
    held_out: Sequence[Batch] = (),
) -> dict[str, Any]:
    """Train, in one process or several (`kemm.processes`); resume from ``folder`` where there is a checkpoint.

    Args:
        batch_of: the batch of a step; depends on its number alone, and is called in a thread beside the step. With
            several processes, each takes its own, and gradients are their mean.
        progress: told of every step.
        held_out: batches that are never trained on; losses and metrics on them are recorded at intervals.

    Returns:
        ``steps``, ``first`` step, ``seconds`` of this call and those ``waited`` for data, ``losses``: name → [[step,
        value], …], ``held_out``: name → metric → the same.

    Raises:
        Diverged: names the step and the objective.
        KeyboardInterrupt: after the step in hand is done and a checkpoint is written.
    """
    accelerator = Accelerator(
        mixed_precision="no" if settings.precision == "auto" else settings.precision,
        cpu=not torch.cuda.is_available(),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    optimizer = build_optimizer(task, settings)
    saved = load_state(folder, task, optimizer) if resume else None
    first, losses, curves = (saved["step"], saved["losses"], saved["held_out"]) if saved else (0, {}, {})
    module, optimizer = accelerator.prepare(task, optimizer)
    module.train()
    started, step = time.perf_counter(), first
    is_measured = bool(held_out and settings.held_out_every and accelerator.is_main_process)
    if is_measured and not first:
        record(curves, 0, task, held_out, accelerator.device, settings.seed)

    def checkpoint() -> None:
        if accelerator.is_main_process:
            told = {"step": step, "losses": losses, "held_out": curves}
            save_state(folder, accelerator.unwrap_model(module), optimizer.optimizer, told)

    each = accelerator.num_processes
    numbers = range(first * each + accelerator.process_index, settings.steps * each, each)
    batches = Ahead(batch_of, numbers, settings.ahead)
    is_main_thread = threading.current_thread() is threading.main_thread()
    usual = signal.getsignal(signal.SIGINT)
    stop = False

    def interrupt(*_: Any) -> None:
        """Ctrl-C takes effect between steps, as half a step can't be resumed; a second one at once."""
        nonlocal stop
        stop = True
        signal.signal(signal.SIGINT, usual)

    if is_main_thread:
        signal.signal(signal.SIGINT, interrupt)
    try:
        while step < settings.steps:
            for group in optimizer.param_groups:
                group["lr"] = group["scale"] * learning_rate(step, settings)
            number = step * each + accelerator.process_index
            torch.manual_seed(settings.seed * 1_000_003 + number)  # dropout
            generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + number)  # what is masked
            found = module(next(batches).to(accelerator.device), generator, step)
            values = {name: loss.item() for name, loss in found.items()}
            for name, value in values.items():
                if not math.isfinite(value):
                    raise Diverged(
                        f"step {step}: the loss of '{name}' is {value}; lower train.learning_rate or its weight"
                    )
            accelerator.backward(found["total"])
            accelerator.clip_grad_norm_(module.parameters(), settings.clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            task.after_step()
            step += 1
            if is_measured and (step % settings.held_out_every == 0 or step == settings.steps):
                record(curves, step, task, held_out, accelerator.device, settings.seed)
            if step % settings.log_every == 0 or step == settings.steps:
                for name, value in values.items():
                    losses.setdefault(name, []).append([step, round(value, 5)])
            progress(step, values)
            if each > 1:  # all stop after the same step, whichever was told
                stop = bool(accelerator.reduce(torch.tensor(float(stop), device=accelerator.device)).item())
            if stop:
                checkpoint()
                raise KeyboardInterrupt
            if step % settings.checkpoint_every == 0 and step < settings.steps:
                checkpoint()
    finally:
        batches.close()
        if is_main_thread:
            signal.signal(signal.SIGINT, usual)
    checkpoint()
    return {
        "steps": step,
        "first": first,
        "seconds": time.perf_counter() - started,
        "waited": batches.waited,
        "losses": losses,
        "held_out": curves,
    }


def record(
    curves: dict[str, dict[str, list]],
    step: int,
    task: PretrainTask,
    batches: Sequence[Batch],
    device: torch.device,
    seed: int,
) -> None:
    """Add to ``curves`` the mean of each objective's loss and metrics over the batches; what is hidden is always the
    same."""
    found: dict[tuple[str, str], list[float]] = {}
    for number, batch in enumerate(batches):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
        with alone():
            measured = task.evaluate(batch.to(device), generator)
        for name, figures in measured.items():
            for metric, value in figures.items():
                found.setdefault((name, metric), []).append(value)
    for (name, metric), values in found.items():
        curves.setdefault(name, {}).setdefault(metric, []).append([step, round(sum(values) / len(values), 5)])
