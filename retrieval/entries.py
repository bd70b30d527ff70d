"""What of an entity is indexed: the text that is embedded, and which of its pictures, as rows of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kg.records import Entity

if TYPE_CHECKING:
    from kg import KnowledgeGraph

#: Pictures of these splits are what one evaluates on: found in an index, they would give the answer away.
HELD_OUT = frozenset({"val", "valid", "validation", "test"})


def entity_text(entity: Entity, labels_only: bool = False) -> str:
    """What is embedded of an entity: "label: description"; the embedder cuts it to its length."""
    return f"{entity.label}: {entity.description}" if entity.description and not labels_only else entity.label


def picture_rows(graph: KnowledgeGraph, current: np.ndarray, start: int = 0) -> dict[int, dict[str, Any]]:
    """The pictures to index, under positions from ``start`` on: entity (a term id), path, root, sha256.

    Args:
        current: ids of the entities there are; what shows one that was deleted is left out.
    """
    pictures = [picture for picture in graph.pictures() if picture.split not in HELD_OUT]
    ids = graph.ids(sorted({picture.entity for picture in pictures}))
    living = set(np.intersect1d(list(ids.values()), current).tolist())
    shown = (picture for picture in pictures if ids[picture.entity] in living)
    return {
        position: {"entity": ids[p.entity], "path": p.path, "root": p.root, "sha256": p.sha256}
        for position, p in enumerate(shown, start=start)
    }


def row_identity(row: dict[str, Any]) -> tuple[int, str, str, str]:
    """What makes two rows the same picture of the same entity."""
    return row["entity"], row["path"], row["root"], row["sha256"]
