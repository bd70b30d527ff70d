"""LibKGE's side of ``benchmarks/embeddings.py``: filtered ranks and 1-vs-all training, by its own jobs.

LibKGE (https://github.com/uma-pi1/kge) has no wheel: give ``--peer-python`` a Python with what its ``setup.py`` asks
for, and put a checkout of it in ``PYTHONPATH``. Its jobs run as a user's would; the first run, which builds indexes, is
not timed.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from benchmarks.embedding_measures import RANKED, STEPS, lines, timed
from benchmarks.frame import Arguments, Skipped

#: What it imports to search for hyperparameters, which is not done here.
SEARCH = (
    *("ax", "ax.modelbridge", "ax.modelbridge.generation_strategy", "ax.service", "ax.service.ax_client"),
    *("hpbandster", "hpbandster.core", "hpbandster.core.nameserver", "hpbandster.core.result"),
    *("hpbandster.core.worker", "hpbandster.optimizers", "ConfigSpace", "ConfigSpace.hyperparameters"),
)
SPLITS = ("train", "valid", "test")


def ranks_peer_libkge(given: Arguments) -> dict[str, Any]:
    """Filtered ranks of test triples, both sides."""
    count = 4 * RANKED
    config, dataset, model = _libkge(given, given["model"], limits={"test": count})
    from kge.job import EvaluationJob

    config.set_all({"eval.split": "test", "eval.batch_size": 256})
    job = EvaluationJob.create(config, dataset, model=model)

    def work() -> int:
        with contextlib.redirect_stdout(io.StringIO()):
            job.run()
        return count

    work()
    return timed(work)


def all_peer_libkge(given: Arguments) -> dict[str, Any]:
    """1-vs-all ComplEx with Adagrad: a triple is two queries."""
    count = STEPS * given["batch"] // 2
    config, dataset, model = _libkge(given, "complex", limits={"train": count})
    from kge.job import TrainingJob

    config.set_all(
        {
            "train.type": "1vsAll",
            "train.batch_size": given["batch"] // 2,
            "train.optimizer.default.type": "Adagrad",
            "train.optimizer.default.args": {"lr": 0.1},
        },
        create=True,
    )
    job = TrainingJob.create(config, dataset, model=model)
    job._prepare()

    def work() -> int:
        with contextlib.redirect_stdout(io.StringIO()):
            job.run_epoch()
        return 2 * count

    work()
    return timed(work)


def _libkge(given: Arguments, name: str, limits: dict[str, int]) -> tuple[Any, Any, Any]:
    """Configuration, data and model of LibKGE; ``limits`` says of which splits only the first triples are taken."""
    for part in SEARCH:
        sys.modules.setdefault(part, MagicMock())
    try:
        import torch
        from kge import Config, Dataset
        from kge.model import KgeModel
    except ImportError as error:
        raise Skipped(f"LibKGE can't be imported ({error}): --peer-python, PYTHONPATH") from None
    torch.set_num_threads(given["threads"])
    folder = Path(tempfile.mkdtemp())
    _write(folder, given["data"], limits)
    config = Config(folder=str(folder / "run"))
    config.init_folder()
    config._import(name)
    config.set_all({"model": name, "lookup_embedder.dim": given["dimension"] * (2 if name == "complex" else 1)})
    config.set_all({"dataset.name": "given", "console.quiet": True, "job.device": "cpu"})
    dataset = Dataset.create(config, folder=str(folder))
    return config, dataset, KgeModel.create(config, dataset)


def _write(folder: Path, data: str, limits: dict[str, int]) -> None:
    """The set as LibKGE reads it: numbered triples, names of entities and relations."""
    every = {split: lines(data, split) for split in SPLITS}
    entities = {
        e: i for i, e in enumerate(dict.fromkeys(end for rows in every.values() for h, _, t in rows for end in (h, t)))
    }
    relations = {r: i for i, r in enumerate(dict.fromkeys(r for rows in every.values() for _, r, _ in rows))}
    for split, rows in every.items():
        text = "".join(f"{entities[h]}\t{relations[r]}\t{entities[t]}\n" for h, r, t in rows[: limits.get(split)])
        (folder / f"{split}.del").write_text(text)
    for key, names in (("entity_ids", entities), ("relation_ids", relations)):
        (folder / f"{key}.del").write_text("".join(f"{number}\t{name}\n" for name, number in names.items()))
    files = dict.fromkeys(SPLITS, "triples") | {"entity_ids": "map", "relation_ids": "map"}
    listed = "".join(f"  files.{key}.filename: {key}.del\n  files.{key}.type: {kind}\n" for key, kind in files.items())
    sizes = f"  num_entities: {len(entities)}\n  num_relations: {len(relations)}\n"
    (folder / "dataset.yaml").write_text(f"dataset:\n  name: given\n{listed}{sizes}")
