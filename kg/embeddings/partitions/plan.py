"""Which entity is in which part, how many parts a limit needs, and in which order pairs of parts are trained on.

    card(e) = π(e)          part(e) = card(e) mod P          place(e) = card(e) div P

π is a permutation of the numbers of entities, another for each deal: a Feistel network over their bits, walked until it
comes back among them (Black & Rogaway, 2002, "Ciphers with arbitrary finite domains"), so that it takes no memory and
runs backwards. Every epoch deals anew. With the same parts throughout, a query whose answers all lie in one
part would never meet an entity of a third; and neither may parts follow the numbers, e mod P, of which the even ones
are often heads and the odd ones tails.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kg.embeddings.triples import Array
from kg.errors import InputError


@dataclass(frozen=True)
class Plan:
    """E entities in P parts, dealt for the n-th time."""

    num_entities: int
    num_parts: int
    deal: int = 0

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
        return self._shuffle(cards, backwards=True)

    def _card(self, entities: Array) -> Array:
        return self._shuffle(entities.astype(np.int64), backwards=False)

    def _shuffle(self, numbers: Array, backwards: bool) -> Array:
        """Return π of numbers below E, or its inverse; deal 0 leaves them as they are."""
        if not self.deal:
            return numbers
        bits = max(1, -(-int(self.num_entities - 1).bit_length() // 2))
        keys = np.random.default_rng([self.deal, self.num_entities]).integers(0, 1 << 62, 4).tolist()
        found = numbers.copy()
        left = np.arange(len(found))
        while len(left):
            found[left] = _feistel(found[left], keys, bits, backwards)
            left = left[found[left] >= self.num_entities]
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


def _feistel(numbers: Array, keys: list[int], bits: int, backwards: bool) -> Array:
    """Permute the numbers of twice so many bits: each round one half is changed by a hash of the other."""
    mask = (1 << bits) - 1
    high, low = numbers >> bits, numbers & mask

    def mix(half: Array, key: int) -> Array:
        mixed = (half.astype(np.uint64) ^ np.uint64(key)) * np.uint64(0x9E3779B97F4A7C15)  # overflows as it should
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        found: Array = (mixed >> np.uint64(32)).astype(np.int64) & mask
        return found

    for key in reversed(keys) if backwards else keys:
        high, low = (low ^ mix(high, key), high) if backwards else (low, high ^ mix(low, key))
    result: Array = (high << bits) | low
    return result


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
