"""What a linker head learns from questions: their topics, where the linker offers them among others for a mention."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kg.errors import InputError
from kg.records import Link
from retrieval.linker_head import LinkerHead, MentionEmbedder
from retrieval.question_file import AskedQuestion

if TYPE_CHECKING:
    from kg import EntityLinker

#: Candidates of a mention that are looked at.
OFFERED = 100


def learn_linker(
    linker: EntityLinker,
    mentions: MentionEmbedder,
    describe: Callable[[list[str]], np.ndarray],
    questions: Sequence[AskedQuestion],
    seed: int = 0,
) -> tuple[LinkerHead, dict[str, int]]:
    """A head, and how many mentions it learned from, with how many candidates on the whole.

    Args:
        describe: IRIs → unit vectors of what they are (N, D), as `LinkerHead` takes it.

    Raises:
        InputError: no question mentions its topic by a name that the store has.
    """
    texts, spans, offered, priors, right = [], [], list[list[str]](), list[list[float]](), []
    for question in questions:
        if not question.topic:
            continue
        of_span: dict[tuple[int, int], list[Link]] = defaultdict(list)
        for link in linker.link(question.text, per_mention=OFFERED):
            of_span[link.start, link.end].append(link)
        for span, links in of_span.items():
            iris = [link.entity for link in links]
            if question.topic in iris:
                texts.append(question.text)
                spans.append(span)
                offered.append(iris)
                priors.append([max(link.score, 1e-9) for link in links])
                right.append(iris.index(question.topic))
                break
    if not right:
        raise InputError(
            "no question names its topic: the linker is learned from questions with a topic in the third column, which "
            "they mention by one of its names"
        )
    known = list(dict.fromkeys(iri for iris in offered for iri in iris))
    row = {iri: number for number, iri in enumerate(known)}
    inside, whole = mentions.mentions(texts, spans)
    places = [[row[iri] for iri in iris] for iris in offered]
    head = LinkerHead.train(mentions, describe, inside, whole, describe(known), places, priors, right, seed=seed)
    return head, {"mentions": len(right), "candidates": sum(map(len, offered))}
