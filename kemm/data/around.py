"""What training may know around each entity: its facts, description and types; some entities are held out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kemm.data.questions import Fact
from kemm.data.wordings import local_name, share
from kg.records import BOOKKEEPING_RELATIONS, Literal

if TYPE_CHECKING:
    from kemm.data.world import World

HELD_OUT = 0.1  # of the entities that have facts
TYPE_RELATIONS = frozenset(
    ("type", "instance of", "subclass of", "subclassof", "category", "kind", "region", "hypernym", "lexfile")
)
MOST_TYPES = 64

Step = tuple[str, bool]  # a relation, and whether it is walked from head to tail


class Around:
    """Facts by entity, those that questions are tested on left out.

    Attributes:
        facts: entity → its facts as (relation, tail).
        train, dev: entities with two facts or more; one in ten is held out, by name.
        relations: all that occur, in order.
        classes: what things are, the commonest; see ``TYPE_RELATIONS``.
    """

    def __init__(self, world: World, facts: Iterable[Fact]) -> None:
        self.world, seed = world, world.settings.train.seed
        self.facts: dict[str, list[tuple[str, str | Literal]]] = defaultdict(list)
        self._heads: dict[tuple[str, str], list[str]] = defaultdict(list)
        for head, relation, tail in facts:
            if relation not in BOOKKEEPING_RELATIONS and world.holdout.fact(head, relation) == "train":
                self.facts[head].append((relation, tail))
                if isinstance(tail, str):
                    self._heads[relation, tail].append(head)
        known = sorted(head for head, said in self.facts.items() if len(said) > 1)
        self.dev = [head for head in known if share(seed, "around", head) < HELD_OUT]
        held_out = set(self.dev)
        self.train = [head for head in known if head not in held_out]
        self.relations = sorted({relation for said in self.facts.values() for relation, _ in said})
        self._descriptions = {e.iri: e.description for e in world.graph.entities() if e.description}
        kinds = Counter(kind for head in known for kind in self._kinds(head))
        self.classes = [kind for kind, count in kinds.most_common(MOST_TYPES) if count > 1]

    def text(self, entity: str) -> str:
        """Its name, and its description where it has one."""
        label, description = self.world.label(entity), self._descriptions.get(entity)
        return f"{label}: {description}" if description else label

    def known(self, entity: str) -> tuple[list[str], str]:
        """Names of what it is, and its description."""
        return [self.world.label(kind) for kind in self._kinds(entity)], self._descriptions.get(entity, "")

    def types(self, entity: str) -> list[bool]:
        """Which of ``classes`` it is of."""
        kinds = set(self._kinds(entity))
        return [kind in kinds for kind in self.classes]

    def _kinds(self, entity: str) -> list[str]:
        said = self.facts.get(entity, ())
        return [tail for relation, tail in said if isinstance(tail, str) and self._says_type(relation)]

    def _says_type(self, relation: str) -> bool:
        return {self.world.label(relation).lower(), local_name(relation).lower()} & TYPE_RELATIONS != set()

    def ends(self, entity: str, steps: Iterable[Step]) -> set[str]:
        """Where these steps lead."""
        reached = {entity}
        for relation, forward in steps:
            following: set[str] = set()
            for at in reached:
                if forward:
                    following.update(t for r, t in self.facts.get(at, ()) if r == relation and isinstance(t, str))
                else:
                    following.update(self._heads.get((relation, at), ()))
            reached = following
        return reached

    def shared(self, entities: Sequence[str]) -> np.ndarray:
        """(L, L, R) bool: the relations of ``relations`` that join two entities, or say the same of both."""
        number = {relation: place for place, relation in enumerate(self.relations)}
        row = {entity: place for place, entity in enumerate(entities)}
        said: dict[tuple[str, str | Literal], list[int]] = defaultdict(list)
        found = np.zeros((len(entities), len(entities), len(number)), dtype=bool)
        for entity, at in row.items():
            for relation, tail in set(self.facts.get(entity, ())):
                said[relation, tail].append(at)
                if tail in row:
                    found[[at, row[tail]], [row[tail], at], number[relation]] = True
        for (relation, _), places in said.items():
            found[np.ix_(places, places, [number[relation]])] = True
        return found

    def walk(self, rng: np.random.Generator, start: str, is_held_out: bool) -> tuple[tuple[Step, ...], str] | None:
        """One or two random steps from an entity, the second on from there or back to another; None: nowhere to go.

        A walk of training does not end at an entity that is held out.
        """
        links = [(r, t) for r, t in self.facts.get(start, ()) if isinstance(t, str) and t != start]
        if not links:
            return None
        relation, tail = links[rng.integers(len(links))]
        steps: tuple[Step, ...] = ((relation, True),)
        draw = rng.random()
        if draw < 0.25:
            onward = [(r, t) for r, t in self.facts.get(tail, ()) if isinstance(t, str) and t != start]
            if onward:
                second, tail = onward[rng.integers(len(onward))]
                steps = (*steps, (second, True))
        elif draw < 0.6:
            heads = self._heads[relation, tail]
            other = heads[rng.integers(len(heads))]
            if other != start:
                steps, tail = ((relation, True), (relation, False)), other
        if not is_held_out and share(self.world.settings.train.seed, "around", tail) < HELD_OUT:
            return None
        return steps, tail
