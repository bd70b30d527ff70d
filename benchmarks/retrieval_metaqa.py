"""MetaQA's dev questions against its own facts: is the entity found, is an answer among 50 facts, is it the first?

The brackets around the entity are taken off. Everything is split by that entity, so that no question and no entity is
on two sides: half to learn from (which path a wording means, from answers alone), a sixth for choices, and a third for
the figures. "Reachable" is a question whose path, as learned, leads to an answer in these facts.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.retrieval_inputs import Arguments

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "metaqa"
K = 50
#: Questions that are learned from, of each wording.
EACH = 12


class Question(NamedTuple):
    """``wording`` has "this" for the entity; ``text`` has its name without brackets."""

    text: str
    wording: str
    entity: str
    answers: list[str]


def part(entity: str) -> str:
    """The side that an entity's questions are on."""
    return ("train", "train", "train", "choices", "figures", "figures")[zlib.crc32(entity.encode()) % 6]


def questions(hops: int, side: str = "") -> Iterator[Question]:
    with gzip.open(DATA / f"{hops}-hop-dev.tsv.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            marked, answers = line.rstrip("\n").split("\t")
            found = re.search(r"\[(.*)\]", marked)
            assert found is not None
            if not side or part(found[1]) == side:
                wording = marked[: found.start()] + "this" + marked[found.end() :]
                yield Question(marked.replace(found[0], found[1]), wording, found[1], answers.split("|"))


def _prepared(arguments: Arguments) -> tuple[Any, dict[str, tuple[tuple[int, bool], ...]]]:
    """A retriever that has learned on the training side, made by the first process that asks; the paths it learned."""
    from kemm.data.text_bank import TextBank
    from kemm.encoders import build_encoder
    from kg import KnowledgeGraph, ingest
    from retrieval.index.path_walk import PathWalk
    from retrieval.path_supervision import mean_scores, meant_paths
    from retrieval.retriever import Retriever
    from retrieval.step_scorer import StepScorer

    if not DATA.exists():
        raise ModuleNotFoundError("MetaQA is not beside the repository, in ../shared/data/metaqa")
    work = Path(arguments["work"])
    is_new = not (work / "metaqa.safetensors").exists()
    graph = KnowledgeGraph.open(f"sqlite:///{work}/metaqa.db")
    text = TextBank(build_encoder("minilm"), 64)
    if is_new:
        ingest.load(DATA / "kb.tsv.gz", into=graph)
        walk = PathWalk(graph)
        meant = {}
        for hops in (1, 2, 3):
            walk.hops = hops
            of_wording: dict[str, list[Question]] = defaultdict(list)
            shuffled = list(questions(hops, "train"))
            random.Random(0).shuffle(shuffled)
            for question in shuffled:
                of_wording[question.wording].append(question)
            some = [one for several in of_wording.values() for one in several[:EACH]]
            meant |= meant_paths(mean_scores(walk, [(one.wording, one.entity, one.answers) for one in some]))
        named = [[walk.steps[2 * relation + (not ahead)] for relation, ahead in path] for path in meant.values()]
        StepScorer.train(text, list(meant), named, walk.steps).save(work / "metaqa.safetensors")
        (work / "metaqa.json").write_text(json.dumps(meant))
    scorer = StepScorer.open(work / "metaqa.safetensors", text)
    learned = json.loads((work / "metaqa.json").read_text())
    meant = {wording: tuple((relation, ahead) for relation, ahead in path) for wording, path in learned.items()}
    return Retriever(graph, None, text, hops=3, k=K, step_scorer=scorer), meant


def link(arguments: Arguments) -> dict[str, Any]:
    """The linker on its own, untrained, on all questions."""
    from kg import EntityLinker

    retriever, _ = _prepared(arguments)
    linker = EntityLinker(retriever.graph)
    shares, seconds, total = [], 0.0, 0
    for hops in (1, 2, 3):
        asked = list(questions(hops))
        start = time.process_time()
        links = [linker.link(question.text) for question in asked]
        seconds, total = seconds + time.process_time() - start, total + len(asked)
        right = [bool(found) and found[0].entity == one.entity for found, one in zip(links, asked, strict=True)]
        shares.append(f"{sum(right) / len(right):.4f}")
    return {"value": 1e3 * seconds / total, "note": f"the entity is first: {', '.join(shares)} for 1, 2, 3 hops"}


def answer(arguments: Arguments) -> dict[str, Any]:
    """All of `retrieve`, on the side for figures, or another by the argument ``side``."""
    from retrieval.evidence import Query
    from retrieval.question_figures import best_ends

    retriever, meant = _prepared(arguments)
    asked = list(questions(arguments["hops"], arguments.get("side", "figures")))
    start = time.process_time()
    retriever.text.tokens(list(dict.fromkeys(question.wording for question in asked)))
    encoding = time.process_time() - start
    for question in asked[:50]:  # compiled walks are loaded
        retriever.retrieve(Query(question.text))
    count = dict.fromkeys(("linked", "found", "first", "reachable", "found of those", "all"), 0.0)
    spent = []
    for question in asked:
        start = time.process_time()
        evidence = retriever.retrieve(Query(question.text))
        spent.append(1e3 * (time.process_time() - start))
        gold = set(question.answers)
        held = {str(end) for fact in evidence.facts for end in (fact.near, fact.far)} - {question.entity}
        assert len(evidence.facts) <= K
        is_reachable = _leads_to(retriever.paths, question, meant.get(question.wording), gold)
        count["linked"] += bool(evidence.anchors) and evidence.anchors[0].entity == question.entity
        count["found"] += bool(gold & held)
        count["all"] += len(gold & held) / len(gold)
        count["first"] += bool(gold & best_ends(evidence))
        count["reachable"] += is_reachable
        count["found of those"] += is_reachable and bool(gold & held)
    of_those = count["found of those"] / max(count["reachable"], 1)
    share = {name: f"{number / len(asked):.4f}" for name, number in count.items()}
    note = (
        f"{len(asked)} questions: linked {share['linked']}, answer in {K} facts {share['found']} (of the reachable "
        f"{share['reachable']}: {of_those:.4f}), share of all answers {share['all']}, hits@1 {share['first']}; "
        f"p50 {_at(spent, 0.5):.1f}, p99 {_at(spent, 0.99):.1f} ms; encoding {1e3 * encoding / len(asked):.2f} ms more"
    )
    return {"value": sum(spent) / len(spent), "note": note}


def _leads_to(walk: Any, question: Question, path: Any, gold: set[str]) -> bool:
    number = walk.number(question.entity)
    trail = walk.follow(number, path) if number >= 0 and path else None
    return trail is not None and not gold.isdisjoint(walk.entities(trail.levels[-1].nodes))


def _at(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
