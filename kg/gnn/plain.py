"""The sums of ``kg.gnn.messages`` and ``kg.gnn.spread`` in plain torch, for tensors on a GPU.

Edges are sorted by where they go, so a sum is one of neighbouring rows (``torch.segment_reduce``) in a fixed order: the
same numbers each time, without atomic additions. Messages are made for so many columns at a time as ``BLOCK`` lets,
and again for the derivatives, so what is held for backward is what the compiled kernels hold. Where messages are NaN,
so are the sums; the extremes are then those of no message.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from kg.gnn.plan import EdgePlan

#: Numbers of messages that are held at a time, in each of a few tensors.
BLOCK = 1 << 28
#: Rows that one thread goes through: a node with ten thousand edges would keep all others waiting.
_PIECE = 128


class Segments:
    """M neighbouring rows in segments, each cut into pieces: reduced piece by piece, then the pieces.

    Args:
        starts: where each begins, and the end of the last, (N + 1,) int64.
    """

    def __init__(self, starts: Tensor, num_rows: int) -> None:
        self.pieces = torch.cat([starts, torch.arange(0, num_rows, _PIECE, device=starts.device)]).unique()
        self.of_pieces = torch.searchsorted(self.pieces, starts)

    def reduce(self, values: Tensor, kind: Literal["sum", "max", "min"] = "sum") -> Tensor:
        """Return the sum, highest or lowest of each segment's rows, (M, D) → (N, D); 0 or ∓∞ of none."""
        parts = torch.segment_reduce(values, kind, offsets=self.pieces, axis=0, unsafe=True)
        return torch.segment_reduce(parts, kind, offsets=self.of_pieces, axis=0, unsafe=True)


def rows_into(x: Tensor, index: Tensor, weight: Tensor, starts: Tensor) -> Tensor:
    """Return Σ w_e X_i(e) over the neighbouring edges of each segment: (P, D), (M,), (M, H), (N + 1,) → (N, D)."""
    result = x.new_empty(len(starts) - 1, x.shape[1])
    segments, part = Segments(starts, len(index)), x.shape[1] // weight.shape[1]
    for columns in _columns(len(index), x.shape[1]):
        messages = x[:, columns].index_select(0, index)
        result[:, columns] = segments.reduce(messages.mul_(_of_columns(weight, columns, part)))
    return result


def rows_back(order: Tensor, starts: Tensor, target: Tensor, weight: Tensor, slope: Tensor) -> Tensor:
    """Return the derivative by X, (P, D), of slopes (N, D); ``order`` has the edges by the row that they bring."""
    return rows_into(slope, target[order], weight[order], starts)


