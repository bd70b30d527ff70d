"""Adagrad and Adam for embeddings: dense gradients in one pass, sparse ones by updating only the rows touched.

A step of negative sampling touches a few thousand of perhaps millions of rows. Its gradient comes as rows and values,
a row perhaps several times; they are summed, and the row and what the optimiser keeps of it updated, in one compiled
pass; on a GPU in a few of plain torch.

    Adagrad   G ← G + g²                                   w ← w − η g / (√G + ε)
    Adam      m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²,   w ← w − η m̂ / (√v̂ + ε)

Adam's averages of a row stand still while it isn't touched (as in torch's SparseAdam).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from kg.devices import is_compiled
from kg.embeddings.gathered import FAST, grouped
from kg.embeddings.model import KGEModel
from kg.kernels import njit, prange

#: What an optimiser keeps of every number.
KEPT = {"adagrad": ("sum",), "adam": ("mean", "square")}


def make(name: str, model: KGEModel, learning_rate: float, sparse: bool = False) -> torch.optim.Optimizer:
    """Return Adagrad or Adam over a model's parameters.

    Args:
        sparse: let the model give sparse gradients, and update by rows.
    """
    model.sparse = sparse
    if sparse:
        return RowOptimizer(model.parameters(), name, learning_rate)
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {"adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam}
    fused = name == "adam" or model.device.type == "cpu"  # older versions of torch have no fused Adagrad for GPUs
    return kinds[name](model.parameter_groups(learning_rate), lr=learning_rate, fused=fused)


class RowOptimizer(torch.optim.Optimizer):
    """Adagrad or Adam that takes sparse gradients row by row; dense ones are treated as if all rows were touched.

    Args:
        name: "adagrad" or "adam".
        learning_rate: η.
        betas, epsilon: β₁ and β₂ of Adam; ε, by default 1e-10 and 1e-8 as torch has them.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        name: str,
        learning_rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float | None = None,
    ) -> None:
        self.name = name
        epsilon = epsilon if epsilon is not None else {"adagrad": 1e-10, "adam": 1e-8}[name]
        super().__init__(parameters, {"lr": learning_rate, "betas": betas, "epsilon": epsilon})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def kept(self, parameter: nn.Parameter) -> dict[str, torch.Tensor]:
        """Return what is kept of a parameter: a tensor of its shape each, and ``step``; zeros before the first step."""
        state: dict[str, torch.Tensor] = self.state[parameter]
        if not state:
            state.update({name: torch.zeros_like(parameter) for name in KEPT[self.name]})
            state["step"] = torch.zeros((), dtype=torch.int64)
        return state

    def _update(self, parameter: nn.Parameter, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.kept(parameter)
        state["step"] += 1
        table = parameter.view(len(parameter), -1) if parameter.dim() else parameter.view(1, 1)
        if not is_compiled(parameter):
            self._update_rows(table, gradient, state, group)
            return
        if gradient.is_sparse:
            rows, starts, order = grouped(gradient._indices()[0])
            values = gradient._values().contiguous().view(len(order), -1)
        else:
            rows = order = np.arange(len(table))
            starts = np.arange(len(table) + 1)
            values = gradient.contiguous().view(table.shape)
        arrays = rows, starts, order, values.numpy(), table.numpy()
        if self.name == "adagrad":
            total = state["sum"].view(table.shape).numpy()
            _adagrad(*arrays, total, np.float32(group["lr"]), np.float32(group["epsilon"]))
            return
        first, second = group["betas"]
        step = int(state["step"])
        rate = group["lr"] / (1 - first**step)
        root = math.sqrt(1 - second**step)
        mean, square = (state[name].view(table.shape).numpy() for name in ("mean", "square"))
        numbers = (rate, root, first, second, group["epsilon"])
        _adam(*arrays, mean, square, *map(np.float32, numbers))

    def _update_rows(
        self, table: torch.Tensor, gradient: torch.Tensor, state: dict[str, torch.Tensor], group: dict[str, Any]
    ) -> None:
        """Update the rows of (N, D) that a gradient has, in plain torch."""
        kept = [state[name].view(table.shape) for name in KEPT[self.name]]
        if gradient.is_sparse:
            gradient = gradient.coalesce()  # sorts, and sums in that order
            rows = gradient.indices()[0]
            values = gradient.values().view(len(rows), -1)
            parts = [whole.index_select(0, rows) for whole in (table, *kept)]
        else:
            rows, values, parts = None, gradient.view(table.shape), [table, *kept]
        row, *of_row = parts
        if self.name == "adagrad":
            of_row[0].addcmul_(values, values)
            row.addcdiv_(values, of_row[0].sqrt().add_(group["epsilon"]), value=-group["lr"])
        else:
            first, second = group["betas"]
            step = int(state["step"])
            of_row[0].mul_(first).add_(values, alpha=1 - first)
            of_row[1].mul_(second).addcmul_(values, values, value=1 - second)
            deviation = of_row[1].sqrt().div_(math.sqrt(1 - second**step)).add_(group["epsilon"])
            row.addcdiv_(of_row[0], deviation, value=-group["lr"] / (1 - first**step))
        if rows is not None:
            for whole, part in zip((table, *kept), parts):
                whole.index_copy_(0, rows, part)


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def _adagrad(
    rows: np.ndarray,
    starts: np.ndarray,
    order: np.ndarray,
    values: np.ndarray,
    table: np.ndarray,
    kept: np.ndarray,
    rate: np.float32,
    epsilon: np.float32,
) -> None:
    width = values.shape[1]
    for n in prange(len(rows)):
        row, gradient = rows[n], values[order[starts[n]]].copy()
        for place in range(starts[n] + 1, starts[n + 1]):
            gradient += values[order[place]]
        for d in range(width):
            kept[row, d] += gradient[d] * gradient[d]
            table[row, d] -= rate * gradient[d] / (math.sqrt(kept[row, d]) + epsilon)


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def _adam(
    rows: np.ndarray,
    starts: np.ndarray,
    order: np.ndarray,
    values: np.ndarray,
    table: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    rate: np.float32,
    root: np.float32,
    first: np.float32,
    second: np.float32,
    epsilon: np.float32,
) -> None:
    width = values.shape[1]
    one = np.float32(1)
    for n in prange(len(rows)):
        row, gradient = rows[n], values[order[starts[n]]].copy()
        for place in range(starts[n] + 1, starts[n + 1]):
            gradient += values[order[place]]
        for d in range(width):
            mean[row, d] = first * mean[row, d] + (one - first) * gradient[d]
            square[row, d] = second * square[row, d] + (one - second) * gradient[d] * gradient[d]
            table[row, d] -= rate * mean[row, d] / (math.sqrt(square[row, d]) / root + epsilon)
