"""Which facts answer a question, from its answers; and what the judges of facts learn from that.

A fact answers a question if one of its ends is what the question is about and the other one of the answers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from kg.errors import InputError
from kg.records import Literal
from retrieval.fact_index import FactIndex
from retrieval.fact_ranker import FactRanker
from retrieval.fusion import LearnedFusion
from retrieval.reranking import RERANKED

#: Right facts that are learned from, of each question.
EACH = 4
KS = (1, 5, 20)


class Answered(NamedTuple):
    """A question and the rows of `FactIndex.table` that answer it."""

    text: str
    facts: list[int]


def answered(
    index: FactIndex, texts: Sequence[str], about: Sequence[str], answers: Sequence[frozenset[str]]
) -> list[Answered]:
    """Each question with the facts that answer it, none where the facts don't say it.

    Args:
        about: IRI of what each is about, "" where that is not known; answers: IRIs, and values as their text.
    """
    asked: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, (entity, wanted) in enumerate(zip(about, answers, strict=True)):
        for answer in wanted if entity else ():
            asked[entity, answer].append(number)
    found: list[list[int]] = [[] for _ in texts]
    for row in range(len(index.table)):
        (head, _, tail), _ = index.table[row]
        end = tail.value if isinstance(tail, Literal) else tail
        for number in {*asked.get((head, end), ()), *asked.get((end, head), ())}:
            found[number].append(row)
    return [Answered(text, rows) for text, rows in zip(texts, found, strict=True)]


def pairs(questions: Sequence[Answered]) -> tuple[list[str], list[int]]:
    """Questions and a right fact of each, at most ``EACH`` times.

    Raises:
        InputError: no question is answered by one fact.
    """
    both = [(question.text, row) for question in questions for row in question.facts[:EACH]]
    if not both:
        raise InputError(
            "no question is answered by a single fact: facts are learned from questions whose topic and answer are the "
            "two ends of one; give such questions, with their topics"
        )
    return [text for text, _ in both], [row for _, row in both]


def learn_ranker(index: FactIndex, questions: Sequence[Answered], seed: int) -> FactRanker:
    """A ranker of facts, learned against what the index wrongly finds.

    Raises:
        InputError: no question is answered by one fact.
    """
    return index.judged(None).of_index.learn(*pairs(questions), seed=seed)


def learn_fusion(index: FactIndex, questions: Sequence[Answered], ranker: FactRanker | None) -> LearnedFusion:
    """Weights of the rankings, from questions that a ``ranker`` has not learned from.

    Raises:
        InputError: no search found a right fact.
    """
    search = index.judged(ranker).of_index
    texts, right = pairs(questions)
    found = [search.rankings(text, search.candidates(text), search.dense.vectors) for text in texts]
    return LearnedFusion.fit(found, right)


def found_for(index: FactIndex, questions: Sequence[Answered]) -> tuple[list[str], list[str], list[list[str]]]:
    """Questions, the text of a right fact of each, and what the untrained search finds but its other right ones."""
    search = index.judged(None).of_index
    texts, right = pairs(questions)
    others: dict[str, set[int]] = defaultdict(set)
    for question in questions:
        others[question.text].update(question.facts)
    hits = {text: [hit.id for hit in search.search(text, RERANKED)] for text in dict.fromkeys(texts)}
    found = [
        [search.say(one) for one in hits[text] if one == row or one not in others[text]]
        for text, row in zip(texts, right, strict=True)
    ]
    return texts, [search.say(row) for row in right], found


def recalls(index: FactIndex, questions: Sequence[Answered]) -> dict[str, float]:
    """Shares of the questions that a fact answers, of which one is among the first, by the question's text alone."""
    asked = [question for question in questions if question.facts]
    counts = dict.fromkeys(KS, 0)
    for question in asked:
        ids = [hit.id for hit in index.of_index.search(question.text, max(KS))]
        for k in KS:
            counts[k] += not set(question.facts).isdisjoint(ids[:k])
    return {"questions": len(asked), **{f"recall@{k}": counts[k] / max(len(asked), 1) for k in KS}}
