"""The folder that keeps what a retriever has learned.

OUT/manifest.json        store, KG version, text encoder, the parts, relations, and the report of the training
    <part's file>        `retrieval.learned_parts.PARTS`
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kg.errors import IndexStale, InputError
from retrieval.fact_ranker import FactRanker
from retrieval.fusion import LearnedFusion
from retrieval.index.path_walk import PathWalk
from retrieval.learned_parts import PARTS, Learned, Towers, entity_vectors, require_parts
from retrieval.linker_head import LinkerHead
from retrieval.retriever import Retriever
from retrieval.step_scorer import StepScorer

if TYPE_CHECKING:
    from kg import KnowledgeGraph

FORMAT = 2  # 1 kept paths alone
MANIFEST = "manifest.json"


def save(learned: Learned, out: Path, graph: KnowledgeGraph, embedder: str, report: dict[str, Any]) -> None:
    """Write the folder, whole or not at all; what stands at ``out`` is replaced if it is such a folder.

    Raises:
        InputError: something else is there.
    """
    require_free(out)
    manifest = {
        "format": FORMAT,
        "store": graph.uuid,
        "kg_version": graph.version,
        "embedder": embedder,
        "hops": learned.hops,
        "learned": learned.names,
        "relations": sorted(PathWalk(graph, 1).relations),
        **report,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
        made = Path(folder) / "new"
        made.mkdir()
        for part in learned.names:
            getattr(learned, part).save(made / PARTS[part])
        (made / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        if out.exists():
            os.replace(out, Path(folder) / "old")
        os.replace(made, out)


def require_free(out: Path) -> None:
    """Refuse to write over what is no learned retriever.

    Raises:
        InputError: there is something else at ``out``.
    """
    if out.exists() and not (out / MANIFEST).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: something else is there already; give another --out")
    if out.is_dir() and any(out.iterdir()):
        _manifest(out)


def open_learned(folder: Path, retriever: Retriever, towers: Towers) -> Learned:
    """The parts that a folder keeps, for a retriever without them.

    Edits do not make it stale: it knows relations by their words. It is stale when a relation that was there is gone.

    Raises:
        InputError: there is none, it was learned with another text encoder, or ranks facts where the index has none.
        IndexStale: it was learned from another store, or what it knows is gone from this one.
    """
    manifest, graph, text = _manifest(folder), retriever.graph, towers.text
    again = "run `kemm retriever train` again"
    if manifest["store"] != graph.uuid:
        raise IndexStale(f"{folder} was learned from another store than {graph.url}: {again} with another --out")
    if manifest["kg_version"] > graph.version:
        raise IndexStale(
            f"{folder} was learned at KG version {manifest['kg_version']}, the store is at {graph.version}: {again}"
        )
    gone = sorted(set(manifest["relations"]) - set(graph.relations()))
    if gone:
        raise IndexStale(f"{folder} knows {len(gone)} relations that the store has no more, such as {gone[0]}: {again}")
    if manifest["embedder"] != text.name:
        raise InputError(f"{folder} was learned with {manifest['embedder']}, not {text.name}: {again}")
    opened: dict[str, Callable[[Path], Any]] = {
        "paths": lambda path: StepScorer.open(path, text),
        "linker": lambda path: LinkerHead.open(path, towers.mentions, entity_vectors(retriever)),
        "facts": lambda path: FactRanker.open(path, text),
        "fusion": LearnedFusion.open,
        "cross": towers.open_cross,
    }
    names = require_parts(manifest["learned"], retriever.facts)
    return Learned(manifest["hops"], **{part: opened[part](folder / PARTS[part]) for part in names})


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(f"no learned retriever at {folder}: run `kemm retriever train` first") from None
    except ValueError as error:
        raise InputError(f"{path}: not a manifest ({error}); run `kemm retriever train` again") from None
    kinds = {
        "format": int,
        "store": str,
        "kg_version": int,
        "embedder": str,
        "hops": int,
        "learned": list,
        "relations": list,
    }
    if not isinstance(manifest, dict) or not all(isinstance(manifest.get(key), kind) for key, kind in kinds.items()):
        raise InputError(
            f"{path}: not the manifest of a learned retriever; give the folder that `kemm retriever train` wrote"
        )
    if manifest["format"] != FORMAT:
        raise InputError(f"{path}: format {manifest['format']}, not {FORMAT}; run `kemm retriever train` again")
    return manifest
