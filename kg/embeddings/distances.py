"""Distances from queries to entities: to all of them, and to a few candidates each, compiled and without copies.

    1          Σ |qᵢ − kᵢ|
    2          √Σ (qᵢ − kᵢ)²
    "modulus"  Σ |qᵢ − kᵢ| over complex numbers, a vector being the real parts and then the imaginary ones

Differences are taken number by number, not by the binomial formula, whose cancellation would blur close distances.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from kg.devices import is_compiled
from kg.embeddings.gathered import FAST, gradient_of_rows, grouped
from kg.kernels import njit, prange

Norm = Literal[1, 2, "modulus"]
_CODES: dict[Norm, int] = {1: 1, 2: 2, "modulus": 3}
#: Queries and keys of a tile: keys stay in the first cache while the queries pass.
_QUERIES, _KEYS = 16, 64
#: Differences that plain torch holds at a time.
_BLOCK = 1 << 27


def distances(query: Tensor, keys: Tensor, norm: Norm) -> Tensor:
    """Return the distances of all pairs, (B, D), (E, D) → (B, E)."""
    has_slope = torch.is_grad_enabled() and (query.requires_grad or keys.requires_grad)
    if has_slope and (norm == 2 or not is_compiled(query)):  # of norm 2, matrix products are faster than our kernels
        return _plain(query, keys, norm, query.device.type != "cpu")
    if not is_compiled(query):
        size = max(1, _BLOCK // max(1, keys.numel()))
        parts = [_plain(part, keys, norm, True) for part in query.split(size)]
        return torch.cat(parts) if parts else query.new_empty(0, len(keys))
    result: Tensor = _ToAll.apply(query, keys, _CODES[norm])
    return result


def _plain(query: Tensor, keys: Tensor, norm: Norm, exact: bool) -> Tensor:
    """Return the distances in plain torch; unless ``exact``, which is slow on processors, by the binomial formula."""
    if norm == "modulus":
        return _moduli(query[:, None] - keys).sum(-1)
    mode = "donot_use_mm_for_euclid_dist" if exact else "use_mm_for_euclid_dist_if_necessary"
    return torch.cdist(query, keys, p=norm, compute_mode=mode)


def distance(difference: Tensor, norm: Norm) -> Tensor:
    """Return the norms of differences, (…, D) → (…)."""
    if norm == "modulus":
        return _moduli(difference).sum(-1)
    return torch.linalg.vector_norm(difference, ord=norm, dim=-1)


def distances_to_rows(query: Tensor, keys: Tensor, candidates: Tensor, norm: Norm, sparse: bool = False) -> Tensor:
    """Return the distances of queries to rows of ``keys``, (B, D), (E, D), (B, K) → (B, K).

    Args:
        sparse: give the gradient of ``keys`` as a sparse tensor; ``keys`` must be a parameter itself.
    """
    if not is_compiled(query):
        return distance(query[:, None] - nn.functional.embedding(candidates, keys, sparse=sparse), norm)
    result: Tensor = _ToRows.apply(query, keys, candidates, _CODES[norm], sparse)
    return result


def _moduli(difference: Tensor) -> Tensor:
    a, b = difference.chunk(2, -1)
    return torch.sqrt(a * a + b * b + torch.finfo(difference.dtype).tiny)  # so that the derivative at 0 is 0


class _ToAll(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, query: Tensor, keys: Tensor, code: int) -> Tensor:
        q, k = query.detach().contiguous(), keys.detach().contiguous()
        found = torch.empty(len(q), len(k), dtype=q.dtype)
        _to_all(q.numpy(), k.numpy(), code, found.numpy())
        context.save_for_backward(q, k)
        context.code = code
        return found

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        assert context.code != 2, "its derivative would have to be divided by the distance"
        q, k = context.saved_tensors
        slopes: list[Tensor | None] = []
        for is_needed, a, b, slope in (
            (context.needs_input_grad[0], q, k, gradients[0]),
            (context.needs_input_grad[1], k, q, gradients[0].T),  # distances are the same from both ends
        ):
            found = torch.empty_like(a) if is_needed else None
            if found is not None:
                _slope_of_all(slope.contiguous().numpy(), a.numpy(), b.numpy(), context.code, found.numpy())
            slopes.append(found)
        return *slopes, None


class _ToRows(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, query: Tensor, keys: Tensor, candidates: Tensor, code: int, sparse: bool) -> Tensor:
        q, k, c = query.detach().contiguous(), keys.detach().contiguous(), candidates.contiguous()
        found = torch.empty(c.shape, dtype=q.dtype)
        _to_rows(q.numpy(), k.numpy(), c.numpy(), code, found.numpy())
        context.save_for_backward(q, k, c, found)
        context.code, context.sparse = code, sparse
        return found

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, c, found = context.saved_tensors
        slope = gradients[0].contiguous()
        if context.code == 2:
            slope = torch.where(found > 0, slope / found, 0)
        arrays = slope.numpy(), q.numpy(), k.numpy(), c.numpy()
        to_query = torch.empty_like(q)
        _slope_of_query(*arrays, context.code, to_query.numpy())
        rows, starts, order = grouped(c)
        values = torch.empty(len(rows), q.shape[1], dtype=q.dtype)
        _slope_of_rows(slope.numpy(), q.numpy(), k.numpy(), rows, starts, order, context.code, values.numpy())
        return to_query, gradient_of_rows(rows, values, k.shape, context.sparse), None, None, None


@njit(cache=True, nogil=True, fastmath=FAST, inline="always")
def _one(a: np.ndarray, b: np.ndarray, code: int) -> Any:
    total = np.float32(0)
    if code == 1:
        for d in range(len(a)):
            total += abs(a[d] - b[d])
        return total
    if code == 2:
        for d in range(len(a)):
            difference = a[d] - b[d]
            total += difference * difference
        return math.sqrt(total)
    half = len(a) // 2
    for d in range(half):
        x, y = a[d] - b[d], a[half + d] - b[half + d]
        total += math.sqrt(x * x + y * y)
    return total


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def _to_all(query: np.ndarray, keys: np.ndarray, code: int, result: np.ndarray) -> None:
    num_queries, num_keys = len(query), len(keys)
    for block in prange((num_queries + _QUERIES - 1) // _QUERIES):
        last = min((block + 1) * _QUERIES, num_queries)
        for tile in range(0, num_keys, _KEYS):
            for b in range(block * _QUERIES, last):
                for e in range(tile, min(tile + _KEYS, num_keys)):
                    result[b, e] = _one(query[b], keys[e], code)


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def _to_rows(query: np.ndarray, keys: np.ndarray, candidates: np.ndarray, code: int, result: np.ndarray) -> None:
    for b in prange(len(query)):
        for k in range(candidates.shape[1]):
            result[b, k] = _one(query[b], keys[candidates[b, k]], code)


@njit(cache=True, nogil=True, fastmath=FAST, inline="always")
def _add_slope(a: np.ndarray, b: np.ndarray, factor: Any, code: int, out: np.ndarray) -> None:
    """Add ``factor`` times the derivative of the distance by ``a`` (for code 2, but for 1/distance)."""
    if code == 1:
        for d in range(len(a)):
            difference = a[d] - b[d]
            out[d] += factor * (np.float32(difference > 0) - np.float32(difference < 0))
    elif code == 2:
        for d in range(len(a)):
            out[d] += factor * (a[d] - b[d])
    else:
        half = len(a) // 2
        for d in range(half):
            x, y = a[d] - b[d], a[half + d] - b[half + d]
            scale = factor / math.sqrt(x * x + y * y + np.float32(1e-37))
            out[d] += scale * x
            out[half + d] += scale * y


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def _slope_of_all(slope: np.ndarray, a: np.ndarray, b: np.ndarray, code: int, result: np.ndarray) -> None:
    """Write Σ_j slope_ij times the derivative of ‖a_i − b_j‖ by a_i."""
    for i in prange(len(a)):
        result[i] = 0
        for j in range(len(b)):
            _add_slope(a[i], b[j], slope[i, j], code, result[i])


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def _slope_of_query(
    slope: np.ndarray, query: np.ndarray, keys: np.ndarray, candidates: np.ndarray, code: int, result: np.ndarray
) -> None:
    for b in prange(len(query)):
        result[b] = 0
        for k in range(candidates.shape[1]):
            _add_slope(query[b], keys[candidates[b, k]], slope[b, k], code, result[b])


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def _slope_of_rows(
    slope: np.ndarray,
    query: np.ndarray,
    keys: np.ndarray,
    rows: np.ndarray,
    starts: np.ndarray,
    order: np.ndarray,
    code: int,
    result: np.ndarray,
) -> None:
    num_each = slope.shape[1]
    for n in prange(len(rows)):
        result[n] = 0
        for place in range(starts[n], starts[n + 1]):
            b, k = order[place] // num_each, order[place] % num_each
            _add_slope(keys[rows[n]], query[b], slope[b, k], code, result[n])
