"""The command ``export``: a store's facts as a file."""

from __future__ import annotations

from typing import Annotated

import typer

from kemm.cli import screen, terms
from kemm.cli.screen import Json


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command()(export)


def export(
    out: Annotated[str, typer.Argument(help="The file; packed when it ends in .gz, .bz2 or .zst", show_default=False)],
    store: Annotated[str, typer.Option("--store", help="URL of the store")],
    format: Annotated[
        str | None, typer.Option("--format", help="nt, ttl, tsv, parquet or graphml; by default by the file's ending")
    ] = None,
    version: Annotated[int | None, typer.Option("--version", min=0, help="Of the store; by default the last")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="Of the format, as `annotations=false`; see docs/formats.md")
    ] = None,
    json: Json = False,
) -> None:
    """Write a store's facts to a file, which appears only when it is whole."""
    from kg import KnowledgeGraph
    from kg.export import write

    options = terms.options(option or ())
    with screen.work(json), KnowledgeGraph.open(store, create=False) as graph:
        written = write(graph, out, format, version, **options)
    result = {
        "path": written.path,
        "format": written.format,
        "facts": written.facts,
        "bytes": written.bytes,
        "version": written.version,
        "seconds": round(written.seconds, 3),
    }
    screen.show(result, json)
