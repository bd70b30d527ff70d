"""Sum, sum of squares, highest and lowest of a node's messages in one pass, without a message an edge in memory.

    m_e = X_u ∘ Z_r for an edge e = (u, r, v);  over the edges into v that are kept, and the boundary b_v itself:
    Σ m      Σ m²      max m      min m                                       X (N, D), Z (R, D), b (N, D) → 4 of (N, D)

What principal neighbourhood aggregation (Corso et al., 2020, arXiv:2004.05718) is made of.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kg.devices import is_compiled
from kg.gnn import plain
from kg.gnn.messages import FAST, full
from kg.gnn.plan import EdgePlan
from kg.kernels import njit, prange


def spread_of_products(
    x: Tensor, z: Tensor, boundary: Tensor, kept: Tensor, plan: EdgePlan
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return Σ m, Σ m², max m and min m of each node, (N, D) each; ``kept`` is (M,), 0 for edges left out, else 1."""
    total, square, top, low = _Spread.apply(full(x), full(z), full(boundary), kept, plan)
    return total, square, top, low


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, x: Tensor, z: Tensor, boundary: Tensor, kept: Tensor, plan: EdgePlan
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, z, boundary = (given.detach().contiguous() for given in (x, z, boundary))
        if is_compiled(x):
            total, square, top, low = (torch.empty_like(boundary) for _ in range(4))
            # the edges with the highest and the lowest message, −1 for the boundary
            top_edge, low_edge = (torch.empty(boundary.shape, dtype=torch.int32) for _ in range(2))
            edges = plan.source, plan.relation, kept, plan.starts
            found = total, square, top, low, top_edge, low_edge
            _forward(*(tensor.numpy() for tensor in (x, z, boundary, *edges, *found)))
        else:
            total, square, top, low, top_edge, low_edge = plain.spread(x, z, boundary, kept, plan)
        context.save_for_backward(x, z, boundary, kept, top_edge, low_edge)
        context.plan = plan
        return total, square, top, low

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, z, boundary, kept, top_edge, low_edge = context.saved_tensors
        plan: EdgePlan = context.plan
        total, square, top, low = (gradient.contiguous() for gradient in gradients)
        results: list[Tensor] = []
        slopes = total, square, top, low, top_edge, low_edge
        for own, table, number, other in ((x, z, plan.source, plan.relation), (z, x, plan.relation, plan.source)):
            edges = *plan.grouped(number, len(own)), plan.target, other, kept
            if is_compiled(x):
                results.append(torch.empty_like(own))
                _backward(*(tensor.numpy() for tensor in (*edges, own, table, *slopes, results[-1])))
            else:
                results.append(plain.spread_back(*edges, own, table, slopes))
        to_boundary = total + 2 * boundary * square + (top_edge < 0) * top + (low_edge < 0) * low
        return results[0], results[1], to_boundary, None, None


@njit(cache=True, nogil=True, parallel=True)
def _forward(
    x: np.ndarray,
    z: np.ndarray,
    boundary: np.ndarray,
    source: np.ndarray,
    relation: np.ndarray,
    kept: np.ndarray,
    starts: np.ndarray,
    total: np.ndarray,
    square: np.ndarray,
    top: np.ndarray,
    low: np.ndarray,
    top_edge: np.ndarray,
    low_edge: np.ndarray,
) -> None:
    for v in prange(len(starts) - 1):
        for d in range(x.shape[1]):
            given = boundary[v, d]
            total[v, d], square[v, d], top[v, d], low[v, d] = given, given * given, given, given
            top_edge[v, d] = low_edge[v, d] = -1
        for e in range(starts[v], starts[v + 1]):
            if kept[e] == 0:
                continue
            u, r = source[e], relation[e]
            for d in range(x.shape[1]):
                message = x[u, d] * z[r, d]
                total[v, d] += message
                square[v, d] += message * message
                if message > top[v, d]:
                    top[v, d], top_edge[v, d] = message, e
                if message < low[v, d]:
                    low[v, d], low_edge[v, d] = message, e


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def _backward(
    order: np.ndarray,
    starts: np.ndarray,
    target: np.ndarray,
    other: np.ndarray,
    kept: np.ndarray,
    own: np.ndarray,
    table: np.ndarray,
    total: np.ndarray,
    square: np.ndarray,
    top: np.ndarray,
    low: np.ndarray,
    top_edge: np.ndarray,
    low_edge: np.ndarray,
    result: np.ndarray,
) -> None:
    for p in prange(len(starts) - 1):
        result[p] = 0
        for place in range(starts[p], starts[p + 1]):
            e = order[place]
            if kept[e] == 0:
                continue
            v, o = target[e], other[e]
            for d in range(own.shape[1]):
                slope = total[v, d] + 2 * own[p, d] * table[o, d] * square[v, d]
                if top_edge[v, d] == e:
                    slope += top[v, d]
                if low_edge[v, d] == e:
                    slope += low[v, d]
                result[p, d] += slope * table[o, d]
