"""The whole of `retrieve` (link, search, fuse, subgraph) on a store, beside the same over rdflib, networkx and FTS5.

    python -m benchmarks.retrieval_latency --store STORE --index FOLDER            # those of the quick start
    python -m benchmarks.retrieval_latency --store STORE --index FOLDER --only ours --json

Questions are made of labels drawn by a seed: capitals, borders and languages of countries, hypernyms and parts of
synsets, how two synsets are related, and descriptions that name nothing. Every question names other entities, so
nothing of its surroundings is in memory; the first 20 only warm what a long-lived process has warm and aren't counted.
The systems take turns, 20 questions each. Times are of the processor, on one thread; what the frozen text tower takes
is taken off and told apart. It also leaves the processor's caches full of its weights; with ``--encoded`` the texts
have been encoded before, as by a tower in a process of its own (the peer then knows the vectors of all paths, too).

The peer does the same steps with the same tower: every run of up to five words is looked up by FTS5 as a phrase of
labels (by the "dictionary" peer, in a dictionary of all labels), and of the entities called so those are taken whose
relations sound most like the question; for nothing mentioned, FTS5 is asked for any of the words in labels and glosses;
two hops both ways are walked in a networkx graph, bounded as ours are, with literals and labels out of rdflib; paths
are ranked by the cosine of their texts to the question, and 32 facts kept. Ours asks the store before each question
whether it has moved, and follows it; nothing in the peer follows edits or has a source or a version.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import re
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

WARMING = 20
K = 32
DESCRIPTIONS = ("something that keeps off rain", "an instrument that measures heat", "where books can be borrowed")


class Timed:
    """A text tower that keeps count of its own processor time, and with ``keeps`` never reads a text twice."""

    def __init__(self, bank: Any, keeps: bool = False) -> None:
        self.bank, self.keeps, self.seconds = bank, keeps, 0.0
        self.name, self.dimension = bank.name, bank.dimension
        self.known: dict[tuple[str, str], Any] = {}

    def embed(self, items: Sequence[str]) -> np.ndarray:
        return np.stack(self._read("embed", items)) if self.keeps and len(items) else self._timed("embed", items)

    def tokens(self, items: Sequence[str]) -> list[np.ndarray]:
        return self._read("tokens", items) if self.keeps else list(self._timed("tokens", items))

    def _read(self, how: str, items: Sequence[str]) -> list[np.ndarray]:
        if new := [item for item in dict.fromkeys(items) if (how, item) not in self.known]:
            self.known.update(zip([(how, item) for item in new], self._timed(how, new), strict=True))
        return [self.known[how, item] for item in items]

    def _timed(self, how: str, items: Sequence[str]) -> Any:
        start = time.process_time()
        found = getattr(self.bank, how)(items)
        self.seconds += time.process_time() - start
        return found


def questions(graph: Any, number: int) -> list[str]:
    """Questions about entities drawn by seed 0."""
    synsets, others = [], []
    for entity in graph.entities(with_description=False):
        (synsets if "/wn30/" in entity.iri else others).append(entity.label)
    draw = random.Random(0)
    draw.shuffle(synsets)
    draw.shuffle(others)
    forms: list[tuple[str, list[str]]] = [
        ("What is the capital of {}?", others),
        ("Which countries border {}?", others),
        ("Which languages are spoken where {} is the capital?", others),
        ("What is {} a kind of?", synsets),
        ("Which parts does a {} have?", synsets),
        ("How is {} related to {}?", synsets),
    ]
    asked = list(DESCRIPTIONS)
    while len(asked) < number:
        form, names = forms[len(asked) % len(forms)]
        if len(names) < 2:
            names = synsets
        asked.append(form.format(*(names.pop() for _ in range(form.count("{}")))))
    return asked


def measure(systems: dict[str, tuple[Callable[[str], int], Timed]], asked: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Milliseconds of a question without the tower's, the tower's, and facts found, of each system."""
    rows: dict[str, list[tuple[float, float, int]]] = {name: [] for name in systems}
    gc.collect()
    gc.freeze()  # what one of them has loaded is not to be gone through on another's time
    for start in range(0, len(asked), WARMING):
        for name, (retrieve, text) in systems.items():
            for question in asked[start : start + WARMING]:
                text.seconds, before = 0.0, time.process_time()
                found = retrieve(question)
                rows[name].append((time.process_time() - before - text.seconds, text.seconds, found))
    return {name: _figures(np.array(taken[WARMING:]), asked[WARMING:]) for name, taken in rows.items()}


