"""The facts of a store as documents: a part of an entity index, written with it where asked for.

    OUT/<generation>/facts/facts.jsonl    one fact a line: head, relation, tail (a literal as a list), its text
                           lines.npy      where each line starts, int64 (N + 1,); a fact's id is its line
                           dense.faiss    vectors of the texts
                           words/         their words, endings cut off

A text is made of the labels at the time. What is found is looked up in the store, so a retracted fact never comes back;
what was added since is searched beside the index, as long as it is little (`retrieval.overlay.MOST`).
"""

from __future__ import annotations

import copy
import json
import mmap
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kg.records import BOOKKEEPING_RELATIONS, Link, Literal, Statement, Tail
from retrieval.anchors import SEARCHED
from retrieval.embed import TokenEmbedder, checked
from retrieval.evidence import Evidence, EvidenceFact
from retrieval.fact_ranker import FactRanker
from retrieval.fact_search import DEPTH, FactSearch
from retrieval.fusion import LearnedFusion
from retrieval.index import Hit
from retrieval.index.dense import DenseIndex
from retrieval.index.lexical import LexicalIndex
from retrieval.overlay import MOST
from retrieval.reranking import PairJudge
from retrieval.verbalise import fact_text

if TYPE_CHECKING:
    from kg import KnowledgeGraph

Fact = tuple[str, str, Tail]
_AT_ONCE = 4096  # facts worded and written at a time


def build_facts(
    graph: KnowledgeGraph,
    folder: Path,
    embed: Callable[[list[str]], np.ndarray],
    dimension: int,
    old: Path | None = None,
) -> int:
    """Write the facts of a store into a new folder; return how many.

    Args:
        embed: texts → unit vectors (N, D).
        old: the folder of an earlier version: the vectors of texts that are still the same are taken from there.
    """
    folder.mkdir()
    texts: list[str] = []
    starts = [0]
    facts = _facts(graph)
    with open(folder / "facts.jsonl", "wb") as lines:
        while part := list(islice(facts, _AT_ONCE)):
            for statement, text in zip(part, texts_of(graph, part), strict=True):
                starts.append(starts[-1] + lines.write(_line(statement.fact, text)))
                texts.append(text)
    np.save(folder / "lines.npy", np.array(starts, dtype=np.int64), allow_pickle=False)
    held = {text: row for row, text in enumerate(FactTable(old).texts())} if old is not None else {}
    vectors = np.zeros((len(texts), dimension), dtype=np.float32)
    kept = [row for row, text in enumerate(texts) if text in held]
    if old is not None and kept:
        vectors[kept] = DenseIndex.open(old / "dense.faiss").vectors([held[texts[row]] for row in kept])
    new = [row for row, text in enumerate(texts) if text not in held]
    vectors[new] = embed([texts[row] for row in new])
    dense = DenseIndex.create(dimension, len(texts))
    dense.add(range(len(texts)), vectors)
    dense.save(folder / "dense.faiss")
    LexicalIndex.create(folder / "words", "english").add(range(len(texts)), texts)
    return len(texts)


class FactTable:
    """The facts that an index holds, read from its file a line at a time."""

    def __init__(self, folder: Path) -> None:
        self._starts = np.load(folder / "lines.npy", mmap_mode="r", allow_pickle=False)
        with open(folder / "facts.jsonl", "rb") as file:  # an empty file can't be mapped
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if len(self) else b""

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, row: int) -> tuple[Fact, str]:
        """A fact and its text."""
        head, relation, tail, text = json.loads(self._bytes[self._starts[row] : self._starts[row + 1]])
        return (head, relation, Literal(*tail) if isinstance(tail, list) else tail), text

    def texts(self) -> Iterator[str]:
        return (self[row][1] for row in range(len(self)))


