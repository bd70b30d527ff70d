"""Sums of messages over edges without a message an edge in memory, compiled, with their derivatives.

    sum_rows(X, i, w)[v]        = Σ_(e into v) w_e X_i(e)                     X (P, D), i (M,), w (M, H)
    sum_products(X, Z, w)[v]    = Σ_(e = (u, r, v)) w_e X_u ∘ Z_r             X (N, D), Z (R, D), w (M,)
    products(X, i, Y)[e]        = ⟨X_i(e), Y_v(e)⟩, of an edge e into v(e)     X (P, D), Y (N, D), result (M, H)

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


def products(x: Tensor, index: Tensor, y: Tensor, heads: int, plan: EdgePlan) -> Tensor:
    """Return the product of what each edge brings with its target's row, part by part, (M, H).

    Args:
        x: (P, D) float32.
        index: (M,), the row that each edge brings.
        y: (N, D).
        heads: H, the number of parts of a row.
    """
    result: Tensor = _Products.apply(x, index, y, heads, plan)
    return result


class _SumRows(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, index: Tensor, weight: Tensor, plan: EdgePlan) -> Tensor:
        x, weight = x.detach().contiguous(), weight.detach().contiguous()
        context.save_for_backward(x, index, weight)
        context.plan = plan
        return _into_nodes(_rows, plan, x, index, weight)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, index, weight = context.saved_tensors
        slope, plan = gradients[0].contiguous(), context.plan
        to_x = to_weight = None
        if context.needs_input_grad[0]:
            to_x = torch.empty_like(x)
            order, starts = plan.grouped(index, len(x))
            _rows_back(order, starts, plan.target.numpy(), weight.numpy(), slope.numpy(), to_x.numpy())
        if context.needs_input_grad[2]:
            to_weight = torch.empty_like(weight)
            _edge_products(x.numpy(), index.numpy(), plan.target.numpy(), slope.numpy(), to_weight.numpy())
        return to_x, None, to_weight, None


class _SumProducts(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, z: Tensor, weight: Tensor, plan: EdgePlan) -> Tensor:
        x, z = x.detach().contiguous(), z.detach().contiguous()
        context.save_for_backward(x, z, weight)
        context.plan = plan
        return _into_nodes(_products, plan, x, z, plan.source, plan.relation, weight)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, z, weight = context.saved_tensors
        slope, plan = gradients[0].contiguous(), context.plan
        to_x, to_z = torch.empty_like(x), torch.empty_like(z)
        for table, own, other, result in ((z, plan.source, plan.relation, to_x), (x, plan.relation, plan.source, to_z)):
            order, starts = plan.grouped(own, len(result))
            arrays = plan.target.numpy(), other.numpy(), weight.numpy(), slope.numpy(), table.numpy()
            _products_back(order, starts, *arrays, result.numpy())
        return to_x, to_z, None, None


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, index: Tensor, y: Tensor, heads: int, plan: EdgePlan) -> Tensor:
        x, y = x.detach().contiguous(), y.detach().contiguous()
        context.save_for_backward(x, index, y)
        context.plan = plan
        result = torch.empty(len(index), heads, dtype=x.dtype)
        _edge_products(x.numpy(), index.numpy(), plan.target.numpy(), y.numpy(), result.numpy())
        return result

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, index, y = context.saved_tensors
        slope, plan = gradients[0].contiguous(), context.plan
        to_x = torch.empty_like(x)
        order, starts = plan.grouped(index, len(x))
        _rows_back(order, starts, plan.target.numpy(), slope.numpy(), y.numpy(), to_x.numpy())
        return to_x, None, _into_nodes(_rows, plan, x, index, slope), None, None


def _into_nodes(kernel: Any, plan: EdgePlan, x: Tensor, *others: Tensor) -> Tensor:
    """Return what a kernel sums up for each node, (N, D) for ``x`` of (·, D)."""
    result = torch.empty(plan.num_nodes, x.shape[1], dtype=x.dtype)
    kernel(x.numpy(), *(other.numpy() for other in others), plan.starts.numpy(), result.numpy())
    return result


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
def _edge_products(x: np.ndarray, index: np.ndarray, target: np.ndarray, y: np.ndarray, result: np.ndarray) -> None:
    part = x.shape[1] // result.shape[1]
    for e in prange(len(index)):
        for head in range(result.shape[1]):
            total = np.float32(0)
            for d in range(head * part, (head + 1) * part):
                total += x[index[e], d] * y[target[e], d]
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
