"""Names and values that RDF has no place for, written so that reading gives them back.

a name that is no IRI, "New York"      →  <http://kemm.example/name/New%20York>
a unit, Literal("12", unit="km²")      →  an annotation of the triple: {| <http://kemm.example/annotation/unit> "km²" |}
"""

from __future__ import annotations

from urllib.parse import quote, unquote

#: What the IRI of a name that is no IRI begins with.
NAME = "http://kemm.example/name/"

#: The annotation that gives a literal's unit.
UNIT = "http://kemm.example/annotation/unit"


def as_iri(name: str) -> str:
    """Return the IRI that stands for a name."""
    return NAME + quote(name, safe="")


def from_iri(iri: str) -> str:
    """Return the name that an IRI stands for: itself, unless ``as_iri`` made it."""
    if not iri.startswith(NAME):
        return iri
    try:
        return unquote(iri[len(NAME) :], errors="strict") or iri
    except UnicodeDecodeError:
        return iri
