"""Entity linking: the mentions in a text, and which entities each may mean.

    p(e | mention) = w_e / (Σ w + nil),   w_e = name(e) · case(e) · popularity(e) / max popularity · context(e)

name: 1 for a label, ½ for an alias; case: what the casing of the mention says of a name that is written otherwise;
popularity: 1 + log(1 + triples around e), pictures counted too; context: what a judge of the sentence says, and how
well e goes with what the other mentions may mean (`kg.coherence`); nil: the weight of "none of them", larger for a
single word in lower case than for a proper name. The weights were set by hand on questions over WordNet and the
countries.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kg.errors import InputError
from kg.mentions import (
    ALL_CAPITALS,
    LOWER,
    STOP_WORDS,
    Mention,
    NameIndex,
    best_cover,
    casing,
    fold_with_offsets,
    is_asked_for,
    is_word,
    square_of_length,
    surface_of,
)
from kg.names import require_unicode, words_of
from kg.records import Entity, Link

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

#: IRIs of one mention's candidates, and where it stands in the text → a score each, the higher the better; differences
#: of 0.2 count as a factor of e. One score more is that of "none of them", in place of nil.
Context = Callable[[list[str], tuple[int, int]], Sequence[float]]
#: The candidates of every mention, IRI → probability → a factor for each.
Coherence = Callable[[list[dict[str, float]]], list[dict[str, float]]]

_ALIAS = 0.5
_NIL, _NIL_COMMON = 0.1, 0.5
#: Differences of a context's scores that count as a factor of e.
TEMPERATURE = 0.2
#: Characters before and behind a mention that tell how its text is written.
_AROUND = 200
#: What a name of one casing is worth for a mention of another.
_LOWERED = 0.2  # "turkey" for Turkey
_RAISED = 0.4  # "Turkey" for turkey, in the middle of a sentence
_PLURAL = 0.9
_RESPELT = 0.8  # "Deja Vu" for Déjà Vu
_MISCASED = 0.1  # of a mention's length: "in The House" is not the film In the House
#: Names added by ``update`` that are searched beside the others before all are put together anew.
_MOST_LATE = 5_000


@dataclass(slots=True)
class _Known:
    """What the linker keeps of an entity."""

    iri: str
    popularity: float
    types: tuple[str, ...]
    surfaces: tuple[str, ...]
    label: str
    id: int


#: An entity, whether this name is its label, the name as written, and the casing of that.
_Sense = tuple[_Known, bool, str, int]


class EntityLinker:
    """Finds mentions of a graph's entities in texts.

    Args:
        source: a store, or ``(iri, label, aliases)`` of each entity.
        languages: of a store, only names in these are known, and those of no language; "en" has "en-GB" in it.

    Raises:
        InputError: no entity has a name in them.
    """

    def __init__(
        self, source: KnowledgeGraph | Iterable[tuple[str, str, Iterable[str]]], languages: Iterable[str] = ()
    ) -> None:
        self.languages = tuple(languages)
        self._known: dict[str, _Known] = {}
        self._by_id: dict[int, _Known] = {}
        self._senses: dict[str, list[_Sense]] = {}  # by surface
        self._respelt: dict[str, list[str]] = {}  # words of a label → surfaces, where these are something else
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
        coherence: Coherence | None = None,
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
            coherence: re-scores those of all mentions by what goes together, such as `kg.coherence.Coherence`.
            among: only these entities.
            types: only entities of one of these types.

        Raises:
            InputError: the text is not valid Unicode.
        """
        require_unicode(text)
        folded, offsets = fold_with_offsets(text)
        found = [m for index in self._indexes for m in index.find(folded, offsets, text)]
        shouted = text.isupper()
        found = [m for m in found if self._may_be(m, text, shouted, among, types)]
        chosen = best_cover(found, lambda m: self._length(m, text))
        inner = self._inside(chosen, found, text, shouted)
        at = [m.start for m in inner]
        linked: list[tuple[float, list[Link]]] = []
        for mention in [*chosen, *inner]:
            written = text[mention.start : mention.end]
            style = None if shouted or _begins_sentence(text, mention.start) else casing(written)
            links = self._score(mention, written, style, context, among, types)
            if links:
                is_proper = not shouted and any(c.isupper() or c.isdigit() for c in written)
                telling = len(mention.surface.split()) + is_proper + 1 / len(self._senses[mention.surface])
                if any(m is not mention for m in inner[bisect_left(at, mention.start) : bisect_left(at, mention.end)]):
                    telling = 0.5  # a description of something by the name inside it
                elif not is_proper and is_asked_for(text, mention.start):
                    telling = 0.25
                linked.append((telling, links))
        linked.sort(key=lambda pair: (-pair[0], pair[1][0].start))
        found_links = [links for _, links in linked[:limit]]
        if coherence is not None and len(found_links) > 1:
            factors = coherence([{link.entity: link.score for link in links} for links in found_links])
            found_links = [_times(links, factor) for links, factor in zip(found_links, factors, strict=True)]
        return [link for links in found_links for link in links[:per_mention]]

    def candidates(self, mention: str) -> list[Link]:
        """Return all entities that a name may mean, the likeliest first; none when nothing is called so."""
        folded, offsets = fold_with_offsets(mention.strip())
        whole = [m for index in self._indexes for m in index.find(folded, offsets, mention.strip())]
        whole = [m for m in whole if m.start == 0 and m.end == len(mention.strip()) and self._senses.get(m.surface)]
        for found in sorted(whole, key=lambda m: not m.is_exact)[:1]:
            return self._score(found, mention.strip(), None, None, None, None)
        return []

    def number(self, iri: str) -> int:
        """Return the term id of an entity that has a name in the store; 0 for others."""
        known = self._known.get(iri)
        return max(known.id, 0) if known else 0

    def iri(self, number: int) -> str | None:
        """Return the IRI of the entity of a term id, None where it has no name."""
        known = self._by_id.get(number)
        return known.iri if known else None

    def labels(self, iris: Iterable[str]) -> dict[str, str]:
        """Return the labels of those entities that have one in the languages that are known."""
        known = self._known
        return {iri: one.label for iri in iris if (one := known.get(iri)) is not None and one.label}

    def called(self, said: str) -> list[int]:
        """Return the term ids of the entities whose label has just these words, as `kg.names.words_of` gives them."""
        senses = self._senses.get(said, ())
        if said in self._respelt:
            senses = [*senses, *(sense for one in self._respelt[said] for sense in self._senses.get(one, ()))]
        return [known.id for known, is_label, *_ in senses if is_label] if senses else []

    def update(self, graph: KnowledgeGraph) -> bool:
        """Bring the names to the store's version; return whether there was anything to do.

        Only entities of changed facts are read again. Popularities of the others stay as they were.
        """
        version = graph.version
        if version == self.version:
            return False
        changes = graph.changes(self.version)
        if version < self.version or len(changes) > _MOST_LATE:
            for table in (self._known, self._by_id, self._senses, self._respelt):
                table.clear()  # type: ignore[attr-defined]
            self._read(graph)
            return True
        ends = {end for s in changes for end in (s.head, s.tail) if isinstance(end, str)}
        for iri in sorted(ends):
            statements = graph.neighbours(iri)
            self._forget(iri)
            if any(iri in (s.head, s.tail) for s in statements):
                self._add(graph.describe(iri, languages=self.languages), len(statements))
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
        for entity in graph.entities(with_description=False, languages=self.languages):
            self._add(entity, degrees.get(entity.id, 0))
        if self.languages and self._known and not self._senses:
            raise InputError(
                f"no entity of {graph.url} has a name in {', '.join(self.languages)}: give other languages"
            )
        self._index_all()

    def _add(self, entity: Entity, degree: int) -> None:
        names: dict[str, tuple[bool, str]] = {}
        for at, name in enumerate((entity.label, *entity.aliases)):
            if surface := surface_of(name):
                names.setdefault(surface, (at == 0, surface if name == surface else name))
        popularity = 1 + math.log1p(degree + len(entity.pictures))
        known = _Known(entity.iri, popularity, entity.types, tuple(names), entity.label, entity.id)
        self._known[entity.iri] = known
        if entity.id > 0:
            self._by_id[entity.id] = known
        for surface, (is_label, name) in names.items():
            if surface not in self._senses:
                self._senses[surface] = []
                self._late.add(surface)
            self._senses[surface].append((known, is_label, name, casing(name)))
            if is_label and not surface.isalnum() and (said := words_of(name)) != surface:
                respelt = self._respelt.setdefault(said, [])
                if surface not in respelt:
                    respelt.append(surface)

    def _forget(self, iri: str) -> None:
        known = self._known.pop(iri, None)
        if known is not None:
            self._by_id.pop(known.id, None)
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
        written = text[mention.start : mention.end]
        senses = self._senses.get(mention.surface, [])
        if mention.surface in STOP_WORDS or written.lower() in STOP_WORDS:
            if shouted or len(written) < 2:
                return False
            style = casing(written)
            says_nothing = _begins_sentence(text, mention.start) or _is_title(text, mention.start)
            if style != ALL_CAPITALS and (style == LOWER or says_nothing):
                return False
            senses = [one for one in senses if one[3] == ALL_CAPITALS or one[2] == written]  # "US", "IT"
        elif not is_word(mention.surface):  # "M", "300", "$"
            if len(written) == 1 and (written.islower() or (written.isalpha() and shouted)):
                return False
            senses = [sense for sense in senses if sense[2] == written]
        return any(_is_wanted(sense[0], among, types) for sense in senses)

    def _length(self, mention: Mention, text: str) -> float:
        """The weight of a mention among those that overlap it."""
        written = text[mention.start : mention.end]
        is_cased = written[:1].islower() and any(map(str.isupper, written))
        if is_cased and all(name[:1].isupper() for _, _, name, _ in self._senses[mention.surface]):
            return _MISCASED * square_of_length(mention)
        return square_of_length(mention)

    def _inside(self, chosen: list[Mention], found: list[Mention], text: str, shouted: bool) -> list[Mention]:
        """Return the proper names inside longer mentions that are descriptions: Italy in "capital of Italy".

        WordNet has "capital of Italy" as an alias of Rome; who asks for it means Italy. Not so York in "New York".
        """
        inside: list[Mention] = []
        by_start = sorted(found, key=lambda m: m.start)
        starts = [m.start for m in by_start]
        is_cased = any(map(str.isupper, text[1:])) and not shouted
        for outer in chosen:
            is_alias = not any(is_label for _, is_label, *_ in self._senses[outer.surface])
            if " " not in outer.surface or not (text[outer.start].islower() or shouted):
                continue
            for m in by_start[bisect_left(starts, outer.start) : bisect_left(starts, outer.end)]:
                is_within = outer.start <= m.start and m.end <= outer.end and m.end - m.start < outer.end - outer.start
                is_name = is_word(m.surface) and any(style != LOWER for *_, style in self._senses[m.surface])
                if is_within and is_name and (text[m.start].isupper() if is_cased else is_alias):
                    inside.append(m)
        return best_cover(inside)

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
            senses = [one for one in senses if one[3] == ALL_CAPITALS or one[2] == written] or senses
        most = max((sense[0].popularity for sense in senses), default=1.0)
        weights = []
        for known, is_label, name, name_style in senses:
            weight = (1.0 if is_label else _ALIAS) * known.popularity / most
            if style is not None and name_style != LOWER and style == LOWER:
                weight *= _LOWERED
            elif style is not None and name_style == LOWER and style != LOWER:
                weight *= _RAISED
            elif name_style == ALL_CAPITALS and style not in (None, ALL_CAPITALS):
                weight *= _LOWERED
            elif name != written:
                weight *= _RESPELT
            weights.append(weight * (1.0 if mention.is_exact else _PLURAL))
        is_common = (casing(written) == LOWER and " " not in mention.surface) or not is_word(mention.surface)
        nil = _NIL_COMMON if is_common else _NIL
        if context is not None and senses:
            span = mention.start, mention.end
            scores = [float(score) for score in context([sense[0].iri for sense in senses], span)]
            best = max(scores[: len(senses)])
            factors = [math.exp(min(50.0, (score - best) / TEMPERATURE)) for score in scores]
            weights = [weight * factor for weight, factor in zip(weights, factors, strict=False)]
            nil = factors[-1] if len(factors) > len(senses) else nil
        total = sum(weights) + nil
        links = [
            Link(known.iri, weight / total, written, mention.start, mention.end)
            for (known, *_), weight in zip(senses, weights, strict=True)
        ]
        return sorted(links, key=lambda link: -link.score)


def _is_wanted(known: _Known, among: AbstractSet[str] | None, types: AbstractSet[str] | None) -> bool:
    return (among is None or known.iri in among) and (types is None or not types.isdisjoint(known.types))


def _times(links: list[Link], factors: dict[str, float]) -> list[Link]:
    """The links of one mention, re-weighed; how likely "none of them" is stays as it was."""
    total = sum(link.score for link in links)
    weights = [link.score * factors.get(link.entity, 1.0) for link in links]
    scale = total / max(sum(weights), 1e-12)
    scored = [replace(link, score=weight * scale) for link, weight in zip(links, weights, strict=True)]
    return sorted(scored, key=lambda link: -link.score)


def _is_title(text: str, start: int) -> bool:
    """Tell whether most words around a place have a capital, so that a capital says nothing."""
    words = [word for word in text[max(0, start - _AROUND) : start + _AROUND].split() if word[0].isalpha()]
    return 2 * sum(word[0].isupper() for word in words) > len(words)


def _begins_sentence(text: str, start: int) -> bool:
    """Tell whether a capital at ``start`` says nothing, since any word has one there."""
    before = text[max(0, start - _AROUND) : start].rstrip(" \t\n\"'“‘(¿¡")
    return not before or before[-1] in ".!?:"
