"""Evidence as arrays: what the model reads of it. Labels become rows of the text bank, so nothing depends on ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kemm.data.entity_vectors import UNKNOWN, EntityVectors
from kemm.data.text_bank import TextBank
from kg.records import Literal
from retrieval.evidence import Evidence
from retrieval.verbalise import path_text

NUM_MARKS = (
    6  # a fact's: relevance, second hop, forward, far end is an anchor, far end is a literal, anchor came from text
)
RELEVANCE = 0  # the column of the retriever's relevance, in [0, 1]
FAR_IS_NAMED = 3  # the column of "far end is an anchor"
NUM_NODE_MARKS = 3  # a node's: is an anchor, is a literal, link score


@dataclass(frozen=True)
class FactTable:
    """The evidence of one question: K facts over n nodes (entities and literals).

    Attributes:
        node_text: (n,) rows of the text bank.
        node_marks: (n, 3) float32.
        node_entity: (n,) rows of the run's entity vectors, −1 for literals and entities without one.
        near, far: (K,) nodes; the walk from the anchor goes near → far.
        forward: (K,) bool, the fact's head is ``near``.
        relation, path: (K,) rows of the text bank: the last step alone, and all steps from the anchor.
        marks: (K, 6) float32.
        log_score: (K,) float32, log P(anchor): how sure the linker is of the entity that the fact is about.
        parent: (K,) the fact that the walk came through, −1 for none.
        answers: K far ends in words; ``paths``: K relation chains.
    """

    node_text: np.ndarray
    node_marks: np.ndarray
    node_entity: np.ndarray
    near: np.ndarray
    far: np.ndarray
    forward: np.ndarray
    relation: np.ndarray
    path: np.ndarray
    marks: np.ndarray
    log_score: np.ndarray
    parent: np.ndarray
    answers: tuple[str, ...]
    paths: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.near)

    def keep(self, rows: Sequence[int]) -> FactTable:
        """The table with these facts only; a fact whose parent is gone goes too."""
        wanted = set(rows)
        kept: list[int] = []
        for row in sorted(wanted):
            if self.parent[row] < 0 or self.parent[row] in kept:
                kept.append(row)
        place = {row: number for number, row in enumerate(kept)}
        index = np.array(kept, dtype=np.int64)
        columns = ("near", "far", "forward", "relation", "path", "marks", "log_score")
        return replace(
            self,
            **{name: getattr(self, name)[index] for name in columns},
            parent=np.array([place.get(int(self.parent[row]), -1) for row in kept], dtype=np.int64),
            answers=tuple(self.answers[row] for row in kept),
            paths=tuple(self.paths[row] for row in kept),
        )

    def with_answer(self, rows: Sequence[int], answer: str, text_row: int, entity_row: int = UNKNOWN) -> FactTable:
        """The table in which these facts' far end is another: a new node, no anchor."""
        node = len(self.node_text)
        far, marks = self.far.copy(), self.marks.copy()
        far[list(rows)] = node
        marks[list(rows), FAR_IS_NAMED] = 0.0
        node_marks = np.zeros((1, NUM_NODE_MARKS), dtype=np.float32)
        node_marks[0, 1] = marks[rows[0], 4]
        return replace(
            self,
            node_text=np.append(self.node_text, text_row),
            node_marks=np.concatenate([self.node_marks, node_marks]),
            node_entity=np.append(self.node_entity, entity_row),
            far=far,
            marks=marks,
            answers=tuple(answer if row in set(rows) else text for row, text in enumerate(self.answers)),
        )


def texts_of(evidence: Evidence) -> list[str]:
    """Every text that ``tabulate`` will look up, so that many can be encoded together first."""
    texts = [_path_text(evidence, chain) for chain in _chains(evidence)]
    for fact in evidence.facts:
        texts += [evidence.label(end) for end in fact.statement.fact]
    return texts


def _chains(evidence: Evidence) -> list[tuple[tuple[str, bool], ...]]:
    """For each fact the steps from its anchor: (relation, forward)."""
    chains: list[tuple[tuple[str, bool], ...]] = []
    for fact in evidence.facts:
        before = chains[fact.parent] if fact.parent >= 0 else ()
        chains.append((*before, (fact.statement.relation, fact.forward)))
    return chains


def _path_text(evidence: Evidence, chain: tuple[tuple[str, bool], ...]) -> str:
    return path_text([(evidence.label(relation), forward) for relation, forward in chain])


def tabulate(evidence: Evidence, bank: TextBank, vectors: EntityVectors | None = None) -> FactTable:
    """Lay evidence out as a ``FactTable``; ``vectors`` number the entities that have one."""
    nodes: dict[object, int] = {}
    anchors = {link.entity: link for link in evidence.anchors}
    near, far, marks, scores = [], [], [], []
    for fact in evidence.facts:
        near.append(nodes.setdefault(fact.near, len(nodes)))
        far.append(nodes.setdefault(fact.far, len(nodes)))
        anchor = evidence.anchors[fact.anchor]
        is_anchor = isinstance(fact.far, str) and fact.far in anchors and fact.far != anchor.entity
        is_literal = isinstance(fact.far, Literal)
        relevance = fact.score / max(anchor.score, 1e-6)
        marks.append((relevance, fact.hop > 1, fact.forward, is_anchor, is_literal, bool(anchor.mention)))
        scores.append(np.log(max(anchor.score, 1e-4)))
    chains = _chains(evidence)
    node_marks = [
        (
            float(isinstance(node, str) and node in anchors),
            float(isinstance(node, Literal)),
            anchors[node].score if isinstance(node, str) and node in anchors else 0.0,
        )
        for node in nodes
    ]
    return FactTable(
        node_text=bank.rows([evidence.label(node) for node in nodes]),
        node_marks=np.array(node_marks, dtype=np.float32).reshape(-1, NUM_NODE_MARKS),
        node_entity=vectors.rows(nodes) if vectors is not None else np.full(len(nodes), UNKNOWN),
        near=np.array(near, dtype=np.int64),
        far=np.array(far, dtype=np.int64),
        forward=np.array([fact.forward for fact in evidence.facts], dtype=bool),
        relation=bank.rows([evidence.label(fact.statement.relation) for fact in evidence.facts]),
        path=bank.rows([_path_text(evidence, chain) for chain in chains]),
        marks=np.array(marks, dtype=np.float32).reshape(-1, NUM_MARKS),
        log_score=np.array(scores, dtype=np.float32),
        parent=np.array([fact.parent for fact in evidence.facts], dtype=np.int64),
        answers=tuple(evidence.label(fact.far) for fact in evidence.facts),
        paths=tuple(tuple(relation for relation, _ in chain) for chain in chains),
    )
