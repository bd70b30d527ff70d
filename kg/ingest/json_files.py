"""A ``.json`` file is told by how it begins: Wikidata's dump, JSON-LD, or a networkx graph (node-link form)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kg.errors import FormatError
from kg.ingest import json_text
from kg.ingest.files import STDIN, open_bytes

Reject = Callable[[FormatError], None]

#: Bytes that are looked at.
_LOOK = 2**16
_WIKIDATA = re.compile(rb'\A\s*\[?\s*\{\s*("type"\s*:\s*"(item|property|lexeme)"|"entities"\s*:|"(id|pageid)"\s*:)')
_NODE_LINK = re.compile(rb'\A\s*\{\s*"(directed|multigraph|graph|nodes)"\s*:')


def read_json(
    path: Path, reject: Reject, *, language: tuple[str, ...] = (), base: str | None = None, context: Path | None = None
) -> Iterator[Any]:
    """Yield the facts of a JSON file.

    Args:
        language: for Wikidata; its other options need ``--format wikidata``.
        base, context: for JSON-LD.

    Raises:
        FormatError: it is none of the three.
    """
    if str(path) == STDIN:
        raise FormatError(str(path), 0, "say which JSON it is: --format wikidata or --format jsonld")
    with open_bytes(path) as file:
        start = file.read(_LOOK)
    if _WIKIDATA.match(start):
        from kg.ingest.wikidata import read_wikidata

        return read_wikidata(path, reject, language=language)
    if _NODE_LINK.match(start):
        return _read_node_link(path)
    if b'"@' in start:
        from kg.ingest.rdf import read_json_ld

        return read_json_ld(path, reject, base=base, context=context)
    reason = "neither Wikidata's JSON, JSON-LD nor a networkx graph: name the reader with --format"
    raise FormatError(str(path), 0, reason)


def _read_node_link(path: Path) -> Iterator[Any]:
    import networkx

    from kg.ingest.networkx_graphs import from_networkx

    with open_bytes(path) as file:
        try:
            data = json_text.parse(file.read())
        except ValueError as error:
            raise FormatError(str(path), getattr(error, "lineno", 0), f"not JSON ({error})") from None
    try:
        graph = networkx.node_link_graph(data, edges="edges" if "edges" in data else "links")
        facts = list(from_networkx(graph))
    except (KeyError, TypeError, ValueError, AttributeError, networkx.NetworkXException) as error:
        raise FormatError(str(path), 0, f"not a networkx graph in node-link form ({error!r})") from None
    yield from facts
