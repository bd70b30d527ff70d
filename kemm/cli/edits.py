"""Commands that edit a store: ``kg add``, ``retract``, ``merge`` and ``undo``. Each makes one version and prints it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from kemm.cli import screen, stores, terms
from kemm.cli.screen import Json
from kemm.cli.stores import Author, Note, Source, Store
from kemm.cli.terms import Head, Relation


def register(kg_commands: typer.Typer) -> None:
    """Add the commands of this file to ``kemm kg``."""
    for command in (add, retract, merge, undo):
        kg_commands.command()(command)


def add(
    head: Head,
    relation: Relation,
    tail: Annotated[str, typer.Argument(help="An IRI or a unique label; a value with --literal", show_default=False)],
    store: Store,
    source: Source,
    literal: Annotated[bool, typer.Option("--literal", help="The tail is a value, not an entity")] = False,
    datatype: Annotated[str | None, typer.Option("--datatype", help="Of a value: `integer`, or an IRI")] = None,
    language: Annotated[str | None, typer.Option("--language", help="Of a text: `en`")] = None,
    unit: Annotated[str | None, typer.Option("--unit", help="Of a number: `g`")] = None,
    author: Author = "",
    note: Note = "",
    json: Json = False,
) -> None:
    """Add one fact; prints the store's new version."""
    with stores.existing(store, json) as graph:
        subject, predicate = terms.entity(graph, head, "head"), terms.relation(graph, relation)
        if literal or datatype or language or unit:
            end: Any = terms.literal(tail, datatype, language, unit)
        else:
            end = terms.entity(graph, tail, "tail (a new entity is written as an IRI, a value needs --literal)")
        before = graph.version
        version = graph.add(subject, predicate, end, source=source, author=author, note=note)
    result = {"version": version, "added": int(version != before), "head": subject, "relation": predicate, "tail": end}
    already = "" if result["added"] else ": the fact was there already"
    screen.show(result, json, lambda: screen.line(f"version {version}{already}"))


def retract(
    head: Head,
    relation: Relation,
    store: Store,
    tail: Annotated[str | None, typer.Argument(help="By default, every tail there is", show_default=False)] = None,
    source: Annotated[str, typer.Option("--source", help="Only what this source says")] = "",
    author: Author = "",
    note: Note = "",
    json: Json = False,
) -> None:
    """Retract the facts that match; prints the store's new version. Older versions can still be read."""
    with stores.existing(store, json) as graph:
        subject, predicate = terms.entity(graph, head, "head"), terms.relation(graph, relation)
        if tail is None:
            gone = list(graph.triples(head=subject, relation=predicate))
            version = graph.retract(subject, predicate, source=source, author=author, note=note)
        else:
            gone = terms.tails(graph, subject, predicate, tail)
            with graph.edit(source, note, author, "retract") as edit:
                for end in dict.fromkeys(statement.tail for statement in gone):
                    edit.retract(subject, predicate, end, source=source)
            version = graph.version
        facts = screen.facts(graph, [statement for statement in gone if source in ("", statement.source)])

    def people() -> None:
        screen.line(f"version {version}")
        screen.table(("retracted", "", "", "source"), [(*fact["labels"], fact["source"]) for fact in facts])

    screen.show({"version": version, "retracted": facts}, json, people)


def merge(
    keep: Annotated[str, typer.Argument(help="An IRI or a unique label", show_default=False)],
    drop: Annotated[str, typer.Argument(help="The entity that becomes the first", show_default=False)],
    store: Store,
    source: Source,
    author: Author = "",
    note: Note = "",
    json: Json = False,
) -> None:
    """Make one entity of two; prints the store's new version."""
    with stores.existing(store, json) as graph:
        ends = graph.resolve(keep), graph.resolve(drop)
        version = graph.merge(*ends, source=source, author=author, note=note)
    result = {"version": version, "keep": ends[0], "drop": ends[1]}
    screen.show(result, json, lambda: screen.line(f"version {version}: <{ends[1]}> is now <{ends[0]}>"))


def undo(
    store: Store,
    version: Annotated[int | None, typer.Argument(help="By default the last", show_default=False)] = None,
    source: Annotated[str, typer.Option("--source", help="Who says so")] = "",
    author: Author = "",
    note: Note = "",
    json: Json = False,
) -> None:
    """Reverse what a version did, as a new version, which is printed."""
    with stores.existing(store, json) as graph:
        undone = graph.version if version is None else version
        made = graph.undo(undone, source=source, author=author, note=note)
    screen.show({"version": made, "undone": undone}, json, lambda: screen.line(f"version {made}: {undone} undone"))
