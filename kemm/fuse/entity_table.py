"""Vectors of an embedding run inside the model: a table, frozen or tuned, and the projection that adds it to nodes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.data.entity_vectors import EntityVectors
from kg.errors import InputError


class EntityTable(nn.Module):
    """What is known of an entity from the graph's structure, beside its text.

        Δx_v = W_e LN(e_v),   W_e = 0 at the start;   Δx_v = 0 for a node without a vector

    LN without a gain, as W_e follows. Since W_e starts at zero, and nothing here draws random numbers, a model with
    the table starts as the very same function as one without.

    Tuned, the table is a parameter and saved with the rest; only the names must be those of the run when it is loaded.
    Frozen, it is not saved: it is read from the run again, and a digest of it in the checkpoint must agree.

    Args:
        vectors: E entities with D_e numbers each.
        width: D.
        is_tuned: whether the table learns.
    """

    def __init__(self, vectors: EntityVectors, width: int, is_tuned: bool) -> None:
        super().__init__()
        self.run = vectors.run
        self.digest = vectors.digest(with_numbers=not is_tuned)
        if is_tuned:
            self.table = nn.Parameter(vectors.matrix.clone())
        else:
            self.register_buffer("table", vectors.matrix, persistent=False)
        self.weight = nn.Parameter(torch.zeros(width, vectors.matrix.shape[1]))

    def forward(self, rows: Tensor) -> Tensor:
        """(N,) rows of the table, negative for none → (N, D)."""
        known = rows >= 0
        # Zeros by a product: then row 0, looked up in place of none, gets no gradient either
        e = functional.embedding(rows.clamp(min=0), self.table)  # (N, D_e)
        x = functional.linear(functional.layer_norm(e, e.shape[-1:]), self.weight)
        return x * known[:, None]

    def get_extra_state(self) -> Tensor:
        return self.digest

    def set_extra_state(self, state: Tensor) -> None:
        """Compare what a checkpoint remembers of the vectors with those at hand.

        Raises:
            InputError: the run is not the one that the checkpoint was trained with.
        """
        if not torch.equal(state.cpu(), self.digest):
            raise InputError(
                f"model.entity_embeddings.run: {self.run} has changed since this model was trained with its vectors; "
                "put the old run back, or train anew with --no-resume"
            )
