"""Entity vectors of embedding models inside pre-training: do they help the held-out questions, and by how much?

    kemm quickstart --out qs                                # or any store and index that a configuration names
    python -m benchmarks.entity_embeddings configs/quickstart.yaml --out work \\
        --set data.store=sqlite:///qs/kg.db --set data.index=qs/index --steps 120 --seeds 0 1 2
    python -m benchmarks.entity_embeddings --table work [--json]

For each seed: the edges that the seed's questions do not hold out are written as triples, embedding models are trained
on them, and one model is pre-trained under each condition, with the same questions, batches, starting weights and
steps. Every condition leaves a file when it is done, with each held-out question's outcome; what has one is not run
again, so the script may be stopped at any time. ``permuted`` is the control: the vectors of ComplEx, each given to
another entity. The interval is of the mean paired difference to no vectors, by bootstrap over the seeds and the
questions of each.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.entity_embedding_figures import BASELINE, KNOWLEDGE, summarise, table
from kemm.evaluate.ablation import write

#: condition → (embedding model, mode); ``permuted`` takes ComplEx's vectors.
CONDITIONS: dict[str, tuple[str, str] | None] = {
    BASELINE: None,
    "ComplEx, frozen": ("complex", "frozen"),
    "ComplEx, tuned": ("complex", "tuned"),
    "permuted ComplEx, frozen": ("permuted", "frozen"),
    "TransE, frozen": ("transe", "frozen"),
}
#: embedding model → its settings; one setting was tried, nothing was tuned.
NEGATIVES = {"kind": "negatives", "count": 64, "shared": True}
TRAINING: dict[str, dict[str, Any]] = {
    "complex": {
        "model": {"name": "complex", "dimension": 50},
        "training": {"objective": {**NEGATIVES, "loss": "softmax"}, "regularizer": "n3", "weight": 0.01},
    },
    "transe": {
        "model": {"name": "transe", "dimension": 100},
        "training": {"objective": {**NEGATIVES, "loss": "sigmoid", "margin": 9.0, "adversarial": 1.0}},
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="?", help="a world's settings, such as configs/quickstart.yaml")
    parser.add_argument("--out", type=Path, help="folder for everything that is made")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, help="of pre-training (default: the configuration's)")
    parser.add_argument("--epochs", type=int, default=12, help="of the embedding models")
    parser.add_argument("--only", action="append", help="a condition; may be given many times (default: all)")
    parser.add_argument("--table", type=Path, metavar="OUT", help="print what is finished there, and run nothing")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.table is not None:
        figures = summarise(given.table, tuple(CONDITIONS))
        print(json.dumps(figures, indent=1) if given.json else table(figures))
        return
    if given.config is None or given.out is None:
        parser.error("give a configuration and --out, or --table")
    for unknown in set(given.only or ()) - CONDITIONS.keys():
        parser.error(f"no condition is called {unknown!r}; there are {', '.join(CONDITIONS)}")
    for seed in given.seeds:
        run_seed(given, seed)


# ── the runs ──────────────────────────────────────────────────────────────────────────────────────────────────────


def run_seed(given: argparse.Namespace, seed: int) -> None:
    """All conditions of one world and seed that have no result yet; the world is prepared once for all of them."""
    from kemm.config import load
    from kemm.pretrain import prepare
    from kemm.settings import EntityEmbeddings, Settings

    out = given.out / given.config.stem
    steps = [f"train.steps={given.steps}"] if given.steps else []
    places = [f"run={out / 'run'}", f"train.seed={seed}", "train.checkpoint_every=40"]
    settings = load(given.config, Settings, [*given.overrides, *places, *steps]).settings
    conditions = given.only or list(CONDITIONS)
    missing = [name for name in conditions if not result_file(out, seed, name).is_file()]
    if not missing:
        return
    runs = {
        name: embed(settings, out / f"seed-{seed}", name, seed, given.epochs)
        for name in ("complex", "permuted", "transe")
    }
    note(f"{given.config.stem}, seed {seed}: prepare")
    settings.model.entity_embeddings = EntityEmbeddings(run=runs["complex"])  # all runs number the entities alike
    world, data = prepare(settings, progress)
    for name in missing:
        started = time.process_time()
        described = measure(world, data, CONDITIONS[name], runs, out / f"seed-{seed}" / slug(name))
        described |= {"world": given.config.stem, "seed": seed, "condition": name, "steps": settings.train.steps}
        described |= {"cpu_seconds": round(time.process_time() - started, 1)}
        write(result_file(out, seed, name), json.dumps(described))
        full = described["right"]["full"]
        note(f"{name}: {sum(full) / len(full):.3f} of {len(full)}, {described['cpu_seconds']} processor seconds")
    world.close()


def embed(settings: Any, folder: Path, name: str, seed: int, epochs: int) -> Path:
    """Train an embedding model on the edges that are not held out, or return the run that is there."""
    from kemm.data.questions import Holdout
    from kemm.data.training_triples import write_training_triples
    from kg.embeddings.runs import train
    from kg.embeddings.settings import EmbeddingSettings
    from kg.store.graph import KnowledgeGraph

    run = folder / "embeddings" / name
    if (run / "done.json").is_file():
        return run
    if name == "permuted":
        permute(folder / "embeddings" / "complex", run, seed)
        write(run / "done.json", "{}")
        return run
    triples = folder / "triples"
    if not triples.exists():
        with KnowledgeGraph.open(settings.data.store, create=False) as graph:
            note(f"triples: {write_training_triples(graph, Holdout(settings.questions, seed), triples)}")
    common = {"epochs": epochs, "batch": 500, "learning_rate": 0.1}
    described = {**TRAINING[name], "training": {**common, **TRAINING[name]["training"]}}
    places = {"data": {"folder": str(triples)}, "run": str(run), "seed": seed, "evaluation": {"every": 4, "limit": 200}}
    found = train(EmbeddingSettings.model_validate({**described, **places}), note=note)
    write(run / "done.json", json.dumps({"valid": found["valid"]}))
    return run


def permute(source: Path, run: Path, seed: int) -> None:
    """Copy a run, each entity's vector given to another."""
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(source, run, ignore=shutil.ignore_patterns("last", "done.json"))
    state = load_file(run / "best" / "model.safetensors")
    order = torch.randperm(len(state["entities"]), generator=torch.Generator().manual_seed(seed))
    state["entities"] = state["entities"][order].contiguous()
    save_file(state, run / "best" / "model.safetensors")


