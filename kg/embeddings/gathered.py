"""Scores of a few candidates a query without copying their rows: the kernels of negative sampling.

    product_of_rows(Q, K, c)[b, k] = ⟨Q_b, K_c(b,k)⟩            Q (B, D), K (E, D), c (B, K)

Plain torch copies B·K rows forward, and again backward. Compiled, a row is read where it lies, and the gradient of the
rows that occurred comes as a sparse tensor, each row once, summed in a fixed order. On a GPU plain torch does it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kg.devices import is_compiled
from kg.kernels import njit, prange

#: Sums may be reordered and multiplications fused; NaN and infinity keep their meaning.
FAST = {"reassoc", "contract", "nsz", "arcp"}


def product_of_rows(query: Tensor, keys: Tensor, candidates: Tensor, sparse: bool = False) -> Tensor:
    """Return the products of queries with rows of ``keys``, (B, D), (E, D), (B, K) → (B, K).

    Args:
        sparse: give the gradient of ``keys`` as a sparse tensor; ``keys`` must be a parameter itself.
    """
    if not is_compiled(query):
        return (query[:, None] * nn.functional.embedding(candidates, keys, sparse=sparse)).sum(-1)
    result: Tensor = _Product.apply(query, keys, candidates, sparse)
    return result


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, query: Tensor, keys: Tensor, candidates: Tensor, sparse: bool) -> Tensor:
        q, k, c = query.detach().contiguous(), keys.detach().contiguous(), candidates.contiguous()
        scores = torch.empty(c.shape, dtype=q.dtype)
        _products(q.numpy(), k.numpy(), c.numpy(), scores.numpy())
        context.save_for_backward(q, k, c)
        context.sparse = sparse
        return scores

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, c = context.saved_tensors
        slope = gradients[0].contiguous()
        to_query = torch.empty_like(q)
        _product_to_query(slope.numpy(), k.numpy(), c.numpy(), to_query.numpy())
        rows, starts, order = grouped(c)
        values = torch.empty(len(rows), q.shape[1], dtype=q.dtype)
        _product_to_rows(slope.numpy(), q.numpy(), starts, order, values.numpy())
        return to_query, gradient_of_rows(rows, values, k.shape, context.sparse), None, None


def rows_and_table(table: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows of a table and the table, (E, D), (B,) → (B, D), (E, D), whose gradients are added in place.

    Where all of the table is used beside a few of its rows, autograd would make a second table for the rows' gradient
    and a third for the sum. The table's gradient must be new, as that of a product is: the rows' is written into it.
    """
    found: tuple[Tensor, Tensor] = _RowsAndTable.apply(table, numbers)
    return found


class _RowsAndTable(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, table: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        context.save_for_backward(numbers)
        return table.index_select(0, numbers), table.view_as(table)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        to_rows, to_table = gradients
        (numbers,) = context.saved_tensors
        distinct, which = torch.unique(numbers, return_inverse=True)
        # A row that comes twice is summed first, as autograd would: the same to the last bit.
        summed = to_rows.new_zeros(len(distinct), to_rows.shape[1]).index_add_(0, which, to_rows)
        return to_table.index_add_(0, distinct, summed), None


def gradient_of_rows(rows: np.ndarray, values: Tensor, shape: torch.Size, sparse: bool) -> Tensor:
    """Return the gradient of a table from that of distinct rows, sparse or dense."""
    index = torch.from_numpy(rows)
    if sparse:
        return torch.sparse_coo_tensor(index[None], values, shape, is_coalesced=True, check_invariants=False)
    return torch.zeros(shape, dtype=values.dtype).index_copy_(0, index, values)


def grouped(candidates: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distinct numbers, ascending, where the places of each begin, and the places, by number."""
    flat = candidates.reshape(-1).numpy()
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    is_new = np.ones(len(flat), dtype=bool)
    is_new[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(is_new)
    return ordered[starts], np.append(starts, len(flat)), order


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def _products(query: np.ndarray, keys: np.ndarray, candidates: np.ndarray, scores: np.ndarray) -> None:
    width = query.shape[1]
    for b in prange(query.shape[0]):
        for k in range(candidates.shape[1]):
            row = candidates[b, k]
            total = np.float32(0)
            for d in range(width):
                total += query[b, d] * keys[row, d]
            scores[b, k] = total


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def _product_to_query(slope: np.ndarray, keys: np.ndarray, candidates: np.ndarray, result: np.ndarray) -> None:
    width = keys.shape[1]
    for b in prange(candidates.shape[0]):
        for d in range(width):
            result[b, d] = 0
        for k in range(candidates.shape[1]):
            row, factor = candidates[b, k], slope[b, k]
            for d in range(width):
                result[b, d] += factor * keys[row, d]


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def _product_to_rows(
    slope: np.ndarray, query: np.ndarray, starts: np.ndarray, order: np.ndarray, result: np.ndarray
) -> None:
    width, num_each = query.shape[1], slope.shape[1]
    for n in prange(len(starts) - 1):
        for d in range(width):
            result[n, d] = 0
        for place in range(starts[n], starts[n + 1]):
            b, k = order[place] // num_each, order[place] % num_each
            factor = slope[b, k]
            for d in range(width):
                result[n, d] += factor * query[b, d]
