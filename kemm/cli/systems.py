"""The command ``import-weights``: published checkpoints as systems of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kemm.cli import screen
from kemm.cli.screen import Json


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command()(import_weights)


def import_weights(
    system: Annotated[str, typer.Argument(help="Which, such as clip; a wrong name lists all", show_default=False)],
    checkpoint: Annotated[
        Path, typer.Argument(help="A folder with config.json and model.safetensors", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to write", show_default=False)],
    side: Annotated[
        int | None,
        typer.Option("--side", help="Pixels a side of the pictures to be read, if not as published"),
    ] = None,
    json: Json = False,
) -> None:
    """Take over the weights of a published checkpoint, by a written table of names."""
    from kemm.systems import check_name

    check_name(system)
    with screen.work(json):
        from kemm.systems.saved import import_weights as run

        result = run(system, checkpoint, out, side)
    screen.show(result, json)
