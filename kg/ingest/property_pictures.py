"""Pictures of entities from what the graph says of them: the tails of Wikidata's P18, schema:image, foaf:depiction, …

A tail is a file's name, a path or a URL, of which only the file is looked for, below a folder: nothing is fetched.

    http://commons.wikimedia.org/wiki/Special:FilePath/A%20B.jpg   →  ROOT/A B.jpg or ROOT/A_B.jpg
    https://example.org/photos/7.jpg                               →  ROOT/7.jpg, ROOT/photos/7.jpg
    photos/7.jpg                                                   →  ROOT/photos/7.jpg
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from kg.errors import InputError
from kg.ingest.wikidata import RELATION
from kg.records import Picture
from kg.store.graph import KnowledgeGraph
from kg.store.media import MOST_FAULTS, look


def property_iri(text: str) -> str:
    """Return the relation of Wikidata's property ("P18"), or nothing for another text."""
    return RELATION + text if re.fullmatch(r"P[1-9]\d*", text) else ""


def add_pictures_from_property(
    graph: KnowledgeGraph, relation: str, root: str | Path, source: str = "", on_error: str = "stop", check: bool = True
) -> dict[str, Any]:
    """Add the pictures that a relation's tails name, as one version.

    Args:
        relation: an IRI; of each of its facts, the head is shown by the file that the tail names.
        root: the folder that the files are below.
        source: who says so; the relation's last part by default.
        on_error: ``"stop"`` when a file is not there or no picture, or ``"skip"`` and count it.
        check: decode each picture's header and structure, rather than trust its name.

    Returns:
        ``{"pictures": added, "entities": n, "rejected": n, "version": the store's version}``.

    Raises:
        InputError: the relation has no facts, or files that can't be added, up to twenty; nothing was added.
    """
    folder = Path(root).absolute()
    if not folder.is_dir():
        raise InputError(f"there is no folder {root}")
    pictures: list[Picture] = []
    faults: list[str] = []
    num_facts = 0
    for statement in graph.triples(relation=relation):
        num_facts += 1
        tried = list(file_names(str(statement.tail)))
        found = next((name for name in tried if _is_below(folder, name)), None)
        if found is None:
            faults.append(f"{statement.head}: no file for '{statement.tail}' below {root} (tried: {', '.join(tried)})")
            continue
        fault, digest = look(folder / found, check)
        if fault:
            faults.append(f"{statement.head}: {fault}")
        else:
            pictures.append(Picture(found, statement.head, "", str(folder), digest))
    if not num_facts:
        raise InputError(f"the store has no fact with the relation <{relation}>")
    if faults and on_error == "stop":
        more = f"\n… and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
        raise InputError("\n".join(faults[:MOST_FAULTS]) + more + "\nskip them with on_error='skip' (--on-error skip)")
    with graph.edit(source or re.split(r"[#/]", relation)[-1], action="pictures") as edit:
        added = edit.add_pictures(pictures)
        version = edit.version
    entities = len({picture.entity for picture in pictures})
    return {"pictures": added, "entities": entities, "rejected": len(faults), "version": version}


def file_names(tail: str) -> Iterator[str]:
    """Yield the relative paths that a tail may mean, the likeliest first; none that leaves the folder."""
    is_url = "://" in tail
    path = PurePosixPath(unquote(urlsplit(tail).path) if is_url else tail.removeprefix("file:"))
    parts = [part for part in path.parts if part != "/"]
    if not parts or ".." in parts or (not is_url and path.is_absolute()):
        return
    whole, name = "/".join(parts), parts[-1]
    seen = set()
    for candidate in (name, whole) if is_url else (whole, name):
        for spelt in (candidate, candidate.replace(" ", "_"), candidate.replace("_", " ")):
            if spelt not in seen:
                seen.add(spelt)
                yield spelt


def _is_below(folder: Path, name: str) -> bool:
    try:
        file = (folder / name).resolve()
        return file.is_file() and file.is_relative_to(folder.resolve())
    except (OSError, ValueError):  # a name that no file can have
        return False
