"""Sums of messages over edges without a message an edge in memory, compiled, with their derivatives.

    sum_rows(X, i, w)[v]        = Σ_(e into v) w_e X_i(e)                     X (P, D), i (M,), w (M, H)
    sum_products(X, Z, w)[v]    = Σ_(e = (u, r, v)) w_e X_u ∘ Z_r             X (N, D), Z (R, D), w (M,)

With H weights an edge ("heads") the D numbers of a row are H parts of equal length, each with its own weight.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from kg.gnn.plan import EdgePlan

#: Sums may be reordered and multiplications fused; NaN and infinity keep their meaning.
FAST = {"reassoc", "contract", "nsz", "arcp"}


def sum_rows(x: Tensor, index: Tensor, weight: Tensor, plan: EdgePlan) -> Tensor:
    """Return weighed sums of rows over the edges into each node, (N, D).

    Args:
        x: (P, D) float32.
        index: (M,), the row that each edge brings.
        weight: (M,), or (M, H).
    """
    heads = weight if weight.dim() == 2 else weight[:, None]
    result: Tensor = _SumRows.apply(x, index, heads, plan)
    return result


def sum_products(x: Tensor, z: Tensor, weight: Tensor, plan: EdgePlan) -> Tensor:
    """Return weighed sums of products of a source's and a relation's row over the edges into each node, (N, D).

    Args:
        x: (N, D) float32.
        z: (R, D).
        weight: (M,), a constant.
    """
    result: Tensor = _SumProducts.apply(x, z, weight, plan)
    return result


class _SumRows(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, index: Tensor, weight: Tensor, plan: EdgePlan) -> Tensor:
        x, weight = x.detach().contiguous(), weight.detach().contiguous()
        result = torch.empty(plan.num_nodes, x.shape[1], dtype=x.dtype)
        _rows(x.numpy(), index.numpy(), weight.numpy(), plan.starts.numpy(), result.numpy())
        context.save_for_backward(x, index, weight)
        context.plan = plan
        return result

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, index, weight = context.saved_tensors
        slope, plan = gradients[0].contiguous(), context.plan
        to_x = to_weight = None
        if context.needs_input_grad[0]:
            order, starts = _sorted(index, len(x))
            to_x = torch.empty_like(x)
            arrays = order, starts, plan.target.numpy(), weight.numpy(), slope.numpy()
            _rows_back(*arrays, to_x.numpy())
        if context.needs_input_grad[2]:
            to_weight = torch.empty_like(weight)
            _weights_back(x.numpy(), index.numpy(), plan.target.numpy(), slope.numpy(), to_weight.numpy())
        return to_x, None, to_weight, None


class _SumProducts(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, z: Tensor, weight: Tensor, plan: EdgePlan) -> Tensor:
        x, z = x.detach().contiguous(), z.detach().contiguous()
        result = torch.empty(plan.num_nodes, x.shape[1], dtype=x.dtype)
        _products(x.numpy(), z.numpy(), *_columns(plan), weight.numpy(), plan.starts.numpy(), result.numpy())
        context.save_for_backward(x, z, weight)
        context.plan = plan
        return result

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, z, weight = context.saved_tensors
        slope, plan = gradients[0].contiguous(), context.plan
        to_x, to_z = torch.empty_like(x), torch.empty_like(z)
        source, relation, target = plan.source.numpy(), plan.relation.numpy(), plan.target.numpy()
        for table, own, other, result in ((z, plan.source, relation, to_x), (x, plan.relation, source, to_z)):
            order, starts = _sorted(own, len(result))
            arrays = order, starts, target, other, weight.numpy(), slope.numpy(), table.numpy()
            _products_back(*arrays, result.numpy())
        return to_x, to_z, None, None


def _columns(plan: EdgePlan) -> tuple[np.ndarray, np.ndarray]:
    return plan.source.numpy(), plan.relation.numpy()


def _sorted(numbers: Tensor, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places by number, and where those of each number begin."""
    order = np.argsort(numbers.numpy(), kind="stable")
    return order, np.searchsorted(numbers.numpy()[order], np.arange(limit + 1))


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def _rows(x: np.ndarray, index: np.ndarray, weight: np.ndarray, starts: np.ndarray, result: np.ndarray) -> None:
    part = x.shape[1] // weight.shape[1]
    for v in prange(len(starts) - 1):
        result[v] = 0
        for e in range(starts[v], starts[v + 1]):
            for head in range(weight.shape[1]):
                factor = weight[e, head]
                for d in range(head * part, (head + 1) * part):
                    result[v, d] += factor * x[index[e], d]


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def _rows_back(
    order: np.ndarray, starts: np.ndarray, target: np.ndarray, weight: np.ndarray, slope: np.ndarray, result: np.ndarray
) -> None:
    part = slope.shape[1] // weight.shape[1]
    for p in prange(len(starts) - 1):
        result[p] = 0
        for place in range(starts[p], starts[p + 1]):
            e = order[place]
            for head in range(weight.shape[1]):
                factor = weight[e, head]
                for d in range(head * part, (head + 1) * part):
                    result[p, d] += factor * slope[target[e], d]


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def _weights_back(x: np.ndarray, index: np.ndarray, target: np.ndarray, slope: np.ndarray, result: np.ndarray) -> None:
    part = x.shape[1] // result.shape[1]
    for e in prange(len(index)):
        for head in range(result.shape[1]):
            total = np.float32(0)
            for d in range(head * part, (head + 1) * part):
                total += x[index[e], d] * slope[target[e], d]
            result[e, head] = total


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def _products(
    x: np.ndarray,
    z: np.ndarray,
    source: np.ndarray,
    relation: np.ndarray,
    weight: np.ndarray,
    starts: np.ndarray,
    result: np.ndarray,
) -> None:
    width = x.shape[1]
    for v in prange(len(starts) - 1):
        result[v] = 0
        for e in range(starts[v], starts[v + 1]):
            u, r, factor = source[e], relation[e], weight[e]
            for d in range(width):
                result[v, d] += factor * x[u, d] * z[r, d]


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def _products_back(
    order: np.ndarray,
    starts: np.ndarray,
    target: np.ndarray,
    other: np.ndarray,
    weight: np.ndarray,
    slope: np.ndarray,
    table: np.ndarray,
    result: np.ndarray,
) -> None:
    width = slope.shape[1]
    for p in prange(len(starts) - 1):
        result[p] = 0
        for place in range(starts[p], starts[p + 1]):
            e = order[place]
            v, o, factor = target[e], other[e], weight[e]
            for d in range(width):
                result[p, d] += factor * slope[v, d] * table[o, d]
