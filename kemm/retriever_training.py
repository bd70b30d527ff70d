"""Train a retriever on a user's questions with answers, over a store and its index, with the frozen text tower."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kemm.progress import Progress, bars


def train(
    questions: Path,
    store: str,
    index: Path,
    out: Path,
    hops: int = 3,
    k: int = 32,
    rounds: int = 600,
    seed: int = 0,
    progress: Progress | None = None,
    text: str = "minilm",
    vision: str = "efficientnet-lite0",
) -> dict[str, Any]:
    """Learn from a file of questions and write the folder that `kemm.indexing.open_retriever` takes.

    Args:
        questions: `retrieval.question_file` says how it is written.
        hops: the longest path.
        k: facts at most, in choices and figures.
        rounds: batches of 64.

    Returns:
        Figures of questions that were neither learned from nor chosen by, beside those without training; counts.

    Raises:
        StoreMissing, IndexStale, InputError: with what to do; nothing is written.
    """
    if progress is None:
        with bars() as shown:
            return train(questions, store, index, out, hops, k, rounds, seed, shown, text, vision)
    import time

    from kemm.data.text_bank import TextBank
    from kemm.indexing import open_retriever
    from retrieval.learned_retriever import learn, require_free, save
    from retrieval.question_file import read_questions

    started = time.perf_counter()
    require_free(out)
    retriever = open_retriever(store, index, text, vision)
    assert isinstance(retriever.text, TextBank)
    asked = read_questions(questions, retriever.graph)
    scorer, report = learn(retriever, retriever.text, asked, hops, k, progress, rounds, seed)
    save(scorer, out, retriever.graph, hops, {**report, "seed": seed, "rounds": rounds})
    return {**report, "out": str(out), "seconds": round(time.perf_counter() - started, 2)}
