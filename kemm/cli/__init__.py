"""The command ``kemm``: each subcommand reads its words, calls one public function and prints what came back.

    kemm.cli.graph    ingest, kg stats, search, show, link   what is in a store
    kemm.cli.edits    kg add, retract, merge, undo           what is changed in it
    kemm.cli.versions kg log, diff, blame                    what was changed, when, by whom
    kemm.cli.media    media add                              which pictures show which entities
    kemm.cli.exports  export                                 what goes out of one
    kemm.cli.quality  kg profile, audit                      how good it is
    kemm.cli.embeddings kg train, rank, classify, combine  vectors that say which facts are likely
    kemm.cli.sparql   kg sparql                              the same, asked in SPARQL
    kemm.cli.runs     index, retrieve, pretrain, evaluate, ablate, predict, config, quickstart, serve
    kemm.cli.retrievers retriever train                    what a retriever learns from questions with answers
    kemm.cli.systems  import-weights                         published checkpoints as systems of ours
    kemm.cli.pairs    data filter, capfilt, stamps           image–text pairs cleaned; a world with sounds
    kemm.cli.stores   the options that commands on a store share, and how they open it
    kemm.cli.screen   how results look: one JSON object, or tables
    kemm.cli.terms    words of the user's → IRIs and literals

Every command takes ``--json``: exactly one JSON object on standard output, everything else on standard error. The exit
status is 0, 2 with one clear line on standard error, or 130 when interrupted. Nothing heavy is imported here: each
command imports what it needs when it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from kemm import __version__
from kemm.cli import (
    edits,
    embeddings,
    exports,
    graph,
    media,
    pairs,
    quality,
    retrievers,
    runs,
    sparql,
    systems,
    versions,
)
from kg.errors import KemmError

#: The base of click's errors; from some version on, typer carries its own copy of click.
ClickException: Any = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="kemm",
    help="Knowledge-enhanced multimodal pre-training: ingest knowledge graphs, pre-train, ask with citations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
graph.register(app)
exports.register(app)
media.register(app)
for commands in (edits, versions, quality, embeddings, sparql):
    commands.register(graph.kg_commands)
runs.register(app)
retrievers.register(app)
systems.register(app)
pairs.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"kemm {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; what a user can cause ends in one line, never in a traceback."""
    try:
        status = app(args=arguments, prog_name="kemm", standalone_mode=False)
    except KemmError as error:
        return _fail(str(error))
    except ClickException as error:
        return _fail(_usage(error))
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    if status == 130:
        _fail("interrupted")
    return status if isinstance(status, int) else 0


def _usage(error: Any) -> str:
    """What is wrong with the command line, and whose help to read."""
    message = " ".join(error.format_message().split()).rstrip(".")
    message = message.replace("Value error, ", "")
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    explained = getattr(parameter, "help", None)
    if type(error).__name__ == "MissingParameter" and explained:
        message += f" ({explained.rstrip('.')})"
    return f"{message}; see `{context.command_path} --help`" if context else message


def _fail(message: str) -> int:
    for line in message.splitlines() or ["something went wrong"]:
        print(f"error: {line}", file=sys.stderr)
    return 2
