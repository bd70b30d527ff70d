"""``kemm kg sparql``: ask a store in SPARQL 1.1, or change it, and print what comes out."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from kemm.cli import screen
from kemm.cli.screen import Json
from kemm.cli.stores import Store


def register(commands: typer.Typer) -> None:
    """Add the command of this file to ``kemm kg``."""
    commands.command()(sparql)


def sparql(
    query: Annotated[str, typer.Argument(help="SELECT, ASK, CONSTRUCT, DESCRIBE, or - to read it", show_default=False)],
    store: Store,
    version: Annotated[int | None, typer.Option("--version", min=0, help="Ask the store as it stood then")] = None,
    update: Annotated[bool, typer.Option("--update", help="It is an update; all it changes is one version")] = False,
    source: Annotated[str, typer.Option("--source", help="With --update: who says so")] = "sparql",
    json: Json = False,
) -> None:
    """Ask a store in SPARQL. Nothing is fetched: SERVICE, FROM and LOAD are refused.

    Prefixes that rdflib knows (rdf, rdfs, owl, xsd, skos, foaf, schema, …) need not be declared.
    """
    import sys

    text = sys.stdin.read() if query == "-" else query
    with screen.work(json):
        from kg import rdf
        from kg.errors import InputError
        from kg.rdf.reads import fetches

        if _understood(lambda: fetches(text, update)):
            raise InputError("query: SERVICE, FROM and LOAD ask other places than the store; take them out")
        with rdf.open(store, source=source, version=version) as graph:
            result = _update(graph, text) if update else _ask(graph, text)
    screen.show(result, json, lambda: _print(result))


def _ask(graph: Any, text: str) -> dict[str, Any]:
    """Return ``answer`` of an ASK, ``triples`` of a CONSTRUCT or DESCRIBE, or ``columns`` and ``rows``."""
    answer = _understood(lambda: graph.query(text))
    if answer.type == "ASK":
        return {"answer": bool(answer.askAnswer)}
    if answer.type in ("CONSTRUCT", "DESCRIBE"):
        return {"triples": sorted([_term(end) for end in triple] for triple in answer.graph)}
    columns = [str(name) for name in answer.vars]
    return {"columns": columns, "rows": [[_term(row[name]) for name in answer.vars] for row in answer]}


def _update(graph: Any, text: str) -> dict[str, Any]:
    before = graph.knowledge.version
    _understood(lambda: graph.update(text))
    after = graph.knowledge.version
    return {"version": after, "changed": after > before}


def _understood(run: Any) -> Any:
    """Run a query; what the parser does not understand becomes one line.

    Raises:
        InputError: it is not SPARQL.
    """
    from pyparsing import ParseException

    from kg.errors import InputError

    try:
        return run()
    except ParseException as error:
        raise InputError(
            f"query:{error.lineno}:{error.column}: not understood from '{error.line.strip()[:60]}'"
        ) from None
    except Exception as error:
        if type(error) is Exception:  # rdflib's own, of unknown prefixes and the like
            raise InputError(f"query: {' '.join(str(error).split())}") from None
        raise


def _term(node: Any) -> str | None:
    """A term as N-Triples writes it, a value with a unit with the unit behind it, nothing as None."""
    if node is None:
        return None
    unit = getattr(node, "unit", None)
    return f"{node.n3()} {unit}" if unit else str(node.n3())


def _print(result: dict[str, Any]) -> None:
    if "answer" in result:
        screen.line("yes" if result["answer"] else "no")
    elif "triples" in result:
        for triple in result["triples"]:
            screen.line(f"{' '.join(triple)} .")
    elif "rows" in result:
        screen.table(result["columns"], [[cell or "" for cell in row] for row in result["rows"]])
    else:
        screen.pairs(result)
