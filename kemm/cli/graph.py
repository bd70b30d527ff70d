"""Commands on a store: ``ingest``, ``kg …``, ``media add``, ``link``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kemm.cli import screen, terms
from kemm.cli.screen import Json

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

Store = Annotated[
    str, typer.Option("--store", help="URL of the store: sqlite:///FILE.db or postgresql+psycopg://USER@HOST/NAME")
]
Source = Annotated[str, typer.Option("--source", help="Where this comes from; citations name it")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="Most rows to print")]

kg_commands = typer.Typer(no_args_is_help=True, help="Look into a store, and edit it.")
media_commands = typer.Typer(no_args_is_help=True, help="Pictures of entities.")


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    app.command()(ingest)
    app.add_typer(kg_commands, name="kg")
    app.add_typer(media_commands, name="media")
    app.command()(link)


def ingest(
    paths: Annotated[
        list[str],
        typer.Argument(help="Files, folders, globs, `-`; or `wordnet` or `countries`", show_default=False),
    ],
    store: Store,
    source: Annotated[str | None, typer.Option("--source", help="Where it comes from; citations name it")] = None,
    format: Annotated[str | None, typer.Option("--format", help="The reader; by default by the file's ending")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="Of the reader, as `language=en`; docs/formats.md lists them")
    ] = None,
    on_error: Annotated[
        Literal["stop", "skip"], typer.Option("--on-error", help="Stop at a bad line, or list it and go on")
    ] = "stop",
    resume: Annotated[
        bool, typer.Option("--resume", help="Commit in parts; go on where such a load was interrupted")
    ] = False,
    json: Json = False,
) -> None:
    """Read a knowledge graph into a store, all files as one version."""
    from kg.ingest import load

    options = terms.options(option or ())
    path = paths[0] if len(paths) == 1 else paths
    with screen.work(json), _new_or_existing(store, keep=resume) as graph, screen.counting("read") as progress:
        report = load(
            path,
            into=graph,
            source=source,
            format=format,
            on_error=on_error,
            progress=progress,
            resume=resume,
            **options,
        )
    for line in report.rejected:
        screen.note(line)
    if report.num_rejected > len(report.rejected):
        screen.note(f"… and {report.num_rejected - len(report.rejected):,} more")
    result = {
        "triples": report.triples,
        "literals": report.literals,
        "entities": report.entities,
        "seconds": round(report.seconds, 3),
        "triples_per_second": round(report.triples_per_second),
        "rejected": report.num_rejected,
    }
    screen.show(result, json)


@kg_commands.command()
def stats(store: Store, json: Json = False) -> None:
    """Count what is in a store."""
    with screen.work(json), _existing(store) as graph:
        result = graph.stats()
    screen.show(result, json)


@kg_commands.command()
def search(
    text: Annotated[str, typer.Argument(help="Words of a label", show_default=False)],
    store: Store,
    limit: Limit = 10,
    json: Json = False,
) -> None:
    """Find entities by their labels."""
    with screen.work(json), _existing(store) as graph:
        found = [
            {"entity": entity.iri, "label": entity.label, "description": entity.description}
            for entity in graph.search(text, limit)
        ]
    rows = [(hit["label"], hit["description"], hit["entity"]) for hit in found]
    screen.show({"entities": found}, json, lambda: screen.table(("label", "description", "entity"), rows))


@kg_commands.command()
def show(
    entity: Annotated[str, typer.Argument(help="An IRI or a unique label", show_default=False)],
    store: Store,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Print what a store says of one entity: its names, pictures and facts, out of it and into it."""
    with screen.work(json), _existing(store) as graph:
        about = graph.describe(graph.resolve(entity))
        facts = graph.neighbours(about.iri, limit=limit)[:limit]
        labels = graph.labels(sorted({term for s in facts for term in s.fact if isinstance(term, str)}))
    result: dict[str, Any] = {
        "entity": about.iri,
        "label": about.label,
        "description": about.description,
        "aliases": about.aliases,
        "types": about.types,
        "pictures": [picture.path for picture in about.pictures],
        "facts": [screen.fact(statement, labels) for statement in facts],
    }

    def people() -> None:
        screen.pairs({name: value for name, value in result.items() if name != "facts" and value})
        rows = [(*fact["labels"], fact["source"]) for fact in result["facts"]]
        screen.table(("head", "relation", "tail", "source"), rows)

    screen.show(result, json, people)


