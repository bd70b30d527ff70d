"""What the measures of ``retrieval`` share: vectors, WordNet's glosses and questions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.frame import Arguments

#: Queries of one measure.
QUERIES = 500


def microseconds(run: Callable[[], Any], queries: int, times: int = 3) -> float:
    """The least processor time of a query in µs over a few runs; the first warms what a long-lived process has warm."""
    seconds = []
    for _ in range(times):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return min(seconds) / queries * 1e6


def vectors(arguments: Arguments) -> Any:
    """Unit vectors float32 (N, D): an index's, or drawn around 1 centre in 50 vectors, of 384 dimensions."""
    import numpy as np

    if arguments["index"]:
        from retrieval.index.dense import DenseIndex

        manifest = json.loads((Path(arguments["index"]) / "manifest.json").read_text(encoding="utf-8"))
        index = DenseIndex.open(Path(arguments["index"]) / manifest["generation"] / "text.faiss")
        return index.vectors(np.sort(index.ids))
    rng, size = np.random.default_rng(0), arguments["size"]
    centres = rng.normal(size=(max(1, size // 50), 384)).astype(np.float32)
    drawn = centres[rng.integers(0, len(centres), size)] + 0.7 * rng.normal(size=(size, 384)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def queries(held: Any) -> Any:
    """Some of the vectors with noise on them, float32 (Q, D)."""
    import numpy as np

    rng = np.random.default_rng(1)
    chosen = held[rng.integers(0, len(held), QUERIES)]
    noisy = chosen + 0.02 * rng.normal(size=chosen.shape).astype(np.float32)
    return noisy / np.linalg.norm(noisy, axis=1, keepdims=True)


def glosses(arguments: Arguments) -> list[tuple[str, str]]:
    """(lemmas, gloss) of WordNet's synsets; read once, for a peer's Python may not have WordNet."""
    path = Path(arguments["work"]) / "glosses.json"
    if not path.exists():
        from kg.ingest.wordnet import PARTS, synsets

        found = [(", ".join(one.lemmas), one.gloss) for part in PARTS for one in synsets(part)]
        path.write_text(json.dumps(found[: arguments["size"]]), encoding="utf-8")
    return [(lemmas, gloss) for lemmas, gloss in json.loads(path.read_text(encoding="utf-8"))]


def questions(held: list[tuple[str, str]]) -> tuple[list[str], list[int]]:
    """Every other word of some synsets' glosses, and which synset each is of."""
    import random

    chosen = random.Random(2).choices(range(len(held)), k=QUERIES)
    return [" ".join(held[number][1].split()[::2]) for number in chosen], chosen


def recall(found: list[list[int]], true: list[int]) -> str:
    """How often the true synset is the first, and among the first ten."""
    at = [sum(one in hits[:k] for one, hits in zip(true, found, strict=True)) / len(true) for k in (1, 10)]
    return f"recall@1 {at[0]:.3f}, @10 {at[1]:.3f}"
