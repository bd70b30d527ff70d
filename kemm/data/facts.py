"""The facts that some things are given, as tensors: a subgraph of nodes and edges, and where each fact stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kemm.data.fact_table import FactTable
from kemm.data.movable import Movable


@dataclass(frozen=True)
class Facts(Movable):
    """The evidence of B questions: N nodes and M facts of all of them end to end, laid out as (B, K) by ``slot``.

    Attributes:
        node_vectors: (N, D_t) text vectors; ``node_marks``: (N, 3).
        node_entity: (N,) rows of the run's entity vectors, −1 for none.
        near, far: (M,) nodes; ``forward``: (M,) bool.
        relation_vectors, path_vectors: (M, D_t).
        marks: (M, 6); ``log_score``: (M,).
        slot: (M,) where a fact stands in the flattened (B·K).
        mask: (B, K) bool, true at real facts.
    """

    node_vectors: Tensor
    node_marks: Tensor
    node_entity: Tensor
    near: Tensor
    far: Tensor
    forward: Tensor
    relation_vectors: Tensor
    path_vectors: Tensor
    marks: Tensor
    log_score: Tensor
    slot: Tensor
    mask: Tensor

    def lay_out(self, values: Tensor, fill: float = 0.0) -> Tensor:
        """(M, …) per fact → (B, K, …), ``fill`` where there is no fact."""
        batch, most = self.mask.shape
        out = values.new_full((batch * most, *values.shape[1:]), fill)
        return out.index_copy(0, self.slot, values).unflatten(0, (batch, most))

    @property
    def row(self) -> Tensor:
        """(M,) whose fact each is."""
        return self.slot // self.mask.shape[1]

    def without(self, gone: Tensor) -> Facts:
        """The same nodes, without some of the facts: ``gone`` (M,) bool."""
        kept = ~gone
        columns = ("near", "far", "forward", "relation_vectors", "path_vectors", "marks", "log_score", "slot")
        mask = self.mask.flatten().index_fill(0, self.slot[gone], False).view_as(self.mask)
        return replace(self, **{name: getattr(self, name)[kept] for name in columns}, mask=mask)


def collate_facts(tables: Sequence[FactTable], matrix: np.ndarray, most: int) -> Facts | None:
    """Join the evidence of B questions.

    Args:
        matrix: the text bank's vectors.
        most: K; later facts are left out.
    """
    tables = [table if len(table) <= most else table.keep(range(most)) for table in tables]
    longest = max((len(table) for table in tables), default=0)
    if longest == 0:
        return None
    offsets = np.cumsum([0] + [len(table.node_text) for table in tables])
    slots = [number * longest + np.arange(len(table)) for number, table in enumerate(tables)]
    mask = np.zeros((len(tables), longest), dtype=bool)
    for number, table in enumerate(tables):
        mask[number, : len(table)] = True

    def joined(name: str) -> Tensor:
        return torch.from_numpy(np.concatenate([getattr(table, name) for table in tables]))

    def vectors(name: str) -> Tensor:
        return torch.from_numpy(matrix[np.concatenate([getattr(table, name) for table in tables])])

    shift = torch.from_numpy(np.repeat(offsets[:-1], [len(table) for table in tables]))
    return Facts(
        node_vectors=vectors("node_text"),
        node_marks=joined("node_marks"),
        node_entity=joined("node_entity"),
        near=joined("near") + shift,
        far=joined("far") + shift,
        forward=joined("forward"),
        relation_vectors=vectors("relation"),
        path_vectors=vectors("path"),
        marks=joined("marks"),
        log_score=joined("log_score"),
        slot=torch.from_numpy(np.concatenate(slots)),
        mask=torch.from_numpy(mask),
    )


def join_facts(parts: Sequence[Facts | None], sizes: Sequence[int]) -> Facts | None:
    """The facts of several records one after another, each of so many rows; rows of a record without any have none."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    longest = max(part.mask.shape[1] for part in known)
    columns: dict[str, list[Tensor]] = {name: [] for name in vars(known[0])}
    num_nodes = num_rows = 0
    for part, size in zip(parts, sizes, strict=True):
        if part is None:
            columns["mask"].append(torch.zeros(size, longest, dtype=torch.bool))
        else:
            width = part.mask.shape[1]
            shifted = {
                "near": part.near + num_nodes,
                "far": part.far + num_nodes,
                "slot": (num_rows + part.slot // width) * longest + part.slot % width,
                "mask": functional.pad(part.mask, (0, longest - width)),
            }
            for name, values in (vars(part) | shifted).items():
                columns[name].append(values)
            num_nodes += len(part.node_vectors)
        num_rows += size
    return Facts(**{name: torch.cat(values) for name, values in columns.items()})