def _figures(taken: np.ndarray, asked: Sequence[str]) -> dict[str, Any]:
    spent, tower, found = taken.T * [[1e3], [1e3], [1.0]]
    worst = sorted(zip(spent.tolist(), asked, strict=True), reverse=True)[:5]
    return {
        "p50": float(np.percentile(spent, 50)),
        "p99": float(np.percentile(spent, 99)),
        "mean": float(spent.mean()),
        "tower p50": float(np.percentile(tower, 50)),
        "facts": float(found.mean()),
        "slowest": [f"{took:.0f} ms: {question}" for took, question in worst],
    }


def ours(store: str, index: Path, text: Timed) -> Callable[[str], int]:
    from kg import KnowledgeGraph
    from retrieval import EntityIndex, Query, Retriever

    graph = KnowledgeGraph.open(store, create=False)
    retriever = Retriever(graph, EntityIndex.open(index, graph), text)
    return lambda question: len(retriever.retrieve(Query(question), K).facts)


def peer(store: str, index: Path, text: Timed, has_dictionary: bool = False) -> Callable[[str], int]:
    """Everything is loaded before the first question.

    Args:
        has_dictionary: labels are looked up in a dictionary; FTS5 is left to questions that mention nothing.
    """
    import sqlite3

    import networkx
    import rdflib

    from kg import KnowledgeGraph
    from retrieval.index.graph_walk import EXCLUDED
    from retrieval.verbalise import path_text

    graph = KnowledgeGraph.open(store, create=False)
    facts, edges = rdflib.Graph(), networkx.MultiDiGraph()
    called: dict[str, list[str]] = {}
    for statement in graph.triples():
        if statement.relation in EXCLUDED or not statement.head.startswith("http"):
            continue
        tail = statement.tail
        if isinstance(tail, str):
            edges.add_edge(statement.head, tail, key=statement.relation)
        end = rdflib.URIRef(tail) if isinstance(tail, str) else rdflib.Literal(tail.value)
        facts.add((rdflib.URIRef(statement.head), rdflib.URIRef(statement.relation), end))
    words = sqlite3.connect(":memory:")
    words.execute("CREATE VIRTUAL TABLE entity USING fts5(iri UNINDEXED, label, description)")
    label = rdflib.RDFS.label
    for entity in graph.entities():
        for name in (entity.label, *entity.aliases):
            words.execute("INSERT INTO entity VALUES (?, ?, ?)", (entity.iri, name, entity.description))
            called.setdefault(name.lower(), []).append(entity.iri)
        facts.add((rdflib.URIRef(entity.iri), label, rdflib.Literal(entity.label)))
    relations = graph.labels(graph.relations())
    vectors: dict[str, np.ndarray] = {}

    def steps(node: str) -> list[tuple[str, str, bool]]:
        """(relation, far end, forward), literals among them."""
        if node not in edges:
            return []
        out = [(str(r), str(o), True) for _, r, o in facts.triples((rdflib.URIRef(node), None, None)) if r != label]
        back = [(relation, head, False) for head, _, relation in edges.in_edges(node, keys=True)]
        return out + back[:32]

    def likeness(paths: list[str], vector: np.ndarray) -> np.ndarray:
        new = [path for path in dict.fromkeys(paths) if path not in vectors]
        vectors.update(zip(new, text.embed(new), strict=True) if new else ())
        return np.array([vectors[path] @ vector for path in paths])

    def named(phrase: str) -> list[str]:
        if has_dictionary:
            return called.get(phrase, [])
        rows = words.execute("SELECT iri, label FROM entity WHERE label MATCH ? LIMIT 64", (f'"{phrase}"',))
        return [iri for iri, name in rows if name.lower() == phrase]

    def link(question: str, vector: np.ndarray) -> list[str]:
        spoken = re.findall(r"\w+", question.lower())
        found: dict[str, float] = {}
        for length in range(5, 0, -1):
            for start in range(len(spoken) - length + 1):
                phrase = " ".join(spoken[start : start + length])
                for iri in named(phrase)[:16]:
                    texts = [path_text([(relations.get(relation, relation), way)]) for relation, _, way in steps(iri)]
                    found[iri] = length + float(likeness(texts, vector).max()) if texts else 0.0
        if not found:
            wanted = " OR ".join(f'"{word}"' for word in spoken)
            rows = words.execute("SELECT iri FROM entity WHERE entity MATCH ? ORDER BY bm25(entity) LIMIT 4", (wanted,))
            found = {row[0]: 1.0 for row in rows}
        return sorted(found, key=lambda iri: -found[iri])[:4]

    def retrieve(question: str) -> int:
        vector = text.embed([question])[0]
        reached: list[tuple[str, str, str]] = []
        for anchor in link(question, vector):
            near = steps(anchor)
            for relation, end, forward in near[:1024]:
                reached.append((anchor, path_text([(relations.get(relation, relation), forward)]), end))
                second = steps(end)
                if len(second) > 64:
                    continue
                for other, far, onward in second:
                    if far != anchor:
                        path = [(relations.get(relation, relation), forward), (relations.get(other, other), onward)]
                        reached.append((end, path_text(path), far))
        scores = likeness([path for _, path, _ in reached], vector)
        best = [reached[row] for row in np.argsort(-scores)[:K]]
        for near_end, _, far_end in best:  # what an answer would show
            for end in (near_end, far_end):
                facts.value(rdflib.URIRef(end), label) if end.startswith("http") else end
        return len(best)

    return retrieve