class FactIndex:
    """The facts of one store, searched by a question: statements with scores and what found them.

    Args:
        folder: what `build_facts` wrote, at the store's version ``kg_version``.
        ranker: judges candidates; without one they are fused by rank.
    """

    def __init__(
        self,
        folder: Path,
        graph: KnowledgeGraph,
        kg_version: int,
        text: TokenEmbedder,
        ranker: FactRanker | None = None,
        depth: int = DEPTH,
    ) -> None:
        self.table = FactTable(folder)
        self.graph, self._version, self._built = graph, kg_version, kg_version
        self._fresh: list[tuple[Fact, str]] = []  # added since; their ids follow the table's
        self._vectors = DenseIndex.create(text.dimension, kind="exact")
        dense, words = DenseIndex.open(folder / "dense.faiss"), LexicalIndex.open(folder / "words")
        self.of_index = FactSearch(text, dense, words, self._say, ranker, depth)

    def judged(
        self, ranker: FactRanker | None, fusion: LearnedFusion | None = None, cross: PairJudge | None = None
    ) -> FactIndex:
        """The same facts, ranked by what was learned: `retrieval.fact_search.FactSearch` says how."""
        made, search = copy.copy(self), self.of_index
        made.of_index = FactSearch(
            search.text, search.dense, search.words, made._say, ranker, search.depth, fusion, cross
        )
        return made

    def search(self, question: str, k: int, regions: np.ndarray | None = None) -> list[tuple[Statement, Hit]]:
        """The ``k`` facts of the store, as it is now, that answer a question best.

        Args:
            regions: (n, D), what a picture shows, in the space of the text's tokens.
        """
        self._refresh()
        found = self.of_index.candidates(question)
        if self._fresh:
            asked = self.of_index.text.embed([question])[0]
            scores = self.of_index.words.scores(question, [text for _, text in self._fresh])
            numbered = enumerate(scores, start=len(self.table))
            found["lexical"] = _merged(found["lexical"], [Hit(n, score) for n, score in numbered if score > 0])
            found["dense"] = _merged(found["dense"], self._vectors.search(asked, len(self._fresh)))
        result: list[tuple[Statement, Hit]] = []
        seen: set[Fact] = set()
        for hit in self.of_index.rank(question, found, self._vectors_of, 2 * self.of_index.depth, regions):
            fact = self._fact(hit.id)
            statement = next(self.graph.triples(*fact), None) if fact not in seen else None
            if statement is not None and len(result) < k:
                result.append((statement, hit))
            seen.add(fact)
            if len(result) == k:
                break
        return result

    def evidence(self, question: str, k: int) -> Evidence:
        """The ``k`` facts that answer a question best as evidence, each anchored at its own head.

        Unless a ranker judged them, they are believed at most `SEARCHED`, the first one that much.
        """
        found = self.search(question, k)
        most = max((hit.score for _, hit in found), default=1.0)
        scale = 1.0 if self.of_index.ranker is not None else SEARCHED / max(most, 1e-9)
        beliefs: dict[str, float] = {}
        for statement, hit in found:
            beliefs.setdefault(statement.head, scale * hit.score)
        place = {head: number for number, head in enumerate(beliefs)}
        facts = [
            EvidenceFact(statement, scale * hit.score, anchor=place[statement.head], found_by=hit.found_by)
            for statement, hit in found
        ]
        ends = {end for s, _ in found for end in (s.head, s.relation, s.tail) if isinstance(end, str)}
        anchors = tuple(Link(head, belief) for head, belief in beliefs.items())
        return Evidence(tuple(facts), anchors, self.graph.version, self.graph.labels(ends))

    def _refresh(self) -> None:
        """Word and embed what was added since the index was built, if the store has moved."""
        if self.graph.version == self._version:
            return
        version = self.graph.version
        changed = [one for one in self.graph.changes(self._built) if one.retracted is None and _is_fact(one)]
        fresh = list({one.fact: one for one in changed}.values())
        fresh = fresh if len(fresh) <= MOST else []
        texts = texts_of(self.graph, fresh)
        self._fresh = [(one.fact, text) for one, text in zip(fresh, texts, strict=True)]
        self._vectors = DenseIndex.create(self.of_index.text.dimension, kind="exact")
        self._vectors.add(range(len(self.table), len(self.table) + len(fresh)), checked(self.of_index.text, texts))
        self._version = version

    def _fact(self, row: int) -> Fact:
        return self.table[row][0] if row < len(self.table) else self._fresh[row - len(self.table)][0]

    def _say(self, row: int) -> str:
        return self.table[row][1] if row < len(self.table) else self._fresh[row - len(self.table)][1]

    def _vectors_of(self, ids: Sequence[int]) -> np.ndarray:
        return self.of_index.dense.vectors(ids) + self._vectors.vectors(ids)  # zeros from the one that has it not


def texts_of(graph: KnowledgeGraph, statements: Sequence[Statement]) -> list[str]:
    """What statements say in words, by the labels that the store has now."""
    ends = {end for s in statements for end in (s.head, s.relation, s.tail) if isinstance(end, str)}
    ends |= {s.tail.unit for s in statements if isinstance(s.tail, Literal) and s.tail.unit and ":" in s.tail.unit}
    labels = graph.labels(ends)
    return [fact_text(statement, lambda end: labels.get(end, end)) for statement in statements]


def _facts(graph: KnowledgeGraph) -> Iterator[Statement]:
    """Every fact once, whatever its sources; what only names, describes or classifies is none."""
    seen: set[int] = set()
    for statement in graph.triples():
        if _is_fact(statement) and (mark := hash(statement.fact)) not in seen:
            seen.add(mark)
            yield statement


def _is_fact(statement: Statement) -> bool:
    return statement.relation not in BOOKKEEPING_RELATIONS


def _line(fact: Fact, text: str) -> bytes:
    head, relation, tail = fact
    said = [tail.value, tail.datatype, tail.language, tail.unit] if isinstance(tail, Literal) else tail
    return json.dumps([head, relation, said, text], ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def _merged(hits: list[Hit], more: list[Hit]) -> list[Hit]:
    return sorted([*hits, *more], key=lambda hit: -hit.score)
