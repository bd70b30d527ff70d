"""What a retriever learns from questions with answers: the parts of `retrieval.learned_parts`.

    questions ── link ──► wordings ── paths from answers ──► StepScorer ── choose ──┐
            │                                                                       ├─► figures of another part
            └── facts from answers, topics ──► LinkerHead, FactRanker, … ───────────┘

The questions are split by the entity that they are about, three fifths to learn from, a fifth for choices and a fifth
for figures, so that no entity is on two sides.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from kg.errors import InputError
from retrieval.anchors import without_mentions
from retrieval.embed import TokenEmbedder
from retrieval.fact_supervision import answered, found_for, learn_fusion, learn_ranker, recalls
from retrieval.index.path_walk import PathWalk
from retrieval.learned_parts import OF_FACTS, Learned, Towers, entity_vectors, require_parts
from retrieval.linker_supervision import learn_linker
from retrieval.path_supervision import Steps, mean_scores, meant_paths
from retrieval.question_figures import figures
from retrieval.question_file import AskedQuestion
from retrieval.retriever import Retriever
from retrieval.step_scorer import StepScorer

#: Questions that are learned from, of each wording.
EACH = 12
#: Mean F1 below which no path is believed to be what a wording means; the choices' part says which.
_LEAST = (0.5, 0.2)

Progress = Callable[[str, int], Callable[[int], object]]
Worded = tuple[str, str, frozenset[str]]  # wording, entity, answers


def learn(
    retriever: Retriever,
    towers: Towers,
    questions: Sequence[AskedQuestion],
    parts: Sequence[str],
    hops: int,
    k: int,
    progress: Progress,
    rounds: int = 600,
    seed: int = 0,
) -> tuple[Learned, dict[str, Any]]:
    """Learn parts of a retriever.

    Args:
        retriever: links the questions; its own way to judge is the one to beat, and stands beside in the figures.
        parts: some of `retrieval.learned_parts.PARTS`.
        hops: the longest path.
        k: facts at most, in choices and figures.

    Returns:
        The parts; and a report with ``figures`` of the third part, ``untrained`` those of ``retriever`` there, both of
        questions and, where facts are ranked, of ``facts`` by a question's text alone; ``choices`` what paths were
        chosen from, ``parts`` how many questions each part has.

    Raises:
        InputError: too few entities are asked about, or there is nothing that one of the parts could learn from.
    """
    names = require_parts(parts, retriever.facts)
    worded = _worded(retriever, questions, progress)
    train, choices, rest = _parts([entity for _, entity, _ in worded])
    if not (train and choices and rest):
        raise InputError(
            f"the questions are about {len({e for _, e, _ in worded if e})} entities that could be linked; at least 3 "
            "are needed to learn from, to choose by and to measure on: give more questions, or their topics"
        )
    last = [questions[row] for row in rest]
    report: dict[str, Any] = {
        "learned": names,
        "parts": {"learn": len(train), "choices": len(choices), "figures": len(rest)},
        "unlinked": sum(not entity for _, entity, _ in worded),
        "k": k,
    }
    learned = Learned(hops)
    if "paths" in names:
        some = [worded[row] for row in train], [questions[row] for row in choices]
        learned.paths, found = _learn_paths(retriever, towers.text, *some, hops, k, progress, rounds, seed)
        report |= found
    if "linker" in names:
        known = [questions[row] for row in train]
        retriever.walk.refresh()
        linker, vectors = retriever.walk.linker, entity_vectors(retriever)
        learned.linker, report["linker"] = learn_linker(linker, towers.mentions, vectors, known, seed)
    if any(part in OF_FACTS for part in names):
        assert retriever.facts is not None
        about = [question.topic or entity for question, (_, entity, _) in zip(questions, worded, strict=True)]
        texts, answers = [one.text for one in questions], [one.answers for one in questions]
        of_facts = answered(retriever.facts, texts, about, answers)
        some_facts = [of_facts[row] for row in train]
        if "facts" in names:
            learned.facts = learn_ranker(retriever.facts, some_facts, seed)
        if "fusion" in names:
            learned.fusion = learn_fusion(retriever.facts, [of_facts[row] for row in choices], learned.facts)
        if "cross" in names:
            learned.cross = towers.train_cross(*found_for(retriever.facts, some_facts))
    equipped = learned.equip(retriever)
    report |= {"figures": figures(equipped, last, k), "untrained": figures(retriever, last, k)}
    if any(part in OF_FACTS for part in names):
        assert retriever.facts is not None and equipped.facts is not None
        asked = [of_facts[row] for row in rest]
        report["facts"] = {"figures": recalls(equipped.facts, asked), "untrained": recalls(retriever.facts, asked)}
    return learned, report


def _learn_paths(
    retriever: Retriever,
    text: TokenEmbedder,
    worded: Sequence[Worded],
    choices: Sequence[AskedQuestion],
    hops: int,
    k: int,
    progress: Progress,
    rounds: int,
    seed: int,
) -> tuple[StepScorer, dict[str, Any]]:
    """The scorer that had the best hits@1, then recall, on the choices; what was tried, and the wordings of the best.

    Raises:
        InputError: no path leads to the answers.
    """
    walk = PathWalk(retriever.graph, hops)
    tried: list[dict[str, Any]] = []
    best: tuple[tuple[float, float], StepScorer, int] | None = None
    before: dict[str, Steps] | None = None
    means = _mean_scores(walk, worded, progress)
    for least in _LEAST:
        meant = meant_paths(means, least)
        if not meant or meant == before:
            continue
        before = meant
        named = [[walk.steps[2 * relation + (not ahead)] for relation, ahead in path] for path in meant.values()]
        scorer = StepScorer.train(text, list(meant), named, walk.steps, rounds=rounds, seed=seed)
        found = figures(retriever.reading(scorer, hops), choices, k)
        tried.append({"least_f1": least, "wordings": len(meant), **found})
        at = found["hits@1"], found["recall"]
        if best is None or at > best[0]:
            best = at, scorer, len(meant)
    if best is None:
        raise InputError(
            f"no path of at most {hops} steps leads from what the questions name to their answers: check that the "
            "answers are IRIs, names or values of this store, or give more --hops"
        )
    return best[1], {"choices": tried, "wordings": best[2]}


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


def _mean_scores(walk: PathWalk, worded: Sequence[Worded], progress: Progress) -> dict[str, dict[Steps, float]]:
    of_wording: dict[str, list[Worded]] = defaultdict(list)
    for one in worded:
        if len(of_wording[one[0]]) < EACH:
            of_wording[one[0]].append(one)
    some = [one for several in of_wording.values() for one in several]
    return mean_scores(walk, some, progress("paths from answers", len(some)))
