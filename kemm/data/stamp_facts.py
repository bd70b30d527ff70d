"""What is known of the stamps of ``kemm.data.stamps``: their folders as kinds, and WordNet's meanings of their names.

A name has many meanings in WordNet ("seal": nine nouns). The folder decides: of a thing in ``animals`` the first
meaning that is an animal is taken. A name none of whose meanings fits its folder is left without; nothing is guessed.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kemm.data.stamps import FOLDER, Thing, read_stamps
from kemm.data.wordings import share
from kg.ingest.wordnet import ONTOLOGY, SYNSET, Synset, data_folder, synsets
from kg.records import RDFS, SKOS, Literal, Picture, Tail

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph

STAMP = "http://www.tuxpaint.org/stamps/"
KIND, SHOWS = STAMP + "ontology#kind", STAMP + "ontology#shows"

#: Folder → what a meaning must be a kind of, WordNet 3.0's offsets; of any other folder, an object or a natural event.
MEANINGS = {
    "animals": ("00015388",),  # animal
    "plants": ("00017222", "12992868", "13134947", "13087625"),  # plant, fungus, fruit, plant organ
    "food": ("00021265", "07555863", "13134947", "00017222", "12992868"),  # food twice, fruit, plant, fungus
    "vehicles": ("03100490",),  # conveyance
    "clothes": ("00021939",),  # artifact
    "people": ("00007846",),  # person
    "space": ("09239740", "00021939"),  # celestial body, artifact
}
_OTHERWISE = ("00021939", "00002684", "11408559")  # artifact, object, natural phenomenon
_MOST_WORDS = 12  # a longer name is a sentence, and says more than what is shown

_ARTICLE = re.compile(r"^(?:an?|the|some|one|two|three|four|several|– because)\s+")
_HEAD_ENDS = re.compile(r"\s+(?:of|in|with|for|on|from|at|to|and|or|that|who|by|as|about|after)\s+|[,;:—(/]")


@dataclass(frozen=True)
class Meaning:
    """A thing's meaning in WordNet.

    Attributes:
        synset: of the meaning; ``above``: what it is a kind of, nearest first, as far as ``entity``.
        lemma: the words of the name that it was found by.
    """

    synset: Synset
    above: tuple[Synset, ...]
    lemma: str


class Nouns:
    """WordNet's nouns by word and by IRI.

    Raises:
        InputError: its data files are not installed.
    """

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or data_folder()
        self.of = {synset.iri: synset for synset in synsets("noun", folder)}
        self.senses: dict[str, list[str]] = {}
        for line in (folder / "index.noun").read_text(encoding="utf-8").splitlines():
            if not line.startswith(" "):
                fields = line.split()
                self.senses[fields[0]] = [f"{SYNSET}{offset}-n" for offset in fields[-int(fields[2]) :]]
        exceptions = (line.split() for line in (folder / "noun.exc").read_text(encoding="utf-8").splitlines())
        self.singular = {plural: lemma for plural, lemma, *_ in exceptions}

    def above(self, iri: str) -> tuple[Synset, ...]:
        """What a meaning is a kind of, level by level."""
        found: dict[str, Synset] = {}
        level = [iri]
        while level:
            up = [o for i in level for name, o in self.of[i].pointers if name in ("hypernym", "instance_hypernym")]
            level = [other for other in dict.fromkeys(up) if other not in found]
            found |= {other: self.of[other] for other in level}
        return tuple(found.values())

    def lemma(self, words: str) -> str:
        """The singular of some words as WordNet has it; "" where it has neither."""
        key = words.replace(" ", "_")
        endings = (("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("men", "man"))
        tried = [key, self.singular.get(key, ""), *(key.removesuffix(a) + b for a, b in endings if key.endswith(a))]
        return next((word for word in tried if word in self.senses), "")

    def meaning(self, thing: Thing) -> Meaning | None:
        """The first meaning of the longest end of the name's head that fits the thing's folder."""
        roots = {f"{SYNSET}{offset}-n" for offset in MEANINGS.get(thing.kinds[0] if thing.kinds else "", _OTHERWISE)}
        if len(thing.name.split()) > _MOST_WORDS:
            return None
        for phrase in itertools.islice(phrases(thing.name), 2):
            words = phrase.split()
            for start in range(len(words)):
                lemma = self.lemma(" ".join(words[start:]))
                for iri in self.senses.get(lemma, ()):
                    above = self.above(iri)
                    if iri in roots or any(synset.iri in roots for synset in above):
                        return Meaning(self.of[iri], above, lemma.replace("_", " "))
        return None


def phrases(name: str) -> Iterator[str]:
    """The parts of a name that may say what it is: its head first, without articles, then what follows.

    ``"A head of red lettuce" → "head", "red lettuce"``
    """
    for part in _HEAD_ENDS.split(name.lower().replace("“", "").replace("”", "").replace("-", " ")):
        words = _ARTICLE.sub("", part.strip(" .!?…)'’–"))
        if words:
            yield words


def split_of(thing: Thing, meaning: Meaning | None, seed: int = 0) -> str:
    """``train`` (70 %), ``val`` (10 %) or ``test`` (20 %), by the last word of what it is.

    So pictures of all pigs, whatever their breed, are on one side, and so are a fire truck and a garbage truck.
    """
    base = (meaning.lemma if meaning else next(phrases(thing.name), thing.key)).split()[-1]
    drawn = share(seed, "stamp", base)
    return "train" if drawn < 0.7 else "val" if drawn < 0.8 else "test"


def knowledge_text(meaning: Meaning | None, levels: int = 3) -> str:
    """What K-LITE (Shen et al., 2022, arXiv:2204.09222) appends to a name: what it is a kind of, and its definition."""
    if meaning is None:
        return ""
    above = ", ".join(synset.lemmas[0] for synset in meaning.above[:levels])
    definition = meaning.synset.gloss.split('; "')[0]
    return f"{meaning.synset.lemmas[0]}, a kind of {above}: {definition}" if above else definition


def facts(things: Iterable[Thing], nouns: Nouns | None) -> Iterator[tuple[str, str, Tail]]:
    """Names, kinds and meanings of the things, and WordNet's facts of those meanings and all above them.

    Args:
        nouns: None leaves WordNet out.
    """
    kinds: set[tuple[str, ...]] = set()
    known: dict[str, Synset] = {}
    for thing in things:
        for language, name in thing.names.items():
            yield STAMP + thing.key, RDFS + "label", Literal(name, language=tag(language))
        if thing.kinds:
            yield STAMP + thing.key, KIND, _folder(thing.kinds)
        kinds |= {thing.kinds[:depth] for depth in range(1, len(thing.kinds) + 1)}
        meaning = nouns.meaning(thing) if nouns else None
        if meaning:
            yield STAMP + thing.key, SHOWS, meaning.synset.iri
            known |= {synset.iri: synset for synset in (meaning.synset, *meaning.above)}
    for kind in sorted(kinds):
        yield _folder(kind), RDFS + "label", Literal(kind[-1], language="en")
        if len(kind) > 1:
            yield _folder(kind), SKOS + "broader", _folder(kind[:-1])
    for iri, synset in sorted(known.items()):
        label, *aliases = dict.fromkeys(synset.lemmas)
        yield iri, RDFS + "label", Literal(label, language="en")
        yield from ((iri, SKOS + "altLabel", Literal(alias, language="en")) for alias in aliases)
        yield iri, SKOS + "definition", Literal(synset.gloss, language="en")
        yield from ((iri, ONTOLOGY + name, other) for name, other in synset.pointers if other in known)
    for relation, label in ((KIND, "kind"), (SHOWS, "shows"), (SKOS + "broader", "broader")):
        yield relation, RDFS + "label", Literal(label, language="en")


def add_stamps(graph: KnowledgeGraph, folder: str | Path = FOLDER, with_wordnet: bool = True) -> dict[str, Any]:
    """Put the stamps into a store: facts and pictures, each picture with its split.

    Returns:
        ``things``, ``linked`` to WordNet, ``pictures``, ``drawings`` (SVG alone, left out), ``sounds``, ``version``.

    Raises:
        InputError: there are no stamps, or no WordNet.
    """
    from kg.store import bulk

    things, nouns = read_stamps(folder), Nouns() if with_wordnet else None
    meanings = {thing.key: nouns.meaning(thing) if nouns else None for thing in things}
    bulk.load(graph, facts(things, nouns), source="tuxpaint-stamps")
    root = Path(folder).absolute()
    pictures = [
        Picture(thing.picture.relative_to(folder).as_posix(), STAMP + thing.key, split, str(root))
        for thing in things
        if thing.picture is not None
        for split in [split_of(thing, meanings[thing.key])]
    ]
    graph.add_pictures(pictures, source="tuxpaint-stamps")
    return {
        "things": len(things),
        "linked": sum(meaning is not None for meaning in meanings.values()),
        "pictures": len(pictures),
        "drawings": sum(thing.picture is None and thing.drawing is not None for thing in things),
        "sounds": sum(len(thing.sounds) for thing in things),
        "version": graph.version,
    }


@functools.cache
def tag(language: str) -> str:
    """A locale as a language tag: ``pt_BR → pt-BR``, ``sr@latin → sr-Latn``, ``ca@valencia → ca-valencia``."""
    return language.replace("_", "-").replace("@latin", "-Latn").replace("@", "-")


def _folder(kinds: tuple[str, ...]) -> str:
    return f"{STAMP}kind/{'/'.join(kinds)}"
