"""Facts as tab-separated text.

A graph of nothing but names is written as three columns without a header, as KG completion tools read it. As soon as a
literal, a qualifier or an odd name occurs, a header and the columns kind, datatype, language, unit and qualifiers are
written, and tabs, line breaks and backslashes are escaped (kg/ingest/tables.py reads both).
"""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING

from kg.export.facts import Fact, facts
from kg.ingest.tables import COLUMNS, SYNONYMS, TYPED, write_qualifiers
from kg.records import Literal

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

_SPECIAL = re.compile(r"[\\\t\n\r]")
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_ODD = re.compile(r"[\t\n\r]|\A\s|\s\Z|\A\ufeff")


def write_tsv(graph: KnowledgeGraph, file: IO[bytes], version: int, *, header: bool | None = None) -> int:
    """Write TSV and return the number of facts.

    Args:
        header: write a header, and the columns of literals, even where nothing needs them.
    """
    is_typed = header or any(map(_needs_more, facts(graph, version)))
    if is_typed:
        file.write("\t".join(COLUMNS + TYPED).encode() + b"\n")
    count = 0
    for fact in facts(graph, version):
        fields = [fact.head, fact.relation, str(fact.tail)]
        if is_typed:
            tail = fact.tail
            about = (tail.datatype, tail.language, tail.unit) if isinstance(tail, Literal) else ("", "", "")
            kind = "literal" if isinstance(tail, Literal) else "entity"
            fields += [kind, *(part or "" for part in about), write_qualifiers(fact.qualifiers)]
            fields = [_SPECIAL.sub(lambda found: _ESCAPES[found[0]], field) for field in fields]
        file.write("\t".join(fields).encode() + b"\n")
        count += 1
    return count


def _needs_more(fact: Fact) -> bool:
    """Return whether three plain columns would not give this fact back."""
    head, relation, tail = fact[:3]
    if isinstance(tail, Literal) or fact.qualifiers:
        return True
    names = {SYNONYMS.get(part.lower(), part.lower()) for part in (head, relation, tail)}
    looks_like_something_else = names == set(COLUMNS) or head.startswith("/a/[/r/")
    return looks_like_something_else or any(_ODD.search(part) for part in (head, relation, tail))
