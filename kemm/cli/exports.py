"""The command ``export``: a store's facts as a file."""

from __future__ import annotations

from typing import Annotated

import typer

from kemm.cli import screen, stores, terms
from kemm.cli.screen import Json
from kemm.cli.stores import Store, Version


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command()(export)


def export(
    out: Annotated[
        str, typer.Argument(help="The file, packed if it ends in .gz, .bz2 or .zst; - to print", show_default=False)
    ],
    store: Store,
    format: Annotated[
        str | None, typer.Option("--format", help="nt, ttl, tsv, parquet or graphml; by default by the file's ending")
    ] = None,
    version: Version = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="Of the format, as `annotations=false`; see docs/formats.md")
    ] = None,
    json: Json = False,
) -> None:
    """Write a store's facts to a file, which appears only when it is whole."""
    from kg.export import STDOUT, write

    if json and out == STDOUT:
        raise typer.BadParameter("the facts and --json both want standard output: choose one")
    options = terms.options(option or ())
    with stores.existing(store, json) as graph:
        written = write(graph, out, format, version, **options)
    if out == STDOUT:
        return
    result = {
        "path": written.path,
        "format": written.format,
        "facts": written.facts,
        "bytes": written.bytes,
        "version": written.version,
        "seconds": round(written.seconds, 3),
    }
    screen.show(result, json)