@kg_commands.command()
def log(store: Store, limit: Limit = 20, json: Json = False) -> None:
    """List the versions of a store, the newest first."""
    with screen.work(json), _existing(store) as graph:
        versions = sorted(graph.log(), key=lambda version: -version["id"])[:limit]
        result = {"version": graph.version, "versions": versions}
    columns = list(versions[0]) if versions else ["version"]
    rows = [[version[name] for name in columns] for version in versions]
    screen.show(result, json, lambda: screen.table(columns, rows))


@kg_commands.command()
def add(
    head: Annotated[str, typer.Argument(help="An IRI or a unique label", show_default=False)],
    relation: Annotated[str, typer.Argument(help="An IRI, a label or the last part of the IRI", show_default=False)],
    tail: Annotated[str, typer.Argument(help="An IRI or a unique label; a value with --literal", show_default=False)],
    store: Store,
    source: Source,
    literal: Annotated[bool, typer.Option("--literal", help="The tail is a value, not an entity")] = False,
    datatype: Annotated[str | None, typer.Option("--datatype", help="Of a value: `integer`, or an IRI")] = None,
    language: Annotated[str | None, typer.Option("--language", help="Of a text: `en`")] = None,
    unit: Annotated[str | None, typer.Option("--unit", help="Of a number: `g`")] = None,
    json: Json = False,
) -> None:
    """Add one fact; prints the store's new version."""
    with screen.work(json), _existing(store) as graph:
        subject, predicate = terms.entity(graph, head, "head"), terms.relation(graph, relation)
        if literal or datatype or language or unit:
            end: Any = terms.literal(tail, datatype, language, unit)
        else:
            end = terms.entity(graph, tail, "tail (a value needs --literal)")
        before = graph.version
        version = graph.add(subject, predicate, end, source=source)
    result = {"version": version, "added": int(version != before), "head": subject, "relation": predicate, "tail": end}
    already = "" if result["added"] else ": the fact was there already"
    screen.show(result, json, lambda: screen.line(f"version {version}{already}"))


@kg_commands.command()
def retract(
    head: Annotated[str, typer.Argument(help="An IRI or a unique label", show_default=False)],
    relation: Annotated[str, typer.Argument(help="An IRI, a label or the last part of the IRI", show_default=False)],
    store: Store,
    tail: Annotated[str | None, typer.Argument(help="By default, every tail there is", show_default=False)] = None,
    source: Annotated[str, typer.Option("--source", help="Only what this source says")] = "",
    json: Json = False,
) -> None:
    """Retract the facts that match; prints the store's new version. Older versions can still be read."""
    with screen.work(json), _existing(store) as graph:
        subject, predicate = terms.entity(graph, head, "head"), terms.relation(graph, relation)
        if tail is None:
            gone = list(graph.triples(head=subject, relation=predicate))
            version = graph.retract(subject, predicate, source=source)
        else:
            gone = terms.tails(graph, subject, predicate, tail)
            with graph.edit(source=source) as edit:
                for end in dict.fromkeys(statement.tail for statement in gone):
                    edit.retract(subject, predicate, end, source=source)
            version = graph.version
        gone = [statement for statement in gone if source in ("", statement.source)]
        labels = graph.labels([term for s in gone for term in s.fact if isinstance(term, str)])
    facts = [screen.fact(statement, labels) for statement in gone]

    def people() -> None:
        screen.line(f"version {version}")
        screen.table(("retracted", "", "", "source"), [(*fact["labels"], fact["source"]) for fact in facts])

    screen.show({"version": version, "retracted": facts}, json, people)


