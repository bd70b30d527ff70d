"""What a retriever learns from questions with answers, and the folder that keeps it.

    questions ── link ──► wordings ── paths from answers ──► StepScorer ── choose ──► folder, figures of another part

The questions are split by the entity that they are about, three fifths to learn from, a fifth for choices and a fifth
for figures, so that no entity is on two sides.
"""

from __future__ import annotations

import json
import os
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kg.errors import IndexStale, InputError
from retrieval.anchors import without_mentions
from retrieval.embed import TokenEmbedder
from retrieval.index.path_walk import PathWalk
from retrieval.path_supervision import Steps, meant_paths
from retrieval.question_figures import figures
from retrieval.question_file import AskedQuestion
from retrieval.retriever import Retriever
from retrieval.step_scorer import StepScorer

if TYPE_CHECKING:
    from kg import KnowledgeGraph

FORMAT = 1
WEIGHTS, MANIFEST = "steps.safetensors", "manifest.json"
#: Questions that are learned from, of each wording.
EACH = 12
#: Mean F1 below which no path is believed to be what a wording means; the choices' part says which.
_LEAST = (0.5, 0.2)

Progress = Callable[[str, int], Callable[[int], object]]
Worded = tuple[str, str, frozenset[str]]  # wording, entity, answers


def learn(
    retriever: Retriever,
    text: TokenEmbedder,
    questions: Sequence[AskedQuestion],
    hops: int,
    k: int,
    progress: Progress,
    rounds: int = 600,
    seed: int = 0,
) -> tuple[StepScorer, dict[str, Any]]:
    """Learn to read questions as paths.

    Args:
        retriever: links the questions; its own way to judge is the one to beat, and stands beside in the figures.
        text: the retriever's own.
        hops: the longest path.
        k: facts at most, in choices and figures.

    Returns:
        The scorer that had the best hits@1, then recall, on the choices; and a report with ``figures`` of the third
        part, ``untrained`` those of ``retriever`` there, ``choices`` what was chosen from, ``parts`` how many questions
        each part has.

    Raises:
        InputError: too few entities are asked about, or no path leads to the answers.
    """
    worded = _worded(retriever, questions, progress)
    train, choices, rest = _parts([entity for _, entity, _ in worded])
    if not (train and choices and rest):
        raise InputError(
            f"the questions are about {len({e for _, e, _ in worded if e})} entities that could be linked; at least 3 "
            "are needed to learn from, to choose by and to measure on: give more questions, or their topics"
        )
    walk = PathWalk(retriever.graph, hops)
    tried: list[dict[str, Any]] = []
    best: tuple[tuple[float, float], StepScorer, int] | None = None
    before: dict[str, Steps] | None = None
    for least in _LEAST:
        meant = _meant(walk, [worded[row] for row in train], least, progress)
        if not meant or meant == before:
            continue
        before = meant
        named = [[walk.steps[2 * relation + (not ahead)] for relation, ahead in path] for path in meant.values()]
        scorer = StepScorer.train(text, list(meant), named, walk.steps, rounds=rounds, seed=seed)
        found = figures(retriever.reading(scorer, hops), [questions[row] for row in choices], k)
        tried.append({"least_f1": least, "wordings": len(meant), **found})
        at = found["hits@1"], found["recall"]
        if best is None or at > best[0]:
            best = at, scorer, len(meant)
    if best is None:
        raise InputError(
            f"no path of at most {hops} steps leads from what the questions name to their answers: check that the "
            "answers are IRIs, names or values of this store, or give more --hops"
        )
    last = [questions[row] for row in rest]
    report = {
        "figures": figures(retriever.reading(best[1], hops), last, k),
        "untrained": figures(retriever, last, k),
        "choices": tried,
        "parts": {"learn": len(train), "choices": len(choices), "figures": len(rest)},
        "unlinked": sum(not entity for _, entity, _ in worded),
        "wordings": best[2],
        "k": k,
    }
    return best[1], report


def _worded(retriever: Retriever, questions: Sequence[AskedQuestion], progress: Progress) -> list[Worded]:
    """Each question as a scorer reads it, and what it is about: its topic, or what is linked first; "" for neither."""
    tick, worded = progress("link", len(questions)), []
    for question in questions:
        links = retriever.link_text(question.text)
        about = question.topic or (links[0].entity if links else "")
        worded.append((without_mentions(question.text, links), about, question.answers))
        tick(1)
    return worded


def _parts(entities: Sequence[str]) -> tuple[list[int], list[int], list[int]]:
    """Rows to learn from, to choose by and to measure on; those without an entity can only be measured on."""
    order = sorted(set(entities) - {""}, key=lambda entity: (zlib.crc32(entity.encode()), entity))
    fifth = max(1, len(order) // 5) if len(order) > 2 else 0
    side = {entity: min(place // fifth, 2) if fifth else 2 for place, entity in enumerate(order)}
    parts: tuple[list[int], list[int], list[int]] = [], [], []
    for row, entity in enumerate(entities):
        parts[{0: 1, 1: 2, 2: 0}[side[entity]] if entity else 2].append(row)
    return parts


def _meant(walk: PathWalk, worded: Sequence[Worded], least: float, progress: Progress) -> dict[str, Steps]:
    of_wording: dict[str, list[Worded]] = defaultdict(list)
    for one in worded:
        if len(of_wording[one[0]]) < EACH:
            of_wording[one[0]].append(one)
    some = [one for several in of_wording.values() for one in several]
    return meant_paths(walk, some, least, progress("paths from answers", len(some)))


def save(scorer: StepScorer, out: Path, graph: KnowledgeGraph, hops: int, report: dict[str, Any]) -> None:
    """Write the folder, whole or not at all; what stands at ``out`` is replaced if it is such a folder.

    Raises:
        InputError: something else is there.
    """
    require_free(out)
    manifest = {
        "format": FORMAT,
        "store": graph.uuid,
        "kg_version": graph.version,
        "embedder": scorer.text.name,
        "hops": hops,
        "relations": sorted(PathWalk(graph, 1).relations),
        **report,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
        made = Path(folder) / "new"
        made.mkdir()
        scorer.save(made / WEIGHTS)
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


def open_learned(folder: Path, graph: KnowledgeGraph, text: TokenEmbedder) -> tuple[StepScorer, int]:
    """The scorer, and the hops that it was trained for.

    Edits do not make it stale: it knows relations by their words. It is stale when a relation that was there is gone.

    Raises:
        InputError: there is none, or it was learned with another text encoder.
        IndexStale: it was learned from another store, or what it knows is gone from this one.
    """
    manifest = _manifest(folder)
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
    return StepScorer.open(folder / WEIGHTS, text), manifest["hops"]


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(f"no learned retriever at {folder}: run `kemm retriever train` first") from None
    except ValueError as error:
        raise InputError(f"{path}: not a manifest ({error}); run `kemm retriever train` again") from None
    kinds = {"format": int, "store": str, "kg_version": int, "embedder": str, "hops": int, "relations": list}
    if not isinstance(manifest, dict) or not all(isinstance(manifest.get(key), kind) for key, kind in kinds.items()):
        raise InputError(
            f"{path}: not the manifest of a learned retriever; give the folder that `kemm retriever train` wrote"
        )
    if manifest["format"] != FORMAT:
        raise InputError(f"{path}: format {manifest['format']}, not {FORMAT}; run `kemm retriever train` again")
    return manifest
