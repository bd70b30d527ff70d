"""What ties samples to the graph besides their facts: where texts name nodes, how rows are joined, what they are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kemm.data.movable import Movable

ANCHOR, RELATION, TAIL = 0, 1, 2  # what a mention is of: the thing that the row is about, a relation, a tail


@dataclass(frozen=True)
class Mentions(Movable):
    """Q places in the texts of samples that name something of the same row's facts.

    Attributes:
        row: (Q,) whose text; ``first``, ``last``: (Q,) tokens, both in it.
        node: (Q,) of the facts; of a relation the node that it leads to.
        kind: (Q,) ANCHOR, RELATION or TAIL.
    """

    row: Tensor
    first: Tensor
    last: Tensor
    node: Tensor
    kind: Tensor

    def shifted(self, rows: int, nodes: int) -> Mentions:
        """The same after so many rows and nodes of others."""
        return replace(self, row=self.row + rows, node=self.node + nodes)

    def units(self, batch: int, tokens: int) -> Tensor:
        """(B, T) the number of the mention each token belongs to, −1 for none."""
        found = torch.full((batch, tokens), -1)
        for number, (row, first, last) in enumerate(
            zip(self.row.tolist(), self.first.tolist(), self.last.tolist(), strict=True)
        ):
            found[row, first : last + 1] = number
        return found


@dataclass(frozen=True)
class Links(Movable):
    """How L of the samples are joined: M links or paths from one to another; and of what types they are.

    Attributes:
        rows: (L,) the samples.
        head, tail: (M,) places among ``rows``.
        steps: (M, S) numbers of relations from head to tail, −1 after the last.
        relations: (R, D_t) text vectors of relations and, in the second half, of their inverses.
        right: (M, L) bool, which rows the same steps from the same head lead to.
        types: (L, C) bool; ``classes``: (C, D_t) text vectors of the types.
        shared: (L, L, R/2) bool, the relations that join two rows, or say the same of both.
    """

    rows: Tensor
    head: Tensor
    tail: Tensor
    steps: Tensor
    relations: Tensor
    right: Tensor
    types: Tensor
    classes: Tensor
    shared: Tensor

    def shifted(self, rows: int) -> Links:
        """The same after so many rows of others."""
        return replace(self, rows=self.rows + rows)

    @property
    def length(self) -> Tensor:
        """(M,) steps of each."""
        return (self.steps >= 0).sum(1)
