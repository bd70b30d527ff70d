"""How results look: one JSON object on standard output, or tables for people; progress always on standard error."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kg.records import Literal, Statement

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object; logs go to standard error.")]


@contextlib.contextmanager
def work(as_json: bool) -> Iterator[None]:
    """Keep standard output for the result: with ``--json``, what anything below prints goes to standard error."""
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        yield


def show(result: Mapping[str, Any], as_json: bool, people: Callable[[], None] | None = None) -> None:
    """Print a result: as JSON, or by ``people``, or as a list of names and values."""
    if as_json:
        print(json.dumps(plain(result), ensure_ascii=False, allow_nan=False), flush=True)
    elif people is not None:
        people()
    else:
        pairs(result)


def plain(value: Any) -> Any:
    """``value`` in JSON's types: paths and literals as text, numbers of numpy and torch as numbers, NaN as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(inner) for inner in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):  # numpy and torch, scalars and arrays
        return plain(value.tolist())
    if isinstance(value, (Path, Literal)):
        return str(value)
    raise AssertionError(f"a result holds a {type(value).__name__}, which JSON has no form for")


def facts(graph: KnowledgeGraph, statements: Iterable[Statement], version: int | None = None) -> list[dict[str, Any]]:
    """Statements of a store as ``fact`` gives them, with the labels of a version (default: now)."""
    said = list(statements)
    terms = [term for s in said for term in (*s.fact, *(term for pair in s.qualifiers for term in pair))]
    iris = [term.unit if isinstance(term, Literal) else term for term in terms]
    labels = graph.labels(sorted({iri for iri in iris if iri}), version=version)
    return [fact(statement, labels) for statement in said]


def fact(statement: Statement, labels: Mapping[str, str]) -> dict[str, Any]:
    """A statement as JSON: its terms, its source, the terms' labels, and what a literal has beside its value."""
    result = {"head": statement.head, "relation": statement.relation, **_term("tail", statement.tail)}
    result |= {"source": statement.source, "labels": [named(term, labels) for term in statement.fact]}
    if statement.qualifiers:
        result["qualifiers"] = [
            {"key": key, **_term("value", value), "labels": [named(key, labels), named(value, labels)]}
            for key, value in statement.qualifiers
        ]
    return result


def _term(name: str, term: str | Literal) -> dict[str, Any]:
    """A term under a name, and what a literal has beside its value."""
    if not isinstance(term, Literal):
        return {name: term}
    extra = {"datatype": term.datatype, "language": term.language, "unit": term.unit}
    return {name: term.value, "literal": {part: value for part, value in extra.items() if value}}


def named(term: str | Literal, labels: Mapping[str, str]) -> str:
    """A term as people read it: its label, or its value with its unit."""
    if not isinstance(term, Literal):
        return labels.get(term, term)
    return f"{term.value} {labels.get(term.unit, term.unit)}" if term.unit else term.value


# -- for people ------------------------------------------------------------------------------------------------------


def number(value: Any) -> str:
    """A value in a table: thousands separated, fractions with four digits that count."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def pairs(result: Mapping[str, Any]) -> None:
    """Names and values below each other; lists and mappings inside are counted or listed in one line."""
    rows = []
    for name, value in result.items():
        if isinstance(value, Mapping):
            value = ", ".join(
                f"{key} {number(inner)}" for key, inner in value.items() if not isinstance(inner, Mapping)
            )
        elif isinstance(value, (list, tuple)):
            value = ", ".join(map(number, value)) if len(value) <= 8 else f"{len(value):,}"
        rows.append((name.replace("_", " "), number(value)))
    table(("", ""), rows)


def table(columns: Iterable[str], rows: Iterable[Iterable[Any]], title: str = "") -> None:
    """A table on standard output; numbers to the right, nothing of a user's text read as markup."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    names, cells = list(columns), [list(row) for row in rows]
    drawn = Table(
        title=Text(title) if title else None,
        title_justify="left",
        box=SIMPLE_HEAD if any(names) else None,
        show_header=any(names),
        pad_edge=False,
    )
    for i, name in enumerate(names):
        numeric = bool(cells) and all(isinstance(row[i], (int, float)) for row in cells)
        drawn.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        drawn.add_row(*(Text(number(cell)) for cell in row))
    Console(highlight=False).print(drawn)


def line(text: str = "") -> None:
    """One line on standard output."""
    print(text)


def note(text: str) -> None:
    """One line on standard error: something the user should know beside the result."""
    print(text, file=sys.stderr)


@contextlib.contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """A running count on a terminal's standard error, for work whose size isn't known beforehand."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed:,.0f}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda count: progress.update(task, completed=count)
