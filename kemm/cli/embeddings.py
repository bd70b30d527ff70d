"""Commands on embedding models: ``kg train``, ``kg rank`` and ``kg combine``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kemm.cli import screen
from kemm.cli.screen import Json

Config = Annotated[Path, typer.Argument(help="A YAML of settings, such as those in configs/kg", show_default=False)]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Replace one setting; may be given many times")
]


def register(kg_commands: typer.Typer) -> None:
    """Add the commands of this file to ``kemm kg``."""
    kg_commands.command()(train)
    kg_commands.command()(rank)
    kg_commands.command()(combine)


def train(
    config: Config,
    overrides: Overrides = [],  # noqa: B006 - typer hands over a fresh list
    resume: Annotated[bool, typer.Option(help="Go on from the run's last checkpoint")] = True,
    test: Annotated[
        bool, typer.Option("--test", help="Rank the test split at the end: once, when all is chosen")
    ] = False,
    json: Json = False,
) -> None:
    """Train an embedding model as a settings file says; Ctrl-C stops after a checkpoint, the same command goes on."""
    from kemm.config import load
    from kg.embeddings.settings import EmbeddingSettings

    settings = load(config, EmbeddingSettings, overrides).settings
    with screen.work(json):
        from kg.embeddings.memory import keep_freed_memory
        from kg.embeddings.runs import train as run

        keep_freed_memory()
        result = run(settings, resume=resume, test=test, note=screen.note)

    def people() -> None:
        screen.line(f"{result['epochs']} epochs; the best model is in {result['run']}/best")
        splits = {name: result[name] for name in ("valid",) if result[name]}
        if "test" in result:
            splits["test"] = result["test"]["both"]
        _table(splits)

    screen.show(result, json, people)


def rank(
    run: Annotated[Path, typer.Option("--run", help="Folder that `kemm kg train` wrote")],
    split: Annotated[str, typer.Option("--split", help="Which triples to rank")] = "valid",
    json: Json = False,
) -> None:
    """Rank the triples of a split with a run's best model, both sides, known answers left out."""
    with screen.work(json):
        from kg.embeddings.figures import figures
        from kg.embeddings.ranking import rank as rank_split
        from kg.embeddings.runs import load

        model, triples, _ = load(run)
        result = figures(rank_split(model, triples, split), triples)

    def people() -> None:
        _table({name: result[name] for name in ("both", "tails", "heads", "optimistic", "pessimistic")})
        rows = [
            (pattern, found["relations"], *(found[side].get("mrr") for side in ("tails", "heads")))
            for pattern, found in result["by_pattern"].items()
        ]
        screen.table(("pattern", "relations", "MRR of tails", "of heads"), rows)
        rows = [(degree, found["count"], found.get("mrr")) for degree, found in result["by_degree"].items()]
        screen.table(("degree in training", "ranks", "MRR"), rows)

    screen.show(result, json, people)


def combine(
    runs: Annotated[list[Path], typer.Argument(help="Folders that `kemm kg train` wrote", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Folder to write the weights to")],
    hops: Annotated[int, typer.Option(min=0, help="Weigh distances in the training graph up to this; 0: don't")] = 0,
    test: Annotated[bool, typer.Option("--test", help="Rank the test split: once, when all is chosen")] = False,
    json: Json = False,
) -> None:
    """Weigh the scores of trained models on the validation split, so that together they rank best."""
    with screen.work(json):
        from kg.embeddings.sums import combine as run

        result = run(runs, out, hops=hops, test=test)

    def people() -> None:
        screen.line(f"the weights are in {result['run']}")
        _table({"valid (fitted on it)": result["valid"], **({"test": result["test"]["both"]} if test else {})})

    screen.show(result, json, people)


_FIGURES = ("count", "mrr", "hits@1", "hits@3", "hits@10", "mean_rank", "amri")


def _table(parts: dict[str, dict[str, Any]]) -> None:
    rows = [(name, *(found.get(figure) for figure in _FIGURES)) for name, found in parts.items()]
    screen.table(("", *_FIGURES), rows)
