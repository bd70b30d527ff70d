"""The command ``media add``: which pictures show which entities."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from kemm.cli import screen, stores, terms
from kemm.cli.screen import Json
from kemm.cli.stores import Store

commands = typer.Typer(no_args_is_help=True, help="Pictures of entities.")


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    app.add_typer(commands, name="media")


@commands.command()
def add(
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
    with stores.existing(store, json) as graph:
        if table is not None:
            result = add_pictures_from_table(graph, table, root=root, source=source)
        else:
            relation = property_iri(str(property)) or terms.relation(graph, str(property))
            result = add_pictures_from_property(graph, relation, root or "", source, on_error)
    screen.show(result, json)
