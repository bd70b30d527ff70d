"""Hard negatives: what an index finds for a question although it is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set

from retrieval.index import Hit


def mine(
    search: Callable[[str], Iterable[Hit]],
    questions: Sequence[str],
    right: Sequence[Set[int]],
    text: Callable[[int], str],
    k: int = 64,
) -> list[list[int]]:
    """The first ``k`` hits of each question that are not right: what a scorer must learn to tell from the right ones.

    A hit that says word for word what a right one says is no negative. As in DPR (Karpukhin et al., 2020,
    arXiv:2004.04906) and ANCE (Xiong et al., 2021, arXiv:2007.00808), from the index of the day: mine again when the
    vectors have changed.

    Args:
        search: such as an index's, best first.
        right: the ids that answer each question; a question asked twice, with different ones, has the union of them.
        text: what an id says.
    """
    answers: dict[str, set[int]] = {}
    for question, ids in zip(questions, right, strict=True):
        answers.setdefault(question.casefold(), set()).update(ids)
    mined = []
    for question in questions:
        wanted = answers[question.casefold()]
        said = {text(one).casefold() for one in wanted}
        hits = (hit.id for hit in search(question) if hit.id not in wanted)
        mined.append([one for one in hits if text(one).casefold() not in said][:k])
    return mined
