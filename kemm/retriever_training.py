"""Train a retriever on questions with answers, or measure one, over a store, its index and the frozen text tower."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kemm.progress import Progress, bars


def train(
    questions: Path,
    store: str,
    index: Path,
    out: Path,
    parts: Sequence[str] = ("paths",),
    hops: int = 3,
    k: int = 32,
    rounds: int = 600,
    seed: int = 0,
    progress: Progress | None = None,
    text: str = "minilm",
    vision: str | None = None,
) -> dict[str, Any]:
    """Learn from a file of questions and write the folder that `kemm.indexing.open_retriever` takes.

    Args:
        questions: `retrieval.question_file` says how it is written.
        parts: what to learn, of `retrieval.learned_parts.PARTS`.
        hops: the longest path.
        k: facts at most, in choices and figures.
        rounds: batches of 64, for ``paths``.

    Returns:
        Figures of questions that were neither learned from nor chosen by, beside those without training; counts.

    Raises:
        StoreMissing, IndexStale, InputError: with what to do; nothing is written.
    """
    if progress is None:
        with bars() as shown:
            return train(questions, store, index, out, parts, hops, k, rounds, seed, shown, text, vision)
    import time

    from kemm.indexing import open_retriever, towers_of
    from retrieval.learned_folder import require_free, save
    from retrieval.learned_retriever import learn
    from retrieval.question_file import read_questions

    started = time.perf_counter()
    require_free(out)
    retriever = open_retriever(store, index, text, vision)
    asked = read_questions(questions, retriever.graph)
    towers = towers_of(retriever, seed, progress)
    learned, report = learn(retriever, towers, asked, parts, hops, k, progress, rounds, seed)
    save(learned, out, retriever.graph, retriever.text.name, {**report, "seed": seed, "rounds": rounds})
    return {**report, "out": str(out), "seconds": round(time.perf_counter() - started, 2)}


def measure(
    questions: Path,
    store: str,
    index: Path,
    retriever: Path | None = None,
    k: int = 32,
    progress: Progress | None = None,
    text: str = "minilm",
    vision: str | None = None,
) -> dict[str, Any]:
    """Figures of a retriever on a file of questions that it has not learned from.

    Args:
        retriever: the folder that `train` wrote; without one it is measured untrained.

    Returns:
        As `retrieval.question_figures.figures`; and, where the index has facts, ``facts`` by a question's text alone.

    Raises:
        StoreMissing, IndexStale, InputError: with what to do.
    """
    if progress is None:
        with bars() as shown:
            return measure(questions, store, index, retriever, k, shown, text, vision)
    import time

    from kemm.indexing import open_retriever
    from retrieval.fact_supervision import answered, recalls
    from retrieval.question_figures import figures
    from retrieval.question_file import read_questions

    started = time.perf_counter()
    asking = open_retriever(store, index, text, vision, retriever)
    asked = read_questions(questions, asking.graph)
    found: dict[str, Any] = {"k": k, **figures(asking, asked, k, progress("ask", len(asked)))}
    if asking.facts is not None:
        about = [question.topic for question in asked]
        texts, answers = [question.text for question in asked], [question.answers for question in asked]
        found["facts"] = recalls(asking.facts, answered(asking.facts, texts, about, answers))
    return {**found, "seconds": round(time.perf_counter() - started, 2)}
