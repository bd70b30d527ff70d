"""From a question and a picture to anchors: the few entities that the walk starts from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from kg.mentions import STOP_WORDS, is_asked_for
from kg.names import words_of
from kg.records import Link
from retrieval.entity_index import EntityIndex
from retrieval.ranking import reciprocal_rank_fusion

#: Words that frame any question: "what kind of …", "how many …".
_FRAME = {"kind", "type", "sort", "name", "number", "amount"}
_ENDING = re.compile(r"(?<=\w{3})(?:t?en|ed|ing|[eo]rs?|es|s|e)$")
#: How sharply picture similarity becomes probability: a lead of 0.05 in cosine is a factor e.
TEMPERATURE = 0.05
#: An anchor nobody named, found only by likeness, is believed at most this much.
SEARCHED = 0.25


def relation_words(labels: Iterable[str]) -> frozenset[str]:
    """The words of relation labels and their stems: "the capital of Italy" asks for a capital, of Italy."""
    words = {word for label in labels for word in words_of(label).split()} | _FRAME
    forms = words | {word + "s" for word in words} | {word.removesuffix("s") for word in words}
    return frozenset(forms | {stem(word) for word in words})


def stem(word: str) -> str:
    """What directed, director and directing share, roughly: "direct-", an English word without its ending."""
    short = _ENDING.sub("", word)
    return (short[:-1] if len(short) > 3 and short[-1] == short[-2] else short) + "-"


def best_mentions(
    links: Sequence[Link],
    label: Callable[[str], str],
    asking: frozenset[str],
    has_picture: bool,
    limit: int,
    text: str = "",
) -> list[Link]:
    """Keep the mentions that name something, and of each its best candidates, at most ``limit`` in all.

    A name, written with a capital in text and store or made of several words that matter, beats a common word, and that
    beats a word that only says what is asked for. Lesser ones are kept only when there is nothing better; a picture is
    better than either. In ``text``, "which films" says what is asked for, too.
    """
    by_mention: dict[tuple[int, int], list[Link]] = {}
    for link in links:
        by_mention.setdefault((link.start, link.end), []).append(link)

    def rank(candidates: list[Link]) -> int:
        words = [word for word in words_of(candidates[0].mention).split() if word not in STOP_WORDS]
        is_plain = candidates[0].mention.islower()
        if words and all(word in asking or (is_plain and stem(word) in asking) for word in words):
            return 2
        if is_plain and (not words or is_asked_for(text, candidates[0].start)):
            return 2
        has_capital = any(c.isupper() or c.isdigit() for c in candidates[0].mention)
        is_name = has_capital and any(label(link.entity) != label(link.entity).lower() for link in candidates)
        return 0 if is_name or len(words) > 1 else 1

    ranked = [(rank(candidates), candidates) for candidates in by_mention.values()]
    best = min([0] if has_picture else [r for r, _ in ranked], default=0)
    kept = [sorted(candidates, key=lambda link: -link.score) for r, candidates in ranked if r == best]
    chosen: dict[str, Link] = {}
    for place in range(max(map(len, kept), default=0)):  # every mention's first candidate, then the second ones
        for link in sorted((c[place] for c in kept if place < len(c)), key=lambda link: -link.score):
            if len(chosen) < limit:
                chosen.setdefault(link.entity, link)
    return list(chosen.values())


def search_anchors(
    index: EntityIndex, vector: np.ndarray, text: str, iris: Callable[[list[int]], dict[int, str]], k: int
) -> tuple[list[Link], list[tuple[str, ...]]]:
    """Entities like a question, for want of any named in it: dense and lexical ranks fused; low scores.

    Returns:
        Links, and for each the searches that found it.
    """
    found = {
        "dense": [hit.id for hit in index.search_text(vector, 4 * k)],
        "lexical": [hit.id for hit in index.search_words(text, 4 * k)],
    }
    fused = reciprocal_rank_fusion(list(found.values()))[:k]
    if not fused:
        return [], []
    names = iris([key for key, _ in fused])
    both = 2 / 61  # what rank 1 in both searches gives
    links = [Link(names[key], SEARCHED * score / both) for key, score in fused if key in names]
    by = [(*(name for name, ranking in found.items() if key in ranking), "graph") for key, _ in fused if key in names]
    return links, by


def ways(anchors: Sequence[Link], found: Mapping[str, Sequence[Link]]) -> list[tuple[str, ...]]:
    """How each anchor's facts come about: what linked it ("picture", "mention"), and the walk from it ("graph")."""
    linked = {name: {link.entity for link in links} for name, links in found.items()}
    return [(*(name for name in linked if anchor.entity in linked[name]), "graph") for anchor in anchors]


def without_mentions(question: str, links: Iterable[Link]) -> str:
    """The question with "this" for what it mentions: what is left says which relation is asked for."""
    text, before = question, len(question)
    for start, end in sorted({(link.start, link.end) for link in links if link.end > link.start}, reverse=True):
        if end <= before:
            text, before = f"{text[:start]}this{text[end:]}", start
    return text
