"""Typed edges sorted once for message passing: by target, with each distinct (relation, node) listed once.

In a knowledge graph many edges share relation and source: FB15k-237 with its inverses has 544,230 edges and 149,689
such pairs. What is computed of relation and source alone need be computed once a pair.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from kg.errors import InputError


@dataclass(frozen=True)
class Pairs:
    """P distinct (relation, node), those of one relation next to each other.

    Attributes:
        node: (P,) int64.
        relation: (P,) int64, ascending.
        counts: pairs of each relation, (R,) in a list, for ``torch.split``.
        of_edge: the pair of each edge, (M,) int64.
    """

    node: Tensor
    relation: Tensor
    counts: list[int]
    of_edge: Tensor

    def on(self, device: torch.device) -> Pairs:
        """Return the same on a device."""
        return Pairs(self.node.to(device), self.relation.to(device), self.counts, self.of_edge.to(device))

    def transform(self, x: Tensor, weights: Tensor) -> Tensor:
        """Return W_r x_node of each pair, (N, D), (R, D, K) → (P, K): one product a relation."""
        parts = torch.split(x.index_select(0, self.node), self.counts)
        # unbind and split, not indexing, whose gradients would each be of the whole tensor
        products = [part @ weight for part, weight in zip(parts, weights.unbind(0)) if len(part)]
        return torch.cat(products) if products else x.new_zeros(0, weights.shape[2])


@dataclass(frozen=True)
class EdgePlan:
    """M edges sorted by target.

    Attributes:
        num_nodes, num_relations: N and R.
        source, relation, target: (M,) int64 each; targets ascend.
        starts: where the edges into each node begin, (N + 1,).
        order: where each edge stood in what was given, (M,).
        sources, targets: distinct (relation, source) and (relation, target).
    """

    num_nodes: int
    num_relations: int
    source: Tensor
    relation: Tensor
    target: Tensor
    starts: Tensor
    order: Tensor
    sources: Pairs
    targets: Pairs
    _groups: dict[tuple[int, int], tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False, compare=False)
    _there: dict[torch.device, EdgePlan] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def make(cls, edge_index: Tensor, edge_type: Tensor, num_nodes: int, num_relations: int) -> EdgePlan:
        """Sort edges.

        Args:
            edge_index: (2, M) int64, sources and targets.
            edge_type: (M,) int64.

        Raises:
            InputError: an edge of a node or a relation that there is not.
        """
        source, target, relation = edge_index[0].numpy(), edge_index[1].numpy(), edge_type.numpy()
        for name, numbers, limit in (
            ("node", edge_index.numpy(), num_nodes),
            ("relation", relation, num_relations),
        ):
            if numbers.size and (numbers.min() < 0 or numbers.max() >= limit):
                raise InputError(f"an edge has the {name} {numbers.max()}, there are {limit}")
        order = np.argsort(target, kind="stable")
        source, target, relation = source[order], target[order], relation[order]
        starts = np.searchsorted(target, np.arange(num_nodes + 1))
        return cls(
            num_nodes,
            num_relations,
            torch.from_numpy(source),
            torch.from_numpy(relation),
            torch.from_numpy(target),
            torch.from_numpy(starts),
            torch.from_numpy(order),
            _pairs(relation, source, num_nodes, num_relations),
            _pairs(relation, target, num_nodes, num_relations),
        )

    @classmethod
    def both_ways(cls, triples: np.ndarray, num_nodes: int, num_relations: int) -> EdgePlan:
        """Sort triples (head, relation, tail), (M, 3), and their inverses (tail, relation + R, head): 2M edges."""
        heads, relations, tails = torch.from_numpy(np.asarray(triples, dtype=np.int64).T)
        edge_index = torch.stack([torch.cat([heads, tails]), torch.cat([tails, heads])])
        return cls.make(edge_index, torch.cat([relations, relations + num_relations]), num_nodes, 2 * num_relations)

    def on(self, device: torch.device) -> EdgePlan:
        """Return the same on a device; it is moved once."""
        if self.source.device == device:
            return self
        if device not in self._there:
            columns = (self.source, self.relation, self.target, self.starts, self.order)
            names = ("source", "relation", "target", "starts", "order")
            moved = {name: column.to(device) for name, column in zip(names, columns)}
            pairs = {"sources": self.sources.on(device), "targets": self.targets.on(device)}
            self._there[device] = replace(self, **moved, **pairs, _groups={}, _there={})  # type: ignore[arg-type]
        return self._there[device]

    @functools.cached_property
    def mean_in_relation(self) -> Tensor:
        """1 / |N_r(v)| of each edge (·, r, v), (M,): so that sums become means within a relation."""
        return self.mean_among(torch.ones(len(self.source), device=self.source.device))

    def mean_among(self, kept: Tensor) -> Tensor:
        """Return the same where some edges are 1 and the others, left out, 0: (M,) → (M,)."""
        keys = self.targets.of_edge
        counts = kept.new_zeros(len(self.targets.node)).index_add(0, keys, kept)
        return kept / counts[keys].clamp_min(1)

    @functools.cached_property
    def symmetric_norm(self) -> Tensor:
        """1 / √(d(u) d(v)) of each edge, (M,), d(u) edges out of u and d(v) into v."""
        out = torch.bincount(self.source, minlength=self.num_nodes)[self.source]
        into = torch.bincount(self.target, minlength=self.num_nodes)[self.target]
        return torch.rsqrt(out.float() * into.float())

    def grouped(self, numbers: Tensor, limit: int) -> tuple[Tensor, Tensor]:
        """Return the edges by a number that each has, and where those of each number begin, (M,), (limit + 1,).

        The answer is kept for the plan's own columns, which every step asks for again.
        """
        own = (self.source, self.relation, self.sources.of_edge, self.targets.of_edge)
        is_own = any(numbers.data_ptr() == column.data_ptr() for column in own)
        key = numbers.data_ptr(), limit
        if is_own and key in self._groups:
            return self._groups[key]
        ordered, order = torch.sort(numbers, stable=True)
        found = order, torch.searchsorted(ordered, torch.arange(limit + 1, device=numbers.device))
        if is_own:
            self._groups[key] = found
        return found


def _pairs(relation: np.ndarray, node: np.ndarray, num_nodes: int, num_relations: int) -> Pairs:
    keys, of_edge = np.unique(relation * num_nodes + node, return_inverse=True)
    relations, nodes = np.divmod(keys, num_nodes)
    counts = np.bincount(relations, minlength=num_relations).tolist()
    return Pairs(torch.from_numpy(nodes), torch.from_numpy(relations), counts, torch.from_numpy(of_edge))
