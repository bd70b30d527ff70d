"""Pre-training: from settings to a run's folder.

A run's folder holds ``settings.yaml`` (as used), ``questions.jsonl``, ``checkpoint/``, ``features/`` and, when it is
finished, ``run.json`` (vocabulary, calibration, losses, sizes).
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kemm import processes

if TYPE_CHECKING:
    from kemm.data.training_data import TrainingData
    from kemm.data.world import World
    from kemm.progress import Progress
    from kemm.settings import Settings


def run(settings: Settings, resume: bool = True, progress: Progress | None = None) -> dict[str, Any]:
    """Train a run, or go on with it, calibrate it, and describe it in ``run.json``.

    Returns:
        What ``run.json`` holds besides the curves: steps, seconds, parameters, questions by split, final losses. Of
        several processes (`kemm.processes`) the first alone calibrates, describes and returns it, the others {}.

    Raises:
        KemmError: store, index, pictures or settings don't allow it; says what to do.
    """
    from kemm.progress import bars, silent

    if progress is None:
        with bars() as shown:
            return run(settings, resume, shown if processes.is_first() else silent)

    with processes.first_alone():
        world, data = prepare(settings, progress)
    try:
        return train(world, data, resume, progress)
    finally:
        world.close()
        processes.leave()


def prepare(settings: Settings, progress: Progress) -> tuple[World, TrainingData]:
    """Open the world and generate what is trained on; writes ``settings.yaml`` and ``questions.jsonl``."""
    import yaml

    from kemm.data.questions import save_questions
    from kemm.data.training_data import TrainingData
    from kemm.data.world import World

    world = World(settings)
    data = TrainingData(world, progress)
    if processes.is_first():
        settings.run.mkdir(parents=True, exist_ok=True)
        (settings.run / "settings.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))
        save_questions(data.questions, settings.run / "questions.jsonl")
    return world, data


def train(world: World, data: TrainingData, resume: bool, progress: Progress) -> dict[str, Any]:
    """Train on prepared data, calibrate, and describe the run in ``run.json``; see ``run``."""
    from kemm.evaluate.calibration import calibrate
    from kemm.fuse.pretrained import start_from
    from kemm.predict.reader import Calibration, Reader
    from kemm.pretrain.build import build_task
    from kemm.pretrain.loop import fit

    settings = world.settings
    task = build_task(settings, world, data.vocabulary)
    if settings.model.start is not None:
        start_from(task.model, settings.model.start)
        if task.slow is not None:
            task.slow.copy.load_state_dict(task.model.state_dict())
    task.check(data.batch.kinds)
    held_out = data.batch.held_out() if settings.train.held_out_every else []
    tick = progress("pre-train", settings.train.steps)
    shown_until = 0

    def show(step: int, losses: dict[str, float]) -> None:
        nonlocal shown_until
        tick(step - shown_until, f"loss {losses['total']:.2f}")
        shown_until = step

    trained = fit(task, data.batch, settings.train, settings.run / "checkpoint", resume, show, held_out)
    if not processes.is_first():
        return {}
    reader = Reader(task, world, data.vocabulary, Calibration()) if "answering" in task.objectives else None
    calibration = calibrate(reader, data) if reader is not None else Calibration()
    samples = (trained["steps"] - trained["first"]) * data.batch.size * processes.count()
    described = {
        "vocabulary": list(data.vocabulary),
        "calibration": asdict(calibration),
        "kg_version": world.graph.version,
        "store": world.graph.uuid,
        "link_prediction": data.edges.evaluate(task, progress) if data.edges is not None else None,
        "training": {
            **trained,
            "samples_per_second": round(samples / max(trained["seconds"], 1e-9), 1),
            "parameters": sum(parameter.numel() for parameter in task.parameters()),
            "trainable": sum(parameter.numel() for parameter in task.parameters() if parameter.requires_grad),
            "weights": {name: getattr(settings.objectives, name).model_dump()["weight"] for name in task.weights},
        },
        "questions": {split: sum(q.split == split for q in data.questions) for split in ("train", "dev", "test")},
        "relations": {relation: len(wording.ask) for relation, wording in data.relations.items()},
    }
    partial = settings.run / "run.json.partial"
    partial.write_text(json.dumps(described, indent=1))
    os.replace(partial, settings.run / "run.json")
    final = {name: values[-1][1] for name, values in trained["losses"].items()}
    return {
        "run": str(settings.run),
        "steps": trained["steps"],
        "seconds": round(trained["seconds"], 1),
        "parameters": sum(parameter.numel() for parameter in task.parameters()),
        "questions": described["questions"],
        "losses": final,
    }
