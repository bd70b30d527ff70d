"""The patterns of relations, counted on arrays of edges: symmetric, inverse, duplicate, composed, 1-1 … n-n.

    symmetric    r(x, y) ⇒ r(y, x)                         inverse      r(x, y) ⇒ s(y, x)
    duplicate    r(x, y) ⇒ s(x, y)                         composition  r(x, y) ∧ s(y, z) ⇒ u(x, z)

The confidence of a rule is the share of the pairs on its left for which its right side holds too, its support their
number. Pairs of an entity with itself are left out: any relation would be symmetric on them.

Patterns as in RotatE (Sun et al., 2019, arXiv:1902.10197); 1-1, 1-n, n-1, n-n by 1.5 tails a head and heads a tail as
in TransE (Bordes et al., 2013).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

#: Mean tails a head (or heads a tail) from which a side counts as "n".
MANY = 1.5
#: Two-step paths drawn for each first relation, and in all, to estimate compositions.
PATHS, ALL_PATHS = 2_000, 500_000


class Rule(NamedTuple):
    """``body`` implies ``head``: relations as dense numbers, how many pairs the body has, and the share that holds."""

    body: tuple[int, ...]
    head: int
    support: int
    confidence: float


@dataclass(frozen=True, slots=True)
class RelationShape:
    """One relation in figures.

    Attributes:
        edges, heads, tails: counts; loops: edges from an entity to itself.
        tails_per_head, heads_per_tail: means; cardinality: ``"1-1"``, ``"1-n"``, ``"n-1"`` or ``"n-n"``.
        symmetric: the share of its pairs whose reverse it holds too, loops apart; None where all are loops.
    """

    edges: int
    heads: int
    tails: int
    loops: int
    tails_per_head: float
    heads_per_tail: float
    cardinality: str
    symmetric: float | None


class Pairs:
    """Edges that can be looked up by (head, tail).

    Args:
        heads, relations, tails: dense numbers, (M,) each, every edge once.
    """

    def __init__(self, heads: Array, relations: Array, tails: Array, num_entities: int, num_relations: int) -> None:
        self.num_entities, self.num_relations = max(num_entities, 1), max(num_relations, 1)
        key = heads.astype(np.int64) * self.num_entities + tails
        order = np.argsort(key, kind="stable")
        self.key, self.heads, self.tails = key[order], heads[order], tails[order]
        self.relations = relations[order].astype(np.int64)

    def between(self, heads: Array, tails: Array) -> tuple[Array, Array]:
        """Return (which, relation) of every edge between the i-th of K heads and the i-th of K tails, (J,) each."""
        wanted = heads.astype(np.int64) * self.num_entities + tails
        low, high = np.searchsorted(self.key, wanted, "left"), np.searchsorted(self.key, wanted, "right")
        which = np.repeat(np.arange(len(wanted)), high - low)
        places = np.arange(len(which)) - np.repeat(np.cumsum(high - low) - (high - low), high - low)
        return which, self.relations[places + low[which]]


def shapes(heads: Array, relations: Array, tails: Array, num_entities: int, num_relations: int) -> list[RelationShape]:
    """Return every relation's figures; edges as for ``Pairs``."""
    edges = np.bincount(relations, minlength=num_relations)
    loops = np.bincount(relations[heads == tails], minlength=num_relations)
    width = max(num_entities, 1)
    num_heads, num_tails = (
        np.bincount(np.unique(relations.astype(np.int64) * width + ends) // width, minlength=num_relations)
        for ends in (heads, tails)
    )
    pairs = Pairs(heads, relations, tails, num_entities, num_relations)
    reverse = _count_both(pairs, is_reversed=True)
    found = []
    for relation in range(num_relations):
        per_head, per_tail = (
            edges[relation] / max(num_heads[relation], 1),
            edges[relation] / max(num_tails[relation], 1),
        )
        cardinality = f"{'1' if per_tail < MANY else 'n'}-{'1' if per_head < MANY else 'n'}"
        proper = int(edges[relation] - loops[relation])
        share = reverse.get((relation, relation), 0) / proper if proper else None
        sizes = int(edges[relation]), int(num_heads[relation]), int(num_tails[relation]), int(loops[relation])
        found.append(RelationShape(*sizes, float(per_head), float(per_tail), cardinality, share))
    return found


def implications(pairs: Pairs, *, is_reversed: bool, confidence: float = 0.0, support: int = 1) -> list[Rule]:
    """Return the rules r(x, y) ⇒ s(y, x) (``is_reversed``) or r(x, y) ⇒ s(x, y), r ≠ s, the surest first."""
    proper = pairs.heads != pairs.tails
    sizes = np.bincount(pairs.relations[proper], minlength=pairs.num_relations)
    found = []
    for (body, head), count in _count_both(pairs, is_reversed).items():
        if body != head and sizes[body] >= support and count / sizes[body] >= confidence:
            found.append(Rule((body,), head, int(sizes[body]), count / int(sizes[body])))
    return sorted(found, key=lambda rule: (-rule.confidence, -rule.support, rule.body, rule.head))


def _count_both(pairs: Pairs, is_reversed: bool) -> dict[tuple[int, int], int]:
    """Return (r, s) → number of pairs of r, loops apart, that s holds too, or holds reversed."""
    proper = pairs.heads != pairs.tails
    heads, tails, body = pairs.heads[proper], pairs.tails[proper], pairs.relations[proper]
    which, head = pairs.between(tails, heads) if is_reversed else pairs.between(heads, tails)
    joined, counts = np.unique(body[which] * pairs.num_relations + head, return_counts=True)
    both = zip((joined // pairs.num_relations).tolist(), (joined % pairs.num_relations).tolist())
    return dict(zip(both, counts.tolist()))


def compositions(pairs: Pairs, *, confidence: float, support: int, seed: int = 0) -> list[Rule]:
    """Return the rules r(x, y) ∧ s(y, z) ⇒ u(x, z), x ≠ z, estimated from paths drawn at random.

    There are up to Σ degree² two-step paths, too many to count: from the edges of each relation r, up to ``PATHS`` are
    drawn evenly with an edge after each. A rule's support is the number of drawn paths of its body.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(pairs.relations, kind="stable")
    bounds = np.searchsorted(pairs.relations[order], np.arange(pairs.num_relations + 1))
    begin = np.searchsorted(pairs.heads, np.arange(pairs.num_entities + 1))  # key order is head order
    degrees = np.diff(begin)
    most = min(PATHS, ALL_PATHS // pairs.num_relations + 1)
    first = []
    for relation in range(pairs.num_relations):
        mine = order[bounds[relation] : bounds[relation + 1]]
        weights = degrees[pairs.tails[mine]].cumsum()  # every two-step path alike
        if len(weights) and weights[-1]:
            drawn = rng.integers(0, weights[-1], min(most, 4 * int(weights[-1])))
            first.append(mine[np.searchsorted(weights, drawn, "right")])
    if not first:
        return []
    one = np.concatenate(first)
    middle = pairs.tails[one]
    two = begin[middle] + rng.integers(0, degrees[middle])
    proper = pairs.heads[one] != pairs.tails[two]
    one, two = one[proper], two[proper]
    width = pairs.num_relations
    body = pairs.relations[one] * width + pairs.relations[two]
    bodies, sizes = np.unique(body, return_counts=True)
    which, head = pairs.between(pairs.heads[one], pairs.tails[two])
    rules, counts = np.unique(body[which] * width + head, return_counts=True)
    size_of = dict(zip(bodies.tolist(), sizes.tolist()))
    found = []
    for rule, count in zip(rules.tolist(), counts.tolist()):
        of, implied = divmod(rule, width)
        if size_of[of] >= support and count / size_of[of] >= confidence:
            found.append(Rule(divmod(of, width), implied, size_of[of], count / size_of[of]))
    return sorted(found, key=lambda rule: (-rule.confidence, -rule.support, rule.body, rule.head))