def row(arguments: dict[str, Any]) -> dict[str, Any]:
    """Ours or the peer's in the table of `benchmarks.retrieval`."""
    if not (arguments["store"] and arguments["index"]):
        raise ModuleNotFoundError("give --store and --index, those of the quick start")
    measured = _measured(arguments["store"], Path(arguments["index"]), 300, arguments["whose"])[arguments["whose"]]
    note = f"p99 {measured['p99']:.1f}, mean {measured['mean']:.1f}; the tower {measured['tower p50']:.1f} more"
    return {"value": measured["p50"], "note": note}


def _measured(
    store: str, index: Path, number: int, only: str | None, is_encoded: bool = False
) -> dict[str, dict[str, Any]]:
    from kemm.data.text_bank import TextBank
    from kemm.encoders import build_encoder
    from kg import KnowledgeGraph

    with KnowledgeGraph.open(store, create=False) as graph:
        asked = questions(graph, number + WARMING)
    tower = build_encoder("minilm")
    systems = {}
    for name, made in (("ours", ours), ("peer", peer), ("dictionary", partial(peer, has_dictionary=True))):
        if only in (None, name):
            text = Timed(TextBank(tower, 64), is_encoded)
            systems[name] = made(store, index, text), text
    if is_encoded:
        for retrieve, _ in systems.values():
            for question in asked:
                retrieve(question)
        if "ours" in systems:  # anew, so that it has read nothing around what it is asked
            systems["ours"] = ours(store, index, systems["ours"][1]), systems["ours"][1]
    return measure(systems, asked)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--store", required=True)
    parser.add_argument("--index", required=True, type=Path)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--only", choices=("ours", "peer", "dictionary"))
    parser.add_argument("--encoded", action="store_true", help="texts are encoded before, not between")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = _measured(options.store, options.index, options.questions, options.only, options.encoded)
    if options.json:
        print(json.dumps(rows))
        return 0
    for name, row in rows.items():
        figures = ", ".join(f"{key} {value:.2f}" for key, value in row.items() if isinstance(value, float))
        print(f"{name}: {figures} (ms); slowest: {'; '.join(row['slowest'])}")
    for other in rows.keys() - {"ours"} if "ours" in rows else ():
        median, mean = (rows[other][key] / rows["ours"][key] for key in ("p50", "mean"))
        print(f"ours is {median:.1f} times as fast as {other} by the median, {mean:.1f} by the mean")
    return 0


if __name__ == "__main__":
    sys.exit(main())