@kg_commands.command()
def diff(
    old: Annotated[int, typer.Argument(help="A version", show_default=False)],
    store: Store,
    new: Annotated[int | None, typer.Argument(help="Another; by default the last", show_default=False)] = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Print what holds at one version and not at another."""
    with screen.work(json), _existing(store) as graph:
        added, retracted = graph.diff(old, new)
        labels = graph.labels([term for s in [*added, *retracted][:limit] for term in s.fact if isinstance(term, str)])
        counts = {"added": len(added), "retracted": len(retracted)}
        facts = {
            name: [screen.fact(s, labels) for s in said[:limit]]
            for name, said in (("added", added), ("retracted", retracted))
        }

    def people() -> None:
        rows = [
            (mark, *fact["labels"], fact["source"])
            for mark, name in (("+", "added"), ("-", "retracted"))
            for fact in facts[name]
        ]
        screen.table(("", "head", "relation", "tail", "source"), rows[:limit])
        screen.line(f"{counts['added']:,} added, {counts['retracted']:,} retracted")

    screen.show({**facts, "counts": counts}, json, people)


@kg_commands.command()
def blame(
    head: Annotated[str, typer.Argument(help="An IRI or a unique label", show_default=False)],
    relation: Annotated[str, typer.Argument(help="An IRI, a label or the last part of the IRI", show_default=False)],
    tail: Annotated[str, typer.Argument(help="An IRI, a unique label or a value", show_default=False)],
    store: Store,
    json: Json = False,
) -> None:
    """Print who stated a fact, and in which versions it came and went."""
    with screen.work(json), _existing(store) as graph:
        subject, predicate = terms.entity(graph, head, "head"), terms.relation(graph, relation)
        ever = graph.history(subject, predicate)
        labels = graph.labels([s.tail for s in ever if isinstance(s.tail, str)])
        said = [s for s in ever if tail in (str(s.tail), labels.get(str(s.tail)))]
        versions = {row["id"]: row for row in graph.log()}
    result = [
        {
            "tail": str(one.tail),
            "source": one.source,
            "added": versions[one.added],
            "retracted": versions[one.retracted] if one.retracted else None,
        }
        for one in said
    ]
    rows = [
        (
            str(s.tail),
            s.source,
            *(f"{v} ({versions[v]['action']}, {versions[v]['time']})" if v else "" for v in (s.added, s.retracted)),
        )
        for s in said
    ]
    screen.show({"statements": result}, json, lambda: screen.table(("tail", "source", "added", "retracted"), rows))


@kg_commands.command()
def merge(
    keep: Annotated[str, typer.Argument(help="An IRI or a unique label", show_default=False)],
    drop: Annotated[str, typer.Argument(help="The entity that becomes the first", show_default=False)],
    store: Store,
    source: Source,
    json: Json = False,
) -> None:
    """Make one entity of two; prints the store's new version."""
    with screen.work(json), _existing(store) as graph:
        ends = graph.resolve(keep), graph.resolve(drop)
        version = graph.merge(*ends, source=source)
    result = {"version": version, "keep": ends[0], "drop": ends[1]}
    screen.show(result, json, lambda: screen.line(f"version {version}: <{ends[1]}> is now <{ends[0]}>"))


@kg_commands.command()
def undo(
    store: Store,
    version: Annotated[int | None, typer.Argument(help="By default the last", show_default=False)] = None,
    source: Annotated[str, typer.Option("--source", help="Who says so")] = "",
    json: Json = False,
) -> None:
    """Reverse what a version did, as a new version, which is printed."""
    with screen.work(json), _existing(store) as graph:
        undone = graph.version if version is None else version
        made = graph.undo(undone, source=source)
    screen.show({"version": made, "undone": undone}, json, lambda: screen.line(f"version {made}: {undone} undone"))


@kg_commands.command("drop-load")
def drop_load(store: Store, json: Json = False) -> None:
    """Drop a load that was interrupted, instead of finishing it with `kemm ingest … --resume`."""
    with screen.work(json), _existing(store) as graph:
        dropped = graph.drop_load()
    screen.show({"dropped": dropped}, json, lambda: screen.line("dropped" if dropped else "no load is unfinished"))


@media_commands.command("add")
def media_add(
    store: Store,
    table: Annotated[
        Path | None,
        typer.Argument(help="TSV, CSV or Parquet with the columns path, entity[, split]", show_default=False),
    ] = None,
    property: Annotated[
        str | None, typer.Option("--property", help="Instead of a table: the relation whose tails name files (`P18`)")
    ] = None,
    root: Annotated[
        Path | None, typer.Option("--root", help="Folder of the pictures; by default the table's own")
    ] = None,
    source: Annotated[str, typer.Option("--source", help="Who says so; by default the table's name")] = "",
    on_error: Annotated[
        Literal["stop", "skip"], typer.Option("--on-error", help="With --property: skip what is not a picture there")
    ] = "stop",
    json: Json = False,
) -> None:
    """Say which pictures show which entities. The pictures stay where they are; none is fetched."""
    from kg.ingest.property_pictures import add_pictures_from_property, property_iri
    from kg.store.media import add_pictures_from_table

    if (table is None) == (property is None):
        raise typer.BadParameter("give either a table or --property")
    if property is not None and root is None:
        raise typer.BadParameter("--property needs --root, the folder of the pictures")
    with screen.work(json), _existing(store) as graph:
        if table is not None:
            result = add_pictures_from_table(graph, table, root=root, source=source)
        else:
            relation = property_iri(str(property)) or terms.relation(graph, str(property))
            result = add_pictures_from_property(graph, relation, root or "", source, on_error)
    screen.show(result, json)


def link(
    text: Annotated[str, typer.Argument(help="A sentence or a question", show_default=False)],
    store: Store,
    limit: Annotated[int, typer.Option("-k", min=1, help="Most links")] = 10,
    json: Json = False,
) -> None:
    """Find the entities that a text mentions."""
    from kg import EntityLinker

    with screen.work(json), _existing(store) as graph:
        links = EntityLinker(graph).link(text, limit=limit)
        labels = graph.labels([link.entity for link in links])
    found = [
        {
            "mention": link.mention,
            "start": link.start,
            "end": link.end,
            "entity": link.entity,
            "label": labels.get(link.entity, link.entity),
            "score": link.score,
        }
        for link in links
    ]
    rows = [(hit["mention"], hit["label"], hit["score"], hit["entity"]) for hit in found]
    screen.show({"links": found}, json, lambda: screen.table(("mention", "label", "score", "entity"), rows))


def _existing(store: str) -> KnowledgeGraph:
    """Open a store that must exist already."""
    from kg import KnowledgeGraph

    return KnowledgeGraph.open(store, create=False)


@contextlib.contextmanager
def _new_or_existing(store: str, keep: bool = False) -> Iterator[KnowledgeGraph]:
    """Open a store, made where there is none; if one just made stays empty through an error, its file goes again."""
    from kg import KnowledgeGraph
    from kg.store.connection import parse

    url = parse(store)
    file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
    is_new = file is not None and not file.exists() and not keep
    with KnowledgeGraph.open(store) as graph:
        try:
            yield graph
        except BaseException:
            is_new = is_new and graph.version == 0
            raise
        else:
            is_new = False
        finally:
            graph.close()
            if is_new and file is not None:
                _remove_unless_open(file)


def _remove_unless_open(file: Path) -> None:
    """Remove a SQLite file, unless another process has opened it meanwhile."""
    import sqlite3

    with contextlib.closing(sqlite3.connect(file, timeout=0)) as alone, contextlib.suppress(sqlite3.OperationalError):
        alone.execute("PRAGMA journal_mode = DELETE")  # refused while another connection has the file open
        file.unlink(missing_ok=True)
