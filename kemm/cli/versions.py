"""Commands on the versions of a store: ``kg log``, ``diff`` and ``blame``."""

from __future__ import annotations

from typing import Annotated

import typer

from kemm.cli import screen, stores, terms
from kemm.cli.screen import Json
from kemm.cli.stores import Limit, Store
from kemm.cli.terms import Head, Relation


def register(kg_commands: typer.Typer) -> None:
    """Add the commands of this file to ``kemm kg``."""
    for command in (log, diff, blame):
        kg_commands.command()(command)


def log(store: Store, limit: Limit = 20, json: Json = False) -> None:
    """List the versions of a store, the newest first."""
    with stores.existing(store, json) as graph:
        versions = sorted(graph.log(), key=lambda version: -version["id"])[:limit]
        result = {"version": graph.version, "versions": versions}
    columns = list(versions[0]) if versions else ["version"]
    rows = [[version[name] for name in columns] for version in versions]
    screen.show(result, json, lambda: screen.table(columns, rows))


def diff(
    old: Annotated[int, typer.Argument(help="A version", show_default=False)],
    store: Store,
    new: Annotated[int | None, typer.Argument(help="Another; by default the last", show_default=False)] = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Print what holds at one version and not at another."""
    with stores.existing(store, json) as graph:
        said = dict(zip(("added", "retracted"), graph.diff(old, new)))
        counts = {name: len(statements) for name, statements in said.items()}
        facts = {name: screen.facts(graph, statements[:limit]) for name, statements in said.items()}

    def people() -> None:
        marked = [(mark, fact) for mark, name in (("+", "added"), ("-", "retracted")) for fact in facts[name]]
        rows = [(mark, *fact["labels"], fact["source"]) for mark, fact in marked]
        screen.table(("", "head", "relation", "tail", "source"), rows[:limit])
        screen.line(f"{counts['added']:,} added, {counts['retracted']:,} retracted")

    screen.show({**facts, "counts": counts}, json, people)


def blame(
    head: Head,
    relation: Relation,
    tail: Annotated[str, typer.Argument(help="An IRI, a unique label or a value", show_default=False)],
    store: Store,
    json: Json = False,
) -> None:
    """Print who stated a fact, and in which versions it came and went."""
    with stores.existing(store, json) as graph:
        subject, predicate = terms.entity(graph, head, "head"), terms.relation(graph, relation)
        said = terms.with_tail(graph, graph.history(subject, predicate), tail)
        versions = {row["id"]: row for row in graph.log()}
        tails = [fact["labels"][2] for fact in screen.facts(graph, said)]
    result = [
        {
            "tail": str(one.tail),
            "source": one.source,
            "added": versions[one.added],
            "retracted": versions[one.retracted] if one.retracted else None,
        }
        for one in said
    ]

    def when(version: int | None) -> str:
        about = versions.get(version or 0, {})
        by = f" by {about['author']}" if about.get("author") else ""
        return f"{version} ({about['action']}{by}, {about['time']})" if about else ""

    rows = [(tail, s.source, when(s.added), when(s.retracted)) for tail, s in zip(tails, said, strict=True)]
    screen.show({"statements": result}, json, lambda: screen.table(("tail", "source", "added", "retracted"), rows))
