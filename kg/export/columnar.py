"""Facts as a Parquet table: head, relation, tail, kind, datatype, language, unit, qualifiers (JSON), source."""

from __future__ import annotations

from itertools import islice
from typing import IO, TYPE_CHECKING, Any

from kg.export.facts import facts
from kg.ingest.tables import COLUMNS, TYPED, write_qualifiers
from kg.records import Literal

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

#: Facts in a row group.
GROUP = 65_536


def write_parquet(graph: KnowledgeGraph, file: IO[bytes], version: int) -> int:
    """Write Parquet (Zstandard within) and return the number of facts. Any text comes back as it was."""
    import pyarrow
    import pyarrow.parquet

    names = (*COLUMNS, *TYPED, "source")
    schema = pyarrow.schema([(name, pyarrow.string()) for name in names])
    count = 0
    with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        rest = facts(graph, version)
        while group := list(islice(rest, GROUP)):
            rows = [_row(fact) for fact in group]
            columns = [pyarrow.array(column, pyarrow.string()) for column in zip(*rows, strict=True)]
            writer.write_batch(pyarrow.record_batch(columns, schema=schema))
            count += len(group)
    return count


def _row(fact: Any) -> tuple[str | None, ...]:
    head, relation, tail, qualifiers, source = fact
    said = write_qualifiers(qualifiers) or None
    if isinstance(tail, Literal):
        return head, relation, tail.value, "literal", tail.datatype, tail.language, tail.unit, said, source
    return head, relation, tail, "entity", None, None, None, said, source
