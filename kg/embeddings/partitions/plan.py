"""Which entity is in which part, how many parts a limit needs, and in which order pairs of parts are trained on.

    card(e) = m e mod E        part(e) = card(e) mod P          place(e) = card(e) div P

m, coprime to E, is drawn for each deal. Every epoch deals anew: with the same parts throughout, a query whose answers
all lie in one part would never meet an entity of a third (CoDEx-S in four parts: a validation MRR of 0.37 instead of
0.43 in memory).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kg.embeddings.triples import Array
from kg.errors import InputError


@dataclass(frozen=True)
class Plan:
    """E entities in P parts, dealt for the n-th time."""

    num_entities: int
    num_parts: int
    deal: int = 0

    @cached_property
    def factor(self) -> int:
        """Return m; 1 in the first deal."""
        random = np.random.default_rng([self.deal, self.num_entities])
        factor = 1
        while self.deal and (factor == 1 or math.gcd(factor, self.num_entities) > 1) and self.num_entities > 4:
            factor = int(random.integers(self.num_entities // 3, self.num_entities))
        return factor

    @property
    def size(self) -> int:
        """Return how many entities the largest part has."""
        return -(-self.num_entities // self.num_parts)

    def count(self, part: int) -> int:
        """Return how many entities a part has."""
        return -(-(self.num_entities - part) // self.num_parts)

    def part(self, entities: Array) -> Array:
        return self._card(entities) % self.num_parts

    def place(self, entities: Array) -> Array:
        return self._card(entities) // self.num_parts

    def entities(self, part: int) -> Array:
        """Return the entities of a part, by place, (n,) int64."""
        cards = np.arange(part, self.num_entities, self.num_parts, dtype=np.int64)
        found: Array = cards * pow(self.factor, -1, self.num_entities) % self.num_entities
        return found

    def _card(self, entities: Array) -> Array:
        found: Array = entities.astype(np.int64) * self.factor % self.num_entities
        return found

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
