"""Commands on embedding models: ``kg train``, ``rank``, ``classify`` and ``combine``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kemm.cli import screen
from kemm.cli.screen import Json

Config = Annotated[Path, typer.Argument(help="A YAML of settings, such as those in configs/kg", show_default=False)]
Run = Annotated[Path, typer.Option("--run", help="Folder that `kemm kg train` wrote", show_default=False)]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Replace one setting; may be given many times")
]


def register(kg_commands: typer.Typer) -> None:
    """Add the commands of this file to ``kemm kg``."""
    kg_commands.command()(train)
    kg_commands.command()(rank)
    kg_commands.command()(classify)
    kg_commands.command()(combine)


def train(
    config: Config,
    overrides: Overrides = [],  # noqa: B006 - typer hands over a fresh list
    resume: Annotated[bool, typer.Option(help="Go on from the run's last checkpoint")] = True,
    test: Annotated[
        bool, typer.Option("--test", help="Rank the test split at the end: once, when all is chosen")
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", min=0.0, help="Stop after so many, with a checkpoint", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Train an embedding model as a settings file says; Ctrl-C stops after a checkpoint, the same command goes on."""
    import time

    from kemm.config import load
    from kg.embeddings.settings import EmbeddingSettings

    settings = load(config, EmbeddingSettings, overrides).settings
    with screen.work(json):
        from kg.embeddings.memory import keep_freed_memory
        from kg.embeddings.runs import train as run

        keep_freed_memory()
        options: dict[str, Any] = {"minutes": minutes, "clock": time.monotonic, "note": screen.note}
        result = run(settings, resume=resume, test=test, **options)

    def people() -> None:
        if "stopped" in result:
            place = result["stopped"]
            screen.line(f"stopped in epoch {place['epoch']} after step {place['step']}; the same command goes on")
            return
        screen.line(f"{result['epochs']} epochs; the best model is in {result['run']}/best")
        splits = {name: result[name] for name in ("valid",) if result[name]}
        if "test" in result:
            splits["test"] = result["test"]["both"]
        _table(splits)

    screen.show(result, json, people)


def rank(
    run: Annotated[
        Path, typer.Option("--run", help="Folder that `kemm kg train` or `kemm kg combine` wrote", show_default=False)
    ],
    split: Annotated[str, typer.Option("--split", help="Which triples to rank")] = "valid",
    json: Json = False,
) -> None:
    """Rank the triples of a split with a run's best model, both sides, known answers left out."""
    with screen.work(json):
        from kg.embeddings.figures import figures
        from kg.embeddings.runs import rank_run

        result = figures(*rank_run(run, split))

    def people() -> None:
        _table({name: result[name] for name in ("both", "tails", "heads", "optimistic", "pessimistic")})
        for what in ("pattern", "cardinality"):
            rows = [
                (name, found["relations"], *(found[side].get("mrr") for side in ("tails", "heads")))
                for name, found in result[f"by_{what}"].items()
            ]
            screen.table((what, "relations", "MRR of tails", "of heads"), rows)
        rows = [(degree, found["count"], found.get("mrr")) for degree, found in result["by_degree"].items()]
        screen.table(("degree in training", "ranks", "MRR"), rows)

    screen.show(result, json, people)


def classify(
    run: Run,
    negatives: Annotated[
        Path | None,
        typer.Option("--negatives", help="Folder with valid_negatives and test_negatives (default: the run's data)"),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Which triples to classify: valid or test")] = "valid",
    json: Json = False,
) -> None:
    """Tell true triples from false ones, by a threshold for each relation that is fitted on the validation split."""
    with screen.work(json):
        from kg.embeddings import classification
        from kg.embeddings.runs import load
        from kg.embeddings.sources import read_negatives
        from kg.errors import InputError

        model, triples, settings = load(run)
        folder = negatives or settings.data.folder
        if folder is None:
            raise InputError("the run's data are a store: name the folder with false triples by --negatives")
        false = read_negatives(folder, triples, columns=settings.data.columns)
        if split not in false:
            raise InputError(f"there are false triples for valid and test, not for '{split}'")
        thresholds = classification.fit(model, triples["valid"], false["valid"])
        result = classification.classify(model, triples[split], false[split], thresholds)
        result["by_relation"] = {triples.relations[r]: found for r, found in result["by_relation"].items()}

    def people() -> None:
        figures = ("accuracy", "precision", "recall", "f1")
        rows = [(name, *(found[figure] for figure in figures)) for name, found in kinds.items()]
        screen.table(("thresholds", *figures), rows)
        columns = ("count", "threshold", "accuracy")
        rows = [(name, *(found[column] for column in columns)) for name, found in result["by_relation"].items()]
        screen.table(("relation", *columns), rows)

    kinds = {"one a relation": result, "a single one": result["single"]}
    screen.show(result, json, people)


def combine(
    runs: Annotated[list[Path], typer.Argument(help="Folders that `kemm kg train` wrote", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Folder to write the weights to")],
    hops: Annotated[int, typer.Option(min=0, help="Weigh distances in the training graph up to this; 0: don't")] = 0,
    by_relation: Annotated[
        bool, typer.Option("--by-relation/--shared", help="Weights of each relation beside those that all share")
    ] = True,
    test: Annotated[bool, typer.Option("--test", help="Rank the test split: once, when all is chosen")] = False,
    json: Json = False,
) -> None:
    """Weigh the scores of trained models on the validation split, so that together they rank best."""
    with screen.work(json):
        from kg.embeddings.combined_runs import combine as run

        result = run(runs, out, hops=hops, by_relation=by_relation, test=test)

    def people() -> None:
        screen.line(f"the weights are in {result['run']}")
        _table({"valid (fitted on it)": result["valid"], **({"test": result["test"]["both"]} if test else {})})

    screen.show(result, json, people)


_FIGURES = ("count", "mrr", "hits@1", "hits@3", "hits@10", "mean_rank", "amri")


def _table(parts: dict[str, dict[str, Any]]) -> None:
    rows = [(name, *(found.get(figure) for figure in _FIGURES)) for name, found in parts.items()]
    screen.table(("", *_FIGURES), rows)
