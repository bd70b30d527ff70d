"""Is-a climbing: what is said of a class is said of everything that it is a kind of."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kg.records import RDFS, SKOS

if TYPE_CHECKING:
    from kg import KnowledgeGraph

_WORDNET = "http://wordnet-rdf.princeton.edu/ontology#"
#: Relations from a thing or a class to a more general class.
IS_A = frozenset(
    {
        _WORDNET + "hypernym",
        _WORDNET + "instance_hypernym",
        RDFS + "subClassOf",
        SKOS + "broader",
        "http://www.wikidata.org/prop/direct/P31",
        "http://www.wikidata.org/prop/direct/P279",
    }
)
_MOST_EDGES = 1 << 20  # out of one entity: a class may have many members before what it is a kind of


class IsA:
    """Some classes of a graph and all that they are kinds of.

        P(a) = Σ_{c ⊑ a} P(c)

    Every class counts once however many ways lead up from it.

    Args:
        graph: read level by level, at the version it has now.
        leaves: C IRIs; "" and those that the graph does not know belong to nobody.
        relations: which lead up.

    Attributes:
        entities: N IRIs, those leaves that the graph knows and their ancestors.
        under: (C, N) bool, leaf c is entity n or a kind of it.
        information: (N,) how much it says to name an entity, 1 for one leaf and 0 for all of them:
            1 − log(leaves under it) / log(leaves known).
    """

    def __init__(self, graph: KnowledgeGraph, leaves: Sequence[str], relations: Collection[str] = IS_A) -> None:
        up = _parents(graph, {leaf for leaf in leaves if leaf}, relations)
        rows: dict[str, int] = {}
        lines: list[list[int]] = []
        for leaf in leaves:
            seen = [leaf] if leaf in up else []
            for entity in seen:  # grows while it is read
                seen += [parent for parent in up[entity] if parent not in seen]
            lines.append([rows.setdefault(entity, len(rows)) for entity in seen])
        self.entities = tuple(rows)
        self.under = np.zeros((len(leaves), len(rows)), dtype=bool)
        for number, line in enumerate(lines):
            self.under[number, line] = True
        known = max(int(self.under.any(1).sum()), 2)
        self.information = 1 - np.log(np.maximum(self.under.sum(0), 1)) / np.log(known)

    def climb(self, chances: np.ndarray) -> np.ndarray:
        """Chances of the leaves (B, C) → of all entities (B, N)."""
        return chances @ self.under.astype(chances.dtype)


def _parents(graph: KnowledgeGraph, leaves: set[str], relations: Collection[str]) -> dict[str, list[str]]:
    """Every entity from the leaves up → what it is directly a kind of."""
    ids = graph.ids([*sorted(leaves), *relations])
    wanted = np.array([ids[relation] for relation in relations if relation in ids], dtype=np.int64)
    level = {ids[leaf] for leaf in leaves if leaf in ids}
    up: dict[int, list[int]] = {}
    while level:
        up.update({entity: [] for entity in level})
        found = graph.fan_out(sorted(level), hops=1, limit=_MOST_EDGES)
        for heads, along, tails in found:
            chosen = np.isin(along, wanted)
            for head, tail in zip(heads[chosen].tolist(), tails[chosen].tolist(), strict=True):
                up[head].append(tail)
        level = {parent for entity in level for parent in up[entity]} - up.keys()
    names = graph.iris(up)
    return {names[entity]: [names[parent] for parent in parents] for entity, parents in up.items()}
