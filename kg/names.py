"""How names are read and compared: folding away case and accents, and a readable name for an IRI without a label."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

from kg.errors import InputError

_CAMEL = re.compile(r"(?<=[a-zà-ÿ0-9])(?=[A-Z])")
#: An IRI, absolute or a path; anything else is a name as a table of facts gives it.
_IRI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:|[/#])\S*")


def fold_character(character: str) -> str:
    """Return one character without case and accent: ``É`` → ``e``, ``ß`` → ``ss``, ``が`` → ``が``.

    Only the accents of the European scripts (U+0300 to U+036F) go; in other scripts such marks make another letter.
    """
    if character.isascii():
        return character.lower()
    plain = "".join(c for c in unicodedata.normalize("NFKD", character) if not "\u0300" <= c <= "\u036f")
    return unicodedata.normalize("NFC", plain).casefold()


def fold(text: str) -> str:
    """Return ``text`` for comparison: no case, no accents, runs of white space as one blank."""
    if not text.isascii():
        text = "".join(map(fold_character, text))
    return " ".join(text.lower().split())


def words_of(text: str) -> str:
    """Return the words of a text, without case, accents and punctuation, joined by single blanks."""
    return " ".join(re.findall(r"\w+", fold(text)))


def local_name(iri: str) -> str:
    """Return a readable name from an IRI: ``http://x/#countryOfOrigin`` → ``country of origin``.

    What follows the last ``#`` or ``/``; underscores become blanks, camelCase is split. A plain name that is no IRI is
    kept as it is, as "F/X" and "RoboCop 3"; only one like ``starredActors`` or ``starred_actors`` is split.
    """
    text = iri.removeprefix("_:")
    pieces = _CAMEL.split(text)
    if _IRI.fullmatch(text):
        text = unquote(re.split(r"[#/]", text.rstrip("#/"))[-1])
        pieces = _CAMEL.split(text)
    elif not (text[:1].islower() and text.isalnum() and min(map(len, pieces)) > 1):
        pieces = [text]  # nor are iPhone and eXistenZ words run together
    if text[:1].islower() and text.isalnum():
        text = " ".join(pieces).lower() if len(pieces) > 1 else text
    else:
        text = " ".join(pieces)
    return " ".join(text.replace("_", " ").split()) or iri


def require_unicode(text: str) -> None:
    """Refuse text that no encoding writes, such as what the command line makes of bytes that are not UTF-8.

    Raises:
        InputError: it holds half a surrogate pair; says where.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the text is not valid Unicode (character {error.start + 1}): give it as UTF-8") from None
