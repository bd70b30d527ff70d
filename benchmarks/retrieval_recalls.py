"""Recalls of several ways to search: taken once and kept for one run, as rows of a table, and printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.retrieval_inputs import Arguments


def kept(arguments: Arguments, name: str, take: Callable[[], tuple[Any, dict[str, list[float]]]]) -> dict[str, Any]:
    """The recalls of all ways, read from the run's folder where another process has left them."""
    path = Path(arguments["work"]) / f"{name}.json"
    if not path.exists():
        path.write_text(json.dumps(take()[1]), encoding="utf-8")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def shown(recalls: Sequence[float], ks: Sequence[int]) -> dict[str, Any]:
    """A row: the first recall in percent, and all of them as its note."""
    return {"value": 100 * recalls[0], "note": said(recalls, ks)}


def said(recalls: Sequence[float], ks: Sequence[int]) -> str:
    return "  ".join(f"@{k} {value:.3f}" for k, value in zip(ks, recalls, strict=True))


def with_peer(take: Callable[[bool], list[float]]) -> dict[str, list[float] | str]:
    """bm25s as it comes and with a stemmer, or why it is left out."""
    found: dict[str, list[float] | str] = {}
    for name, stemmed in (("bm25s", False), ("bm25s, stemmed", True)):
        try:
            found[name] = take(stemmed)
        except ModuleNotFoundError as error:
            found[name] = f"left out: {error}"
    return found


def show(figures: Mapping[str, Sequence[float] | str], ks: Sequence[int]) -> None:
    for name, values in figures.items():
        print(f"{name:50} {values if isinstance(values, str) else said(values, ks)}")
