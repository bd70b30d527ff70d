"""How well a retriever does on questions with known answers: linked, an answer among the facts, the best path right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from retrieval.evidence import Evidence, Query
from retrieval.question_file import AskedQuestion

if TYPE_CHECKING:
    from retrieval.retriever import Retriever


def figures(
    retriever: Retriever,
    questions: Sequence[AskedQuestion],
    k: int,
    tick: Callable[[int], object] = lambda _: None,
) -> dict[str, float]:
    """Shares of questions, from their text alone.

    Returns:
        ``questions``, how many; ``linked``, the first anchor is the topic (of those with one; left out where none has
        one); ``recall``, an answer is among ``k`` facts; ``hits@1``, one is where the best path leads.
    """
    counts = dict.fromkeys(("linked", "recall", "hits@1"), 0)
    with_topic = sum(bool(question.topic) for question in questions)
    for question in questions:
        evidence = retriever.retrieve(Query(question.text), k)
        held = {str(end) for fact in evidence.facts for end in (fact.near, fact.far)}
        anchor = evidence.anchors[0].entity if evidence.anchors else ""
        counts["linked"] += bool(anchor) and anchor == question.topic
        counts["recall"] += not question.answers.isdisjoint(held - {question.topic or anchor})
        counts["hits@1"] += not question.answers.isdisjoint(best_ends(evidence))
        tick(1)
    shares = {name: count / max(len(questions), 1) for name, count in counts.items()}
    linked = {"linked": counts["linked"] / with_topic} if with_topic else {}
    return {"questions": len(questions), **linked, "recall": shares["recall"], "hits@1": shares["hits@1"]}


def best_ends(evidence: Evidence) -> set[str]:
    """What the best path leads to: the far ends of the facts that score highest and lead no further."""
    best = max((fact.score for fact in evidence.facts), default=0.0)
    leading = {fact.parent for fact in evidence.facts if fact.score == best}
    chosen = enumerate(evidence.facts)
    return {str(fact.far) for row, fact in chosen if fact.score == best and row not in leading}
