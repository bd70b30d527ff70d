"""The commands ``retriever train`` and ``retriever measure``: learning from questions with answers, and how well."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kemm.cli import screen
from kemm.cli.screen import Json
from kemm.cli.stores import Store

Questions = Annotated[
    Path,
    typer.Argument(
        help="TSV (question, answers joined by |, topic) or JSON lines (question, answers, topic)", show_default=False
    ),
]
Index = Annotated[Path, typer.Option("--index", help="Folder that `kemm index` wrote")]
Limit = Annotated[int, typer.Option("-k", min=1, help="Most facts, in the figures")]

retriever_commands = typer.Typer(no_args_is_help=True, help="Retrievers that learn from questions with answers.")


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    app.add_typer(retriever_commands, name="retriever")


@retriever_commands.command("train")
def train(
    questions: Questions,
    store: Store,
    index: Index,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for what is learned; `kemm retrieve --retriever` takes it")
    ],
    parts: Annotated[
        str, typer.Option("--parts", help="What to learn, joined by commas: paths, linker, facts, fusion, cross")
    ] = "paths",
    hops: Annotated[int, typer.Option("--hops", min=1, max=4, help="Longest path from a question to its answer")] = 3,
    limit: Limit = 32,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Batches to learn for")] = 600,
    seed: Annotated[int, typer.Option("--seed", help="Of what is drawn")] = 0,
    json: Json = False,
) -> None:
    """Learn what questions mean from their answers; print how it does on other entities' questions.

    paths: which relations a question asks for. linker: what its topic's name means in a sentence. facts, fusion, cross:
    which fact answers a question that names nothing, by a ranker, by weights of the searches, by reading both together.
    """
    with screen.work(json):
        from kemm import retriever_training

        named = [part.strip() for part in parts.split(",") if part.strip()]
        result = retriever_training.train(questions, store, index, out, named, hops, limit, rounds, seed)

    def people() -> None:
        _beside(result)
        if "facts" in result:
            screen.line("Facts found by a question's text alone:")
            _beside(result["facts"])
        screen.line(
            f"{', '.join(result['learned'])} learned from {result['parts']['learn']:,} questions; kept in {out}"
        )

    screen.show(result, json, people)


@retriever_commands.command("measure")
def measure(
    questions: Questions,
    store: Store,
    index: Index,
    retriever: Annotated[
        Path | None, typer.Option("--retriever", help="Folder that `kemm retriever train` wrote; else untrained")
    ] = None,
    limit: Limit = 32,
    json: Json = False,
) -> None:
    """Ask questions with known answers; print the shares that were linked, answered among the facts, answered first.

    Give questions about entities that the retriever has not learned from. Only those with a topic that the store has
    count as linked or not. With an index of facts, how often a fact that answers is found by the question's text alone.
    """
    with screen.work(json):
        from kemm import retriever_training

        result = retriever_training.measure(questions, store, index, retriever, limit)

    def people() -> None:
        facts = result.get("facts", {})
        screen.table(
            ("asked", "figure", "value"),
            [("retrieve", name, result[name]) for name in ("questions", "linked", "recall", "hits@1") if name in result]
            + [("facts alone", name, value) for name, value in facts.items()],
        )

    screen.show(result, json, people)


def _beside(result: dict[str, Any]) -> None:
    """Print the figures of a retriever that has learned below those of one that has not."""
    names = list(result["figures"])
    screen.table(
        ("", *names), [(name, *(result[name][column] for column in names)) for name in ("untrained", "figures")]
    )
