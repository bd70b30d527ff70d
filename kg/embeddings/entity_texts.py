"""One text for each entity of numbered triples: its name and what is said of it, read from a file beside the triples.

entity_texts("../shared/data/wn18rr", triples.entities)[0]
# 'land reform, a redistribution of agricultural land (especially by government action)'
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kg.errors import InputError
from kg.texts import read_texts

if TYPE_CHECKING:
    from kg.embeddings.settings import Data
    from kg.store.graph import KnowledgeGraph

#: Names under which published sets carry texts, in the order in which they are looked for.
FILES = ("entity2text.tsv.gz", "entity2text.tsv", "entity2text.txt", "entities.jsonl.gz", "entities.jsonl")


def entity_texts(data: Data, file: str | None, entities: Sequence[str]) -> list[str]:
    """Return the texts of entities from where settings say that their triples are: a folder or a store.

    Raises:
        InputError: what ``file_texts`` raises.
    """
    if data.folder is not None:
        return file_texts(data.folder, entities, file)
    from kg.store.graph import KnowledgeGraph

    assert data.store is not None
    with KnowledgeGraph.open(data.store, create=False) as graph:
        return store_texts(graph, entities)


def file_texts(folder: str | Path, entities: Sequence[str], file: str | None = None) -> list[str]:
    """Return ``name: description``, or the description where it begins with the name; the id of what has neither.

    Args:
        file: in the folder; by default the first of ``FILES`` that is there. Its form: see ``kg.texts.read_texts``.

    Raises:
        InputError: there is no such file, or it knows none of the entities.
        FormatError: what ``read_texts`` raises.
    """
    names = FILES if file is None else (file,)
    path = next((Path(folder) / name for name in names if (Path(folder) / name).is_file()), None)
    if path is None:
        raise InputError(f"{folder} holds no texts of entities ({', '.join(names)}): name the file in model.file")
    found = read_texts(path)
    if not any(entity in found for entity in entities):
        raise InputError(f"{path} knows none of the entities, such as '{entities[0]}': it is of other triples")
    return [_joined(*found.get(entity, ("", ""))) or entity for entity in entities]


def store_texts(graph: KnowledgeGraph, entities: Sequence[str]) -> list[str]:
    """Return ``label: description`` as ``file_texts`` does, of a store's entities by their IRIs."""
    wanted = set(entities)
    found = {one.iri: _joined(one.label, one.description) for one in graph.entities() if one.iri in wanted}
    return [found.get(entity) or entity for entity in entities]


def _joined(name: str, description: str) -> str:
    if description.startswith(name):
        return description.strip()
    return f"{name}: {description}" if description.strip() else name.strip()