def measure(world: Any, data: Any, condition: tuple[str, str] | None, runs: dict[str, Path], folder: Path) -> Any:
    """Pre-train under one condition and answer the held-out questions with and without knowledge."""
    from kemm.data.entity_vectors import EntityVectors
    from kemm.evaluate import ablation
    from kemm.settings import EntityEmbeddings

    settings, vectors = world.settings.model_copy(deep=True), world.entity_vectors
    settings.model.entity_embeddings = None
    world.entity_vectors = None
    if condition is not None:
        settings.model.entity_embeddings = EntityEmbeddings.model_validate(
            {"run": runs[condition[0]], "mode": condition[1]}
        )
        world.entity_vectors = EntityVectors.open(runs[condition[0]])
        assert world.entity_vectors.names == vectors.names
    found = ablation.measure(world, data, settings, folder, KNOWLEDGE, progress)
    world.entity_vectors = vectors
    return found


# ── small things ──────────────────────────────────────────────────────────────────────────────────────────────────


def result_file(out: Path, seed: int, name: str) -> Path:
    return out / "results" / f"{slug(name)}-{seed}.json"


def slug(name: str) -> str:
    return name.replace(",", "").replace(" ", "-").lower()


def note(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, file=sys.stderr, flush=True)


def progress(name: str, total: int) -> Any:
    """A line at each tenth, for a log."""
    done = shown = 0

    def tick(count: int, text: str = "") -> None:
        nonlocal done, shown
        done += count
        if total and done * 10 // total > shown:
            shown = done * 10 // total
            note(f"{name}: {done} of {total}")

    return tick


if __name__ == "__main__":
    main()
