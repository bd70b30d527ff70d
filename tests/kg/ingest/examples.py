"""A small file of each format, and what every refusal owes: one line that names the file, and the store as it was."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest

from kg import KnowledgeGraph, Literal, ingest
from kg.errors import InputError
from kg.ingest import PACKAGED, READERS

RDF = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:x="http://x/">'
RDF_XML = f'{RDF}<rdf:Description rdf:about="http://x/a"><x:r rdf:resource="http://x/é"/></rdf:Description></rdf:RDF>'
CONCEPTNET = "IsA\ta\té\n"
GRAPHML = (
    '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><key id="r" for="edge" attr.name="relation"/>'
    '<graph edgedefault="directed"><node id="a"/><node id="é"/><edge source="a" target="é"><data key="r">r</data>'
    "</edge></graph></graphml>"
)


def table(write: Callable[..., None]) -> bytes:
    file = io.BytesIO()
    write(pyarrow.table({"head": ["a"], "relation": ["r"], "tail": ["é"]}), file)
    return file.getvalue()


#: A small file of each format, of at least one fact.
GOOD: dict[str, bytes] = {
    "nt": "<http://x/a> <http://x/r> <http://x/é> .\n".encode(),
    "nq": "<http://x/a> <http://x/r> <http://x/é> <http://x/g> .\n".encode(),
    "ttl": '@prefix : <http://x/> .\n:a :r :é ; :n "é"@fr .\n'.encode(),
    "trig": "@prefix : <http://x/> .\n:g { :a :r :é . }\n".encode(),
    "rdf": RDF_XML.encode(),
    "xml": RDF_XML.encode(),
    "owl": RDF_XML.encode(),
    "jsonld": '{"@id": "http://x/a", "http://x/r": {"@id": "http://x/é"}}'.encode(),
    "json": '{"@id": "http://x/a", "http://x/r": {"@id": "http://x/é"}}'.encode(),
    "tsv": "a\tr\té\n".encode(),
    "txt": "a\tr\té\n".encode(),
    "csv": 'a,r,"é"\n'.encode(),
    "parquet": table(pyarrow.parquet.write_table),
    "arrow": table(pyarrow.feather.write_feather),
    "feather": table(pyarrow.feather.write_feather),
    "graphml": GRAPHML.encode(),
    "wikidata": '[\n{"type":"item","id":"Q1","labels":{"fr":{"language":"fr","value":"é"}}}\n]\n'.encode(),
    "conceptnet": CONCEPTNET.encode(),
}
FORMATS = [name for name in READERS if name not in PACKAGED]
COLUMNAR = {"parquet", "arrow", "feather"}
TEXT = [name for name in FORMATS if name not in COLUMNAR]


def refuse(store: KnowledgeGraph, path: Path, format: str, on_error: str = "stop") -> str:
    """Load what can't be read; return the error, which names the file, after a look at the store."""
    with pytest.raises(InputError) as caught:
        ingest.load(path, into=store, format=format, on_error=on_error)
    assert path.name in str(caught.value) and "\n" not in str(caught.value)
    unchanged(store)
    return str(caught.value)


def unchanged(store: KnowledgeGraph) -> None:
    assert store.version == 1 and [s.fact for s in store.triples()] == [("x:before", "x:r", Literal("kept"))]
