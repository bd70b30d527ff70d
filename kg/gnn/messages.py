"""Sums of messages over edges without a message an edge in memory, compiled, with their derivatives.

    sum_rows(X, i, w)[v]        = Σ_(e into v) w_e X_i(e)                     X (P, D), i (M,), w (M, H)
    sum_products(X, Z, w)[v]    = Σ_(e = (u, r, v)) w_e X_u ∘ Z_r             X (N, D), Z (R, D), w (M,)
    products(X, i, Y)[e]        = ⟨X_i(e), Y_v(e)⟩, of an edge e into v(e)     X (P, D), Y (N, D), result (M, H)

With H weights an edge ("heads") the D numbers of a row are H parts of equal length, each with its own weight. On a GPU
the sums are those of ``kg.gnn.plain``. Numbers of 16 bits, as autocast gives them, are summed as float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kg.devices import is_compiled
from kg.gnn import plain
from kg.gnn.plan import EdgePlan
from kg.kernels import njit, prange

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
    result: Tensor = _SumRows.apply(full(x), index, full(heads), plan)
    return result


def sum_products(x: Tensor, z: Tensor, weight: Tensor, plan: EdgePlan) -> Tensor:
    """Return weighed sums of products of a source's and a relation's row over the edges into each node, (N, D).

    Args:
        x: (N, D) float32.
        z: (R, D).
        weight: (M,), a constant.
    """
    result: Tensor = _SumProducts.apply(full(x), full(z), weight, plan)
    return result


def products(x: Tensor, index: Tensor, y: Tensor, heads: int, plan: EdgePlan) -> Tensor:
    """Return the product of what each edge brings with its target's row, part by part, (M, H).

    Args:
        x: (P, D) float32.
        index: (M,), the row that each edge brings.
        y: (N, D).
        heads: H, the number of parts of a row.
    """
    result: Tensor = _Products.apply(full(x), index, full(y), heads, plan)
    return result


def full(x: Tensor) -> Tensor:
    """Return numbers of 16 bits as float32, others as they are."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


class _SumRows(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, index: Tensor, weight: Tensor, plan: EdgePlan) -> Tensor:
        x, weight = x.detach().contiguous(), weight.detach().contiguous()
        context.save_for_backward(x, index, weight)
        context.plan = plan
        return _rows_into(x, index, weight, plan)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, index, weight = context.saved_tensors
        slope, plan = gradients[0].contiguous(), context.plan
        to_x = _to_rows(x, index, weight, slope, plan) if context.needs_input_grad[0] else None
        to_weight = _of_edges(x, index, slope, weight.shape[1], plan) if context.needs_input_grad[2] else None
        return to_x, None, to_weight, None


class _SumProducts(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, z: Tensor, weight: Tensor, plan: EdgePlan) -> Tensor:
        x, z = x.detach().contiguous(), z.detach().contiguous()
        context.save_for_backward(x, z, weight)
        context.plan = plan
        if not is_compiled(x):
            return plain.products_into(x, z, plan.source, plan.relation, weight, plan.starts)
        result = torch.empty(plan.num_nodes, x.shape[1], dtype=x.dtype)
        _products(*_arrays(x, z, plan.source, plan.relation, weight, plan.starts, result))
        return result

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, z, weight = context.saved_tensors
        slope, plan = gradients[0].contiguous(), context.plan
        results = []
        for own, number, table, other in ((x, plan.source, z, plan.relation), (z, plan.relation, x, plan.source)):
            given = *plan.grouped(number, len(own)), plan.target, other, weight, slope, table
            if is_compiled(x):
                results.append(torch.empty_like(own))
                _products_back(*_arrays(*given, results[-1]))
            else:
                results.append(plain.products_back(*given))
        return *results, None, None


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, index: Tensor, y: Tensor, heads: int, plan: EdgePlan) -> Tensor:
        x, y = x.detach().contiguous(), y.detach().contiguous()
        context.save_for_backward(x, index, y)
        context.plan = plan
        return _of_edges(x, index, y, heads, plan)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, index, y = context.saved_tensors
        slope, plan = gradients[0].contiguous(), context.plan
        return _to_rows(x, index, slope, y, plan), None, _rows_into(x, index, slope, plan), None, None


def _rows_into(x: Tensor, index: Tensor, weight: Tensor, plan: EdgePlan) -> Tensor:
    """Return Σ w_e X_i(e) of each node, (N, D)."""
    if not is_compiled(x):
        return plain.rows_into(x, index, weight, plan.starts)
    result = torch.empty(plan.num_nodes, x.shape[1], dtype=x.dtype)
    _rows(*_arrays(x, index, weight, plan.starts, result))
    return result


def _to_rows(x: Tensor, index: Tensor, weight: Tensor, slope: Tensor, plan: EdgePlan) -> Tensor:
    """Return Σ w_e S_v(e) over the edges that bring each row of X, (P, D), of S (N, D)."""
    given = *plan.grouped(index, len(x)), plan.target, weight, slope
    if not is_compiled(x):
        return plain.rows_back(*given)
    result = torch.empty_like(x)
    _rows_back(*_arrays(*given, result))
    return result


def _of_edges(x: Tensor, index: Tensor, y: Tensor, heads: int, plan: EdgePlan) -> Tensor:
    """Return ⟨X_i(e), Y_v(e)⟩ of each edge, (M, H)."""
    if not is_compiled(x):
        return plain.edge_products(x, index, y, plan.target, heads)
    result = torch.empty(len(index), heads, dtype=x.dtype)
    _edge_products(*_arrays(x, index, plan.target, y, result))
    return result


def _arrays(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    return tuple(tensor.numpy() for tensor in tensors)


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
