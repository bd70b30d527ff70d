"""Entity linking: the mentions in a text, and which entities each may mean.

    p(e | mention) = w_e / (Σ w + nil),   w_e = name(e) · case(e) · popularity(e) / max popularity · context(e)

name: 1 for a label, ½ for an alias; case: what the casing of the mention says of a name that is written otherwise;
popularity: 1 + log(1 + triples around e), pictures counted too; nil: the weight of "none of them", larger for a single
word in lower case than for a proper name. The weights were set by hand on questions over WordNet and the countries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kg.mentions import (
    ALL_CAPITALS,
    LOWER,
    STOP_WORDS,
    Mention,
    NameIndex,
    casing,
    fold_with_offsets,
    leftmost_longest,
    surface_of,
)
from kg.records import Entity, Link

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

#: IRIs of one mention's candidates → a score each, the higher the better; differences of 0.2 count as a factor of e.
Context = Callable[[list[str]], Sequence[float]]

_ALIAS = 0.5
_NIL, _NIL_COMMON = 0.1, 0.5
_TEMPERATURE = 0.2
#: What a name of one casing is worth for a mention of another.
_LOWERED = 0.2  # "turkey" for Turkey
_RAISED = 0.4  # "Turkey" for turkey, in the middle of a sentence
_PLURAL = 0.9
#: Names added by ``update`` that are searched beside the others before all are put together anew.
_MOST_LATE = 5_000


@dataclass(slots=True)
class _Known:
    """What the linker keeps of an entity."""

    iri: str
    popularity: float
    types: tuple[str, ...]
    surfaces: tuple[str, ...]


class EntityLinker:
    """Finds mentions of a graph's entities in texts.

    Args:
        source: a store, or ``(iri, label, aliases)`` of each entity.
    """

    def __init__(self, source: KnowledgeGraph | Iterable[tuple[str, str, Iterable[str]]]) -> None:
        self._known: dict[str, _Known] = {}
        self._senses: dict[str, list[tuple[_Known, bool, int]]] = {}  # surface → (entity, is its label, casing)
        self._indexes: list[NameIndex] = []
        self._late: set[str] = set()  # names that came after the first index was made
        self.version = 0
        if isinstance(source, Iterable):
            for iri, label, aliases in source:
                self._add(Entity(iri, label, aliases=tuple(aliases)), 0)
            self._index_all()
        else:
            self._read(source)

    def __len__(self) -> int:
        return len(self._known)

    def link(
        self,
        text: str,
        limit: int | None = None,
        *,
        per_mention: int = 3,
        context: Context | None = None,
        among: AbstractSet[str] | None = None,
        types: AbstractSet[str] | None = None,
    ) -> list[Link]:
        """Return the links of a text's mentions: the telling mentions first, and of each the likely entities first.

        Longer mentions tell more than shorter ones, proper names more than common words, rare names more than
        ambiguous ones. The scores of one mention sum to at most 1; offsets refer to ``text``.

        Args:
            limit: at most so many mentions.
            per_mention: at most so many entities of each.
            context: re-scores the candidates of a mention, such as by the similarity of their texts to the question.
            among: only these entities.
            types: only entities of one of these types.
        """
        folded, offsets = fold_with_offsets(text)
        found = [m for index in self._indexes for m in index.find(folded, offsets, text)]
        shouted = text.isupper()
        linked: list[tuple[float, list[Link]]] = []
        found = [m for m in found if self._may_be(m, text, shouted, among, types)]
        chosen = leftmost_longest(found)
        inner = self._inside(chosen, found, text, shouted)
        for mention in [*chosen, *inner]:
            written = text[mention.start : mention.end]
            style = None if shouted or _begins_sentence(text, mention.start) else casing(written)
            links = self._score(mention, written, style, context, among, types)
            if links:
                is_proper = casing(written) != LOWER and not shouted
                telling = len(mention.surface.split()) + is_proper + 1 / len(self._senses[mention.surface])
                if any(mention.start <= m.start < mention.end and m is not mention for m in inner):
                    telling = 0.5  # a description of something by the name inside it
                linked.append((telling, links[:per_mention]))
        linked.sort(key=lambda pair: (-pair[0], pair[1][0].start))
        return [link for _, links in linked[:limit] for link in links]

    def candidates(self, mention: str) -> list[Link]:
        """Return all entities that a name may mean, the likeliest first; none when nothing is called so."""
        folded, offsets = fold_with_offsets(mention.strip())
        whole = [m for index in self._indexes for m in index.find(folded, offsets, mention.strip())]
        whole = [m for m in whole if m.start == 0 and m.end == len(mention.strip()) and self._senses.get(m.surface)]
        for found in sorted(whole, key=lambda m: not m.is_exact)[:1]:
            return self._score(found, mention.strip(), None, None, None, None)
        return []

    def update(self, graph: KnowledgeGraph) -> bool:
        """Bring the names to the store's version; return whether there was anything to do.

        Only entities of changed facts are read again. Popularities of the others stay as they were.
        """
        version = graph.version
        if version == self.version:
            return False
        changes = graph.changes(self.version)
        if version < self.version or len(changes) > _MOST_LATE:
            self._known.clear()
            self._senses.clear()
            self._read(graph)
            return True
        ends = {end for s in changes for end in (s.head, s.tail) if isinstance(end, str)}
        before = set(self._senses)
        for iri in sorted(ends):
            statements = graph.neighbours(iri)
            self._forget(iri)
            if any(iri in (s.head, s.tail) for s in statements):
                self._add(graph.describe(iri), len(statements))
        self._late |= self._senses.keys() - before
        self.version = version
        if len(self._late) > _MOST_LATE:
            self._index_all()
        else:
            self._indexes = [self._indexes[0], NameIndex(sorted(self._late))]
        return True

    # -- the names ----------------------------------------------------------------------------------------------------

    def _read(self, graph: KnowledgeGraph) -> None:
        self.version = graph.version
        degrees = graph.degrees()
        for entity in graph.entities(with_description=False):
            self._add(entity, degrees.get(entity.id, 0))
        self._index_all()

    def _add(self, entity: Entity, degree: int) -> None:
        names: dict[str, tuple[bool, int]] = {}
        for at, name in enumerate((entity.label, *entity.aliases)):
            if surface := surface_of(name):
                names.setdefault(surface, (at == 0, casing(name)))
        popularity = 1 + math.log1p(degree + len(entity.pictures))
        known = _Known(entity.iri, popularity, entity.types, tuple(names))
        self._known[entity.iri] = known
        for surface, (is_label, style) in names.items():
            self._senses.setdefault(surface, []).append((known, is_label, style))

    def _forget(self, iri: str) -> None:
        known = self._known.pop(iri, None)
        for surface in known.surfaces if known else ():
            senses = [sense for sense in self._senses[surface] if sense[0] is not known]
            self._senses[surface] = senses  # kept when empty: the automaton still finds it

    def _index_all(self) -> None:
        self._indexes, self._late = [NameIndex(self._senses)], set()

    # -- the scores ---------------------------------------------------------------------------------------------------

    def _may_be(
        self, mention: Mention, text: str, shouted: bool, among: AbstractSet[str] | None, types: AbstractSet[str] | None
    ) -> bool:
        """Tell whether a name found is a mention: not a mere function word, and of an entity that is asked for."""
        senses = self._senses.get(mention.surface, ())
        if mention.surface in STOP_WORDS or text[mention.start : mention.end].lower() in STOP_WORDS:
            if shouted or casing(text[mention.start : mention.end]) != ALL_CAPITALS or mention.end - mention.start < 2:
                return False
            senses = [sense for sense in senses if sense[2] == ALL_CAPITALS]  # "US", "IT"
        return any(_is_wanted(known, among, types) for known, _, _ in senses)

    def _inside(self, chosen: list[Mention], found: list[Mention], text: str, shouted: bool) -> list[Mention]:
        """Return the proper names inside longer mentions that are descriptions: Italy in "capital of Italy".

        WordNet has "capital of Italy" as an alias of Rome; who asks for it means Italy. Not so York in "New York".
        """
        inside: list[Mention] = []
        is_cased = any(map(str.isupper, text[1:])) and not shouted
        for outer in chosen:
            is_alias = not any(is_label for _, is_label, _ in self._senses[outer.surface])
            if " " not in outer.surface or (text[outer.start].isupper() and not shouted):
                continue
            for m in found:
                is_within = outer.start <= m.start and m.end <= outer.end and m.end - m.start < outer.end - outer.start
                is_name = any(style != LOWER for _, _, style in self._senses[m.surface])
                if is_within and is_name and (text[m.start].isupper() if is_cased else is_alias):
                    inside.append(m)
        return leftmost_longest(inside)

    def _score(
        self,
        mention: Mention,
        written: str,
        style: int | None,
        context: Context | None,
        among: AbstractSet[str] | None,
        types: AbstractSet[str] | None,
    ) -> list[Link]:
        senses = [sense for sense in self._senses[mention.surface] if _is_wanted(sense[0], among, types)]
        if mention.surface in STOP_WORDS:
            senses = [sense for sense in senses if sense[2] == ALL_CAPITALS] or senses
        most = max((known.popularity for known, _, _ in senses), default=1.0)
        weights = []
        for known, is_label, name_style in senses:
            weight = (1.0 if is_label else _ALIAS) * known.popularity / most
            if style is not None and name_style != LOWER and style == LOWER:
                weight *= _LOWERED
            elif style is not None and name_style == LOWER and style != LOWER:
                weight *= _RAISED
            elif name_style == ALL_CAPITALS and style not in (None, ALL_CAPITALS):
                weight *= _LOWERED
            weights.append(weight * (1.0 if mention.is_exact else _PLURAL))
        if context is not None and senses:
            scores = [float(score) for score in context([known.iri for known, _, _ in senses])]
            best = max(scores)
            weights = [w * math.exp((s - best) / _TEMPERATURE) for w, s in zip(weights, scores, strict=True)]
        is_common = casing(written) == LOWER and " " not in mention.surface
        total = sum(weights) + (_NIL_COMMON if is_common else _NIL)
        links = [
            Link(known.iri, weight / total, written, mention.start, mention.end)
            for (known, _, _), weight in zip(senses, weights, strict=True)
        ]
        return sorted(links, key=lambda link: -link.score)


def _is_wanted(known: _Known, among: AbstractSet[str] | None, types: AbstractSet[str] | None) -> bool:
    return (among is None or known.iri in among) and (types is None or not types.isdisjoint(known.types))


def _begins_sentence(text: str, start: int) -> bool:
    """Tell whether a capital at ``start`` says nothing, since any word has one there."""
    before = text[:start].rstrip(" \t\n\"'“‘(¿¡")
    return not before or before[-1] in ".!?:"
