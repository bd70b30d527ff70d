"""Which entity is in which part, how many parts a limit needs, and in which order pairs of parts are trained on.

    part(e) = e mod P          place(e) = e div P

Entities are numbered in the order in which they first come, and the first are the most frequent: dealt out like cards,
every part gets its share of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kg.embeddings.triples import Array
from kg.errors import InputError


@dataclass(frozen=True)
class Plan:
    """E entities in P parts."""

    num_entities: int
    num_parts: int

    @property
    def size(self) -> int:
        """Return how many entities the largest part has."""
        return -(-self.num_entities // self.num_parts)

    def count(self, part: int) -> int:
        """Return how many entities a part has."""
        return -(-(self.num_entities - part) // self.num_parts)

    def part(self, entities: Array) -> Array:
        return entities % self.num_parts

    def place(self, entities: Array) -> Array:
        return entities // self.num_parts

    def pairs(self, random: np.random.Generator) -> list[tuple[int, int]]:
        """Return all pairs of parts, once each, in an order in which each shares a part with the one before.

        The first part meets all others in turn, the second all but the first in the opposite order, and so on; which
        part is called the first is drawn.
        """
        names = random.permutation(self.num_parts).tolist()
        found = []
        for first in range(self.num_parts - 1):
            others = range(first + 1, self.num_parts)
            found += [(names[first], names[other]) for other in (others if first % 2 == 0 else reversed(others))]
        return found


def choose(num_entities: int, bytes_an_entity: int, rest: int, limit: int) -> Plan:
    """Return the plan with the fewest parts of which two fit into a limit; one part where all of it fits.

    Args:
        bytes_an_entity: of its vector and what the optimiser keeps of it.
        rest: bytes of all other parameters, which stay in memory.
        limit: bytes.

    Raises:
        InputError: not even parts of one entity fit.
    """
    if rest + num_entities * bytes_an_entity <= limit:
        return Plan(num_entities, 1)
    size = (limit - rest) // (2 * bytes_an_entity)
    if size < 1:
        raise InputError(
            f"training.memory ({limit / 1e6:g} MB) leaves no room for two entities beside {rest / 1e6:.1f} MB of other "
            f"parameters: it must be at least {(rest + 2 * bytes_an_entity) / 1e6:.1f}"
        )
    return Plan(num_entities, -(-num_entities // size))
