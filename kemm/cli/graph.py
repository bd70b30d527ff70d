"""Commands on a store: ``ingest``, ``kg stats``, ``search``, ``show`` and ``drop-load``, ``link``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from kemm.cli import screen, stores, terms
from kemm.cli.screen import Json
from kemm.cli.stores import Author, Limit, Note, Store, Version
from kg.records import Link

kg_commands = typer.Typer(no_args_is_help=True, help="Look into a store, and edit it.")


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    app.command()(ingest)
    app.add_typer(kg_commands, name="kg")
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
    author: Author = "",
    note: Note = "",
    json: Json = False,
) -> None:
    """Read a knowledge graph into a store, all files as one version."""
    from kg.ingest import load

    options = terms.options(option or ())
    path = paths[0] if len(paths) == 1 else paths
    with stores.new_or_existing(store, json, keep=resume) as graph, screen.counting("read") as progress:
        report = load(
            path,
            into=graph,
            source=source,
            format=format,
            on_error=on_error,
            progress=progress,
            resume=resume,
            author=author,
            note=note,
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
    with stores.existing(store, json) as graph:
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
    with stores.existing(store, json) as graph:
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
    version: Version = None,
    json: Json = False,
) -> None:
    """Print what a store says of one entity: its names, pictures and facts, out of it and into it."""
    with stores.existing(store, json) as graph:
        about = graph.describe(graph.resolve(entity), version=version)
        statements = graph.neighbours(about.iri, limit=limit, version=version)[:limit]
        facts = screen.facts(graph, statements, version)
    result: dict[str, Any] = {
        "entity": about.iri,
        "label": about.label,
        "description": about.description,
        "aliases": about.aliases,
        "types": about.types,
        "pictures": [picture.path for picture in about.pictures],
        "facts": facts,
    }

    def people() -> None:
        screen.pairs({name: value for name, value in result.items() if name != "facts" and value})
        has_more = any(fact.get("qualifiers") for fact in facts)
        columns = ("head", "relation", "tail", *(("qualifiers",) if has_more else ()), "source")
        rows = [(*fact["labels"], *([_qualified(fact)] if has_more else []), fact["source"]) for fact in facts]
        screen.table(columns, rows)

    screen.show(result, json, people)


def _qualified(fact: dict[str, Any]) -> str:
    return "; ".join(f"{one['labels'][0]}: {one['labels'][1]}" for one in fact.get("qualifiers", ()))


@kg_commands.command("drop-load")
def drop_load(store: Store, json: Json = False) -> None:
    """Drop a load that was interrupted, instead of finishing it with `kemm ingest … --resume`."""
    with stores.existing(store, json) as graph:
        dropped = graph.drop_load()
    screen.show({"dropped": dropped}, json, lambda: screen.line("dropped" if dropped else "no load is unfinished"))


def link(
    store: Store,
    text: Annotated[str, typer.Argument(help="A sentence or a question", show_default=False)] = "",
    image: Annotated[Path | None, typer.Option("--image", help="A picture instead of a text")] = None,
    index: Annotated[
        Path | None, typer.Option("--index", help="With --image: look among the pictures of this index too")
    ] = None,
    regions: Annotated[bool, typer.Option("--regions", help="With --image: what is where in the picture")] = False,
    language: stores.Languages = [],  # noqa: B006 - typer hands over a fresh list
    limit: Annotated[int, typer.Option("-k", min=1, help="Most links")] = 10,
    json: Json = False,
) -> None:
    """Find the entities that a text mentions, or that a picture shows."""
    if bool(text.strip()) == (image is not None):
        raise typer.BadParameter("give either a text or --image")
    if image is None and (index is not None or regions):
        raise typer.BadParameter("--index and --regions go with --image")
    if image is not None:
        _link_image(store, image, index, regions, limit, json)
        return
    from kg import EntityLinker

    with stores.existing(store, json) as graph:
        links = EntityLinker(graph, language).link(text, limit=limit)
        labels = graph.labels([link.entity for link in links])
    found = [{"mention": link.mention, "start": link.start, "end": link.end, **_named(link, labels)} for link in links]
    rows = [(hit["mention"], hit["label"], hit["score"], hit["entity"]) for hit in found]
    screen.show({"links": found}, json, lambda: screen.table(("mention", "label", "score", "entity"), rows))


def _link_image(store: str, image: Path, index: Path | None, regions: bool, limit: int, json: bool) -> None:
    from kemm.picture_linking import open_naming

    with stores.existing(store, json) as graph:
        naming = open_naming(graph, index)
        if regions:
            parts = [(region.box, region.links) for region in naming.regions(image, limit)]
        else:
            parts = [((0.0, 0.0, 1.0, 1.0), tuple(naming.link_image(image, limit)))]
        labels = graph.labels([link.entity for _, links in parts for link in links])
    found = [
        {"box": [round(side, 4) for side in box], "links": [_named(link, labels) for link in links]}
        for box, links in parts
    ]
    result = {"regions": found} if regions else {"links": found[0]["links"]}

    def people() -> None:
        rows = [
            (*([f"{100 * x0:.0f}–{100 * x1:.0f} %, {100 * y0:.0f}–{100 * y1:.0f} %"] if regions else []), *hit)
            for (x0, y0, x1, y1), links in parts
            for hit in [(labels.get(link.entity, link.entity), link.score, link.entity) for link in links]
        ]
        if rows:
            screen.table((*(("across, down",) if regions else ()), "label", "score", "entity"), rows)
        else:
            screen.line("none of the store's entities")

    screen.show(result, json, people)


def _named(link: Link, labels: dict[str, str]) -> dict[str, Any]:
    return {"entity": link.entity, "label": labels.get(link.entity, link.entity), "score": link.score}
