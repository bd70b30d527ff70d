"""Entities with the facts around them, a text that tells some of these, and a picture where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from kemm.data.fact_table import NUM_MARKS, FactTable
from kemm.data.facts import collate_facts
from kemm.data.samples import UNKNOWN, Samples
from kemm.data.ties import ANCHOR, RELATION, TAIL, Mentions
from kg.records import Literal

if TYPE_CHECKING:
    from kemm.data.training_data import TrainingData

Piece = tuple[str, int, int]  # words, what they name (ANCHOR, RELATION, TAIL; −1: nothing), the node


class ToldFacts:
    """``name, relation tail, relation tail``: facts as tokens, one or two of them in words too, and whom they are of.

    Of a thing with more facts than ``model.facts`` as many are drawn. Held out are one in ten entities, by name, with
    their ``dev`` pictures.
    """

    def __init__(self, data: TrainingData) -> None:
        assert data.around is not None
        self.data, self.around, self.world, self.parts = data, data.around, data.world, data.world.parts
        self.number = {name: number for number, name in enumerate(data.names)}
        kinds = {"language", "knowledge", "mentions"} | ({"vision"} if data.train_pictures else set())
        self.modalities = frozenset(kinds if self.around.train else ())

    def sample(self, rng: np.random.Generator, size: int) -> Samples:
        return self._draw(self.around.train, self.data.train_pictures, rng, size, self.data.settings.data.views)

    def held_out(self, rng: np.random.Generator, size: int) -> Samples | None:
        return self._draw(self.around.dev, self.data.pictures["dev"], rng, size, 0) if self.around.dev else None

    def _draw(
        self, entities: Sequence[str], pictures: dict, rng: np.random.Generator, size: int, views: int
    ) -> Samples:
        names = [entities[i] for i in rng.permutation(len(entities))[:size]]
        tables, told, shown = [], [], []
        for name in names:
            said = self.around.facts[name]
            chosen = [said[i] for i in rng.permutation(len(said))[: self.world.settings.model.facts]]
            table, pieces = self._tell(name, chosen, int(rng.integers(1, 3)))
            tables.append(table)
            told.append(pieces)
            files = pictures.get(name, ())
            view = int(rng.integers(0, 1 + views))
            shown.append(self.parts.picture(files[int(rng.integers(len(files)))], view) if files else None)
        parts = {"language": self.parts.texts([words_of(pieces) for pieces in told])}
        if "vision" in self.modalities:
            parts["vision"] = self.parts.pictures(shown)
        entity = torch.tensor([self.number.get(name, UNKNOWN) for name in names])
        facts = collate_facts(tables, self.world.bank.matrix, self.world.settings.model.facts)
        return Samples(parts, entity, facts=facts, mentions=self._mentions(told, tables))

    def _tell(self, name: str, facts: Sequence[tuple[str, str | Literal]], aloud: int) -> tuple[FactTable, list[Piece]]:
        """Facts as arrays, and the first ``aloud`` of them in words."""
        label, bank = self.world.label, self.world.bank
        nodes: dict[str | Literal, int] = {name: 0}
        far = [nodes.setdefault(tail, len(nodes)) for _, tail in facts]
        texts = [node.value if isinstance(node, Literal) else label(node) for node in nodes]
        literal = np.array([isinstance(node, Literal) for node in nodes], dtype=np.float32)
        anchor = np.arange(len(nodes)) == 0
        relations = [label(relation) for relation, _ in facts]
        rows, marks = bank.rows(relations), np.zeros((len(facts), NUM_MARKS), dtype=np.float32)
        marks[:, 2], marks[:, 4] = 1.0, literal[far]
        table = FactTable(
            node_text=bank.rows(texts),
            node_marks=np.stack([anchor, literal, anchor], axis=1).astype(np.float32),
            node_entity=self._vectors(list(nodes)),
            near=np.zeros(len(facts), dtype=np.int64),
            far=np.array(far, dtype=np.int64),
            forward=np.ones(len(facts), dtype=bool),
            relation=rows,
            path=rows,
            marks=marks,
            log_score=np.zeros(len(facts), dtype=np.float32),
            parent=np.full(len(facts), -1),
            answers=tuple(texts[node] for node in far),
            paths=tuple((relation,) for relation, _ in facts),
        )
        pieces: list[Piece] = [(texts[0], ANCHOR, 0)]
        for relation, node in list(zip(relations, far, strict=True))[:aloud]:
            pieces += [(",", -1, 0), (relation, RELATION, node), (texts[node], TAIL, node)]
        return table, pieces

    def _vectors(self, nodes: list[str | Literal]) -> np.ndarray:
        vectors = self.world.entity_vectors
        return vectors.rows(nodes) if vectors is not None else np.full(len(nodes), UNKNOWN)

    def _mentions(self, told: Sequence[Sequence[Piece]], tables: Sequence[FactTable]) -> Mentions:
        """Where the pieces stand among the tokens of the whole, as far as these reach."""
        ids = self.world.bank.ids
        wholes = ids([words_of(pieces) for pieces in told])
        found: list[tuple[int, int, int, int, int]] = []
        first_node = 0
        for row, (pieces, table, whole) in enumerate(zip(told, tables, wholes, strict=True)):
            at = 1  # after the mark of the beginning
            for (_, kind, node), tokens in zip(pieces, ids([words for words, _, _ in pieces]), strict=True):
                own = tokens[1:-1]
                if not own or whole[at : at + len(own)] != own or at + len(own) >= len(whole):
                    if own:
                        break  # cut off, or joined otherwise than its parts
                    continue
                if kind >= 0:
                    found.append((row, at, at + len(own) - 1, first_node + node, kind))
                at += len(own)
            first_node += len(table.node_text)
        columns = np.array(found, dtype=np.int64).reshape(-1, 5).T
        return Mentions(*(torch.from_numpy(column.copy()) for column in columns))


def words_of(pieces: Sequence[Piece]) -> str:
    """The pieces as one text; a comma stands close to what it follows."""
    return " ".join(words for words, _, _ in pieces).replace(" ,", ",")
