"""Ablation: a run without each of its parts in turn, and what that does to the questions held out of it.

    kemm ablate configs/quickstart.yaml --out ablation --seed 0 --seed 1 --seed 2
    kemm ablate configs/quickstart.yaml --out ablation --table docs/results.md

For each seed the world is prepared once and every variant is trained on the same batches from the same starting
weights. A variant leaves a file in ``out/results`` when it is done, with each held-out question's outcome; what has
one is not run again, and a training that was stopped goes on from its checkpoint: the command may be stopped at any
time. The second command trains nothing: it writes what is finished into a page.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from kemm.data.training_data import TrainingData
from kemm.data.world import World
from kemm.evaluate.ablation_table import Row, summarise
from kemm.evaluate.conditions import CONDITIONS
from kemm.evaluate.results_page import ablation_part, put
from kemm.progress import Progress
from kemm.settings import Settings
from kg.errors import InputError

WHOLE, NO_KNOWLEDGE = "whole", "trained without knowledge"
#: In the folder of results: every variant, and the objectives that it lacks.
VARIANTS = "variants.json"
#: What reads out the answers: nothing could be measured without it.
ANSWERING = "answering"
#: What an objective needs of a batch → the modalities that it is about, where that is not a modality's own name.
MODALITIES = {
    "questions": ("language", "knowledge"),
    "pictured entities": ("vision", "knowledge"),
    "edges": ("language", "knowledge"),
    "triples": ("language", "knowledge"),
    "facts": ("knowledge",),
}


def variants(settings: Settings, needs: Mapping[str, Sequence[str]]) -> dict[str, Settings]:
    """The run as it is, and without its parts.

    - ``whole``;
    - ``without X`` for each objective but ``answering``;
    - ``without A–B`` for each pair of modalities that more than one objective ties together (one alone: see above);
    - ``trained without knowledge``: no facts in training, and no objective that is about knowledge.

    Args:
        needs: objective → what it needs of a batch (``Objective.needs``), of those that train.
    """
    about = {
        name: frozenset(part for need in wanted for part in MODALITIES.get(need, (need,)))
        for name, wanted in needs.items()
        if name != ANSWERING
    }
    found = {WHOLE: settings.model_copy(deep=True)}
    for name in about:
        found[f"without {name}"] = without(settings, [name])
    for pair in combinations(sorted(frozenset().union(*about.values())), 2):
        tied = [name for name, modalities in about.items() if modalities >= set(pair)]
        if len(tied) > 1:
            found[f"without {pair[0]}–{pair[1]}"] = without(settings, tied)
    blind = without(settings, [name for name, what in about.items() if "knowledge" in what])
    if blind.objectives.answering is not None:
        blind.objectives.answering.drop = 1.0
    return found | {NO_KNOWLEDGE: blind}


def without(settings: Settings, names: Sequence[str]) -> Settings:
    """The settings without some objectives."""
    left = settings.model_copy(deep=True)
    for name in names:
        setattr(left.objectives, name, None)
    return left


def missing(settings: Settings, variant: Settings) -> list[str]:
    """The objectives that a variant does not have."""
    left = variant.objectives
    return [name for name, part in settings.objectives if part is not None and getattr(left, name) is None]


def run(
    settings: Settings, out: Path, seeds: Sequence[int], only: Sequence[str], progress: Progress | None = None
) -> list[Row]:
    """Train and measure what has no result yet; write ``out/ablation.json``.

    Args:
        only: names of variants; all of them unless given.

    Returns:
        The rows of ``kemm.evaluate.ablation_table.summarise``.

    Raises:
        InputError: a variant's name is not known, the run has no ``answering``, or ``out`` holds results of other
            settings.
    """
    from kemm.progress import bars

    if progress is None:
        with bars() as shown:
            return run(settings, out, seeds, only, shown)
    if settings.objectives.answering is None:
        raise InputError("an ablation measures answers: set objectives.answering")
    for seed in seeds:
        _run_seed(settings, out, seed, only, progress)
    rows = summarise(out / "results", seeds)
    write(out / "ablation.json", json.dumps(rows, indent=1))
    return rows


def tabulate(title: str, out: Path, page: Path, config: str) -> list[Row]:
    """Write the tables of what is finished in ``out`` into the title's part of a Markdown page; train nothing.

    Raises:
        InputError: the whole has no result yet, or results are of different steps; the page's marks don't match.
    """
    rows = summarise(out / "results")
    if not any(row["variant"] == WHOLE for row in rows):
        raise InputError(f"{out} has no result of '{WHOLE}' yet: run `kemm ablate` without --table first")
    if len({row["steps"] for row in rows}) > 1:
        raise InputError(f"{out} holds results of different steps: they can't be compared; give each its own --out")
    before = page.read_text(encoding="utf-8") if page.is_file() else "# Results\n"
    write(page, put(before, f"kemm ablate: {title}", ablation_part(title, config, rows, known(out))))
    return rows


def _run_seed(settings: Settings, out: Path, seed: int, only: Sequence[str], progress: Progress) -> None:
    from kemm.pretrain import prepare
    from kemm.pretrain.build import build_task

    settings = settings.model_copy(deep=True)
    settings.train.seed, settings.run = seed, out / "world"
    names = [name for name, part in settings.objectives if part is not None and part.weight != 0]
    if _is_finished(settings, out, seed, only):
        return
    world, data = prepare(settings, progress)
    try:
        parts = build_task(settings, world, data.vocabulary).parts()
        chosen = variants(settings, {name: parts[name].needs for name in names})
        for unknown in set(only) - chosen.keys():
            raise InputError(f"no variant is called '{unknown}': there are {', '.join(chosen)}")
        left_out = {name: missing(settings, variant) for name, variant in chosen.items()}
        write(out / VARIANTS, json.dumps(left_out, indent=1))
        for name in only or chosen:
            file, mark = result_file(out, name, seed), fingerprint(chosen[name])
            if file.is_file():
                _check(file, mark)
                continue
            folder = out / "runs" / file.stem
            conditions = CONDITIONS if name == WHOLE else ("full", "none")
            found = measure(world, data, chosen[name], folder, conditions, progress, name)
            write(file, json.dumps({"variant": name, "seed": seed, "settings": mark, **found}))
            shutil.rmtree(folder)
    finally:
        world.close()


def measure(
    world: World,
    data: TrainingData,
    settings: Settings,
    folder: Path,
    conditions: Sequence[str],
    progress: Progress,
    name: str = "",
) -> dict[str, Any]:
    """Pre-train as ``settings`` say on prepared data, and answer the held-out questions under each condition.

    Returns:
        ``questions``, ``types``, ``held_out`` of each, ``right``: condition → 0 or 1 each; ``losses``: the last ones;
        ``steps``; ``validation``: the accuracy on the ``dev`` questions where all conditions are asked for, else None.
    """
    from kemm.evaluate.calibration import calibrate
    from kemm.evaluate.knowledge_vqa import KnowledgeVQA
    from kemm.predict.reader import Calibration, Reader
    from kemm.pretrain.build import build_task
    from kemm.pretrain.loop import fit

    task = build_task(settings, world, data.vocabulary)
    tick, done = progress(f"pre-train, {name}" if name else "pre-train", settings.train.steps), 0

    def show(step: int, losses: dict[str, float]) -> None:
        nonlocal done
        tick(step - done, f"loss {losses['total']:.2f}")
        done = step

    batches = data.batch.asked_as(settings.objectives.answering)
    fitted = fit(task, batches, settings.train, folder / "checkpoint", progress=show)
    reader = Reader(task, world, data.vocabulary, Calibration())
    reader.calibration = calibrate(reader, data)
    asked = [question for question in data.questions if question.split == "test"]
    benchmark = KnowledgeVQA(asked)
    results = {condition: benchmark.run(reader, condition, progress) for condition in conditions}
    dev = [question for question in data.questions if question.split == "dev"]
    validation = None
    if dev and set(conditions) == set(CONDITIONS):
        validation = KnowledgeVQA(dev).run(reader, "full", progress).accuracy()["accuracy"]
    return {
        "questions": [question.id for question in asked],
        "types": [question.type for question in asked],
        "held_out": [question.held_out[-1] for question in asked],
        "right": {name: [int(record.right) for record in result.records] for name, result in results.items()},
        "losses": {name: values[-1][1] for name, values in fitted["losses"].items()},
        "steps": settings.train.steps,
        "validation": validation,
    }


def fingerprint(settings: Settings) -> str:
    """What says whether two results are of the same settings; where the run lies doesn't count."""
    described = settings.model_dump(mode="json", exclude={"run": True, "title": True})
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def result_file(out: Path, variant: str, seed: int) -> Path:
    return out / "results" / f"{variant.replace(' ', '-').replace('–', '-')}-{seed}.json"


def _is_finished(settings: Settings, out: Path, seed: int, only: Sequence[str]) -> bool:
    """Whether every variant asked for has its result, so that the seed's world need not be prepared again."""
    if not (out / VARIANTS).is_file():
        return False
    files = [result_file(out, name, seed) for name in {WHOLE, *(only or known(out))}]
    if not all(file.is_file() for file in files):
        return False
    _check(result_file(out, WHOLE, seed), fingerprint(settings))
    return True


def known(out: Path) -> dict[str, list[str]]:
    """Every variant of the run that left ``out``, and the objectives that it lacks."""
    found: dict[str, list[str]] = json.loads((out / VARIANTS).read_text(encoding="utf-8"))
    return found


def _check(file: Path, mark: str) -> None:
    if json.loads(file.read_text(encoding="utf-8"))["settings"] != mark:
        raise InputError(f"{file} is of other settings: give another --out, or delete it to measure again")


def write(file: Path, text: str) -> None:
    """Whole, or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, file)