def edge_products(x: Tensor, index: Tensor, y: Tensor, target: Tensor, heads: int) -> Tensor:
    """Return ⟨X_i(e), Y_v(e)⟩ of each part of an edge's rows, (M, H)."""
    size = max(1, BLOCK // x.shape[1])
    parts = [
        (x.index_select(0, index[first : first + size]) * y.index_select(0, target[first : first + size]))
        .unflatten(1, (heads, -1))
        .sum(-1)
        for first in range(0, len(index), size)
    ]
    return torch.cat(parts) if parts else x.new_zeros(0, heads)


def products_into(x: Tensor, z: Tensor, source: Tensor, relation: Tensor, weight: Tensor, starts: Tensor) -> Tensor:
    """Return Σ w_e X_u ∘ Z_r over the neighbouring edges of each segment, (·, D), (·, D), (M,) three times → (N, D)."""
    result, segments = x.new_empty(len(starts) - 1, x.shape[1]), Segments(starts, len(source))
    for columns in _columns(len(source), x.shape[1]):
        messages = x[:, columns].index_select(0, source).mul_(z[:, columns].index_select(0, relation))
        result[:, columns] = segments.reduce(messages.mul_(weight[:, None]))
    return result


def products_back(
    order: Tensor, starts: Tensor, target: Tensor, other: Tensor, weight: Tensor, slope: Tensor, table: Tensor
) -> Tensor:
    """Return the derivative by the rows that ``order`` sorts edges by; ``other`` are each edge's rows of ``table``."""
    return products_into(slope, table, target[order], other[order], weight[order], starts)


def spread(x: Tensor, z: Tensor, boundary: Tensor, kept: Tensor, plan: EdgePlan) -> tuple[Tensor, ...]:
    """Return Σ m, Σ m², max m, min m, (N, D) each, and the edges with the last two, −1 for the boundary, int32.

    Of equal messages the boundary comes first, then the edge with the lowest number.
    """
    total, square, top, low = (torch.empty_like(boundary) for _ in range(4))
    top_edge, low_edge = (torch.full(boundary.shape, -1, dtype=torch.int32, device=x.device) for _ in range(2))
    edges = kept.nonzero()[:, 0]
    source, relation, target = plan.source[edges], plan.relation[edges], plan.target[edges]
    starts = torch.searchsorted(target, torch.arange(plan.num_nodes + 1, device=x.device))
    segments = Segments(starts, len(edges))
    place = (torch.arange(len(edges), device=x.device) - starts[target]).to(x.dtype)[:, None]  # exact below 2²⁴ a node
    for columns in _columns(len(edges), x.shape[1]):
        given = boundary[:, columns]
        m = x[:, columns].index_select(0, source).mul_(z[:, columns].index_select(0, relation))
        total[:, columns] = segments.reduce(m) + given
        square[:, columns] = segments.reduce(m * m) + given * given
        highest, lowest = segments.reduce(m, "max"), segments.reduce(m, "min")
        for best, beats, extreme, edge in (
            (highest, highest > given, top, top_edge),
            (lowest, lowest < given, low, low_edge),
        ):
            extreme[:, columns] = torch.where(beats, best, given)
            first = segments.reduce(torch.where(m == best.index_select(0, target), place, torch.inf), "min")
            if len(edges):
                found = edges[(starts[:-1, None] + first.where(beats, 0).long()).clamp_max(len(edges) - 1)]
                edge[:, columns] = found.to(torch.int32).where(beats, -1)
    return total, square, top, low, top_edge, low_edge


def spread_back(
    order: Tensor,
    starts: Tensor,
    target: Tensor,
    other: Tensor,
    kept: Tensor,
    own: Tensor,
    table: Tensor,
    slopes: tuple[Tensor, ...],
) -> Tensor:
    """Return the derivative by ``own``, (P, D), of the edges that ``order`` sorts by its rows.

    Args:
        other: (M,) each edge's row of ``table``.
        slopes: derivatives by Σ m, Σ m², max m and min m, and the edges with the last two, (N, D) each.
    """
    result, segments = torch.empty_like(own), Segments(starts, len(order))
    at, other, weight = target[order], other[order], kept[order][:, None]
    for columns in _columns(len(order), own.shape[1]):
        total, square, top, low, top_edge, low_edge = (slope[:, columns] for slope in slopes)
        factor = table[:, columns].index_select(0, other).mul_(weight)
        # Of Σ m and the extremes: the slope of each edge, where the extremes' edges are told by their numbers.
        slope = total.index_select(0, torch.cat([target, target.new_zeros(1)]))  # the last row is for those of no edge
        for extreme, edge in ((top, top_edge), (low, low_edge)):
            _put(slope, torch.where(edge < 0, len(target), edge).long(), total + extreme)
        plain = segments.reduce(slope.index_select(0, order).mul_(factor))
        del slope
        # Of Σ m²: 2 own Σ table² ∘ slope.
        squares = segments.reduce(factor.mul_(factor).mul_(square.index_select(0, at)))
        result[:, columns] = plain + 2 * own[:, columns] * squares
    return result


def _put(into: Tensor, rows: Tensor, values: Tensor) -> None:
    """Write values (N, D) to the rows that each of them names. No place is named twice, but for one that isn't read.

    So their order is of no matter, and torch need not sort them where it is asked for repeatable results.
    """
    was, only_warned = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(False)
    try:
        into.scatter_(0, rows, values)
    finally:
        torch.use_deterministic_algorithms(was, warn_only=only_warned)


def _columns(num_edges: int, width: int) -> Iterator[slice]:
    """Yield the columns that are worked on together."""
    size = max(1, BLOCK // max(1, num_edges))
    for first in range(0, width, size):
        yield slice(first, min(first + size, width))


def _of_columns(weight: Tensor, columns: slice, part: int) -> Tensor:
    """Return the weight of each edge and column, (M, 1) or (M, columns), of (M, H) with ``part`` columns a head."""
    if weight.shape[1] == 1:
        return weight
    return weight[:, torch.arange(columns.start, columns.stop, device=weight.device) // part]
