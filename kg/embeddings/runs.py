"""A whole run as settings describe it: data, model, training, and the figures of the test split at the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from kg import devices
from kg.embeddings import checkpoint, optimizers
from kg.embeddings.building import bare_model, build, build_objective, plan_parts, read_data
from kg.embeddings.figures import figures
from kg.embeddings.model import KGEModel
from kg.embeddings.negatives import NegativeSampling
from kg.embeddings.pace import Pace
from kg.embeddings.partitions.export import Checkpoint
from kg.embeddings.partitions.plan import Plan
from kg.embeddings.partitions.ranking import rank as rank_parts
from kg.embeddings.partitions.training import fit as fit_parts
from kg.embeddings.ranking import Ranks, rank
from kg.embeddings.settings import EmbeddingSettings
from kg.embeddings.training import fit
from kg.embeddings.triples import Triples
from kg.errors import InputError


def train(
    settings: EmbeddingSettings,
    *,
    resume: bool = True,
    test: bool = False,
    minutes: float | None = None,
    clock: Callable[[], float] | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Train as settings say and return the best validation figures, the losses and, if asked, the test figures.

    Args:
        test: rank the test split with the best model; look at it once, when nothing is left to choose.
        minutes: stop after so many with a checkpoint; the result then has "stopped", and the same call goes on.
        clock: seconds, such as ``time.monotonic``; without one no time passes.

    Raises:
        InputError: data, a device or a checkpoint can't be used.
        KeyboardInterrupt: after a checkpoint; the same call goes on.
    """
    pace = Pace(clock or (lambda: 0.0), settings.training.checkpoint_minutes, minutes)
    device, mixed_precision = _device(settings, note)  # first: a GPU that isn't there is told before anything is read
    triples = read_data(settings.data, settings.seed)
    plan, rows = plan_parts(settings, triples), triples["train"]
    in_parts = plan.num_parts > 1
    if in_parts:  # the model holds two parts of the entities at a time, and is given their triples as they come
        model, rows = bare_model(settings, 2 * plan.size, triples.num_relations), rows[:0]
    else:
        model = build(settings, triples, note).to(device)
    objective = build_objective(settings.training, model, rows)
    optimizer = optimizers.make(
        settings.training.optimizer,
        model,
        settings.training.learning_rate,
        sparse=getattr(settings.training.objective, "sparse", False),
    )
    folder = Path(settings.run)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(settings.model_dump_json(indent=1), encoding="utf-8")
    options: dict[str, Any] = {
        "epochs": settings.training.epochs,
        "batch": settings.training.batch,
        "decay": settings.training.decay,
        "folder": folder,
        "seed": settings.seed,
        **settings.evaluation.model_dump(),
        "resume": resume,
        "pace": pace,
        "note": note,
    }
    if in_parts:
        assert isinstance(objective, NegativeSampling) and isinstance(optimizer, optimizers.RowOptimizer)
        history = fit_parts(plan, triples, objective, optimizer, **options)
    else:
        history = fit(model, triples, objective, optimizer, mixed_precision=mixed_precision, **options)
    result: dict[str, Any] = {"run": str(folder), "epochs": history.epoch, "valid": history.best}
    result["data"] = {"entities": triples.num_entities, "relations": triples.num_relations, **triples.report}
    if history.step:
        result["stopped"] = {"epoch": history.epoch + 1, "step": history.step}
    elif test:
        result["test"] = figures(_rank_best(folder, model, triples, "test", plan), triples)
        (folder / "test.json").write_text(json.dumps(result["test"], indent=1), encoding="utf-8")
    return result


def _device(settings: EmbeddingSettings, note: Callable[[str], None]) -> tuple[torch.device, bool]:
    """Return where training takes place, and whether in mixed precision."""
    training = settings.training
    device = devices.choose(training.device)
    if training.mixed_precision and settings.model.name not in ("encoded", "nbfnet"):
        raise InputError(
            f"training.mixed_precision is for the models encoded and nbfnet, not for {settings.model.name}: leave it "
            "out (the objective 1-vs-all has a precision of its own)"
        )
    if training.mixed_precision and device.type == "cpu":
        note("on the processor: training.mixed_precision is left out")
        return device, False
    return device, training.mixed_precision


def rank_run(run: str | Path, split: str) -> tuple[Ranks, Triples]:
    """Rank a split with the best model of a run, or with a combination of runs; return the triples too.

    Within the memory that the run's settings allow, on a GPU where there is one, unless the run's device is the
    processor.

    Raises:
        InputError: as ``load``; there is no such split, or it is empty.
    """
    if (Path(run) / "combination.json").is_file():
        from kg.embeddings import combined_runs  # which loads runs by this file

        combination, triples = combined_runs.load(run)
        return rank(combination, triples, split), triples
    settings = _settings(run)
    triples = read_data(settings.data, settings.seed)
    plan = plan_parts(settings, triples)
    if plan.num_parts == 1:
        model, triples, _ = load(run)
        model.to(devices.choose("cpu" if settings.training.device == "cpu" else "auto"))
    else:
        model = bare_model(settings, 2 * plan.size, triples.num_relations)
        checkpoint.check(Path(run) / "best", triples.fingerprint())
    return _rank_best(Path(run), model, triples, split, plan), triples


def _rank_best(run: Path, model: KGEModel, triples: Triples, split: str, plan: Plan) -> Ranks:
    if plan.num_parts == 1:
        return rank(model, triples, split)
    Checkpoint(run / "best").load_rest(model)
    return rank_parts(model, run / "best", triples, split)


def _settings(run: str | Path) -> EmbeddingSettings:
    path = Path(run) / "settings.json"
    if not path.is_file():
        raise InputError(f"{run}: there is no run of `kemm kg train`")
    try:
        return EmbeddingSettings.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise InputError(f"{path}: no settings of this version ('{where}': {fault['msg']}); train it again") from None


def load(run: str | Path) -> tuple[KGEModel, Triples, EmbeddingSettings]:
    """Return the best model of a run, its triples and its settings.

    Raises:
        InputError: there is no run, or its data are no longer those that it was trained on.
    """
    settings = _settings(run)
    triples = read_data(settings.data, settings.seed)
    model = build(settings, triples)
    checkpoint.load_model(Path(run) / "best", model, triples.fingerprint())
    model.eval()
    return model, triples, settings
