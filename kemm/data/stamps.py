"""Things with a picture, sounds and a name in many languages: the stamps of the drawing program Tux Paint.

    animals/birds/crow.png              the picture; .svg where there is no .png
    animals/birds/crow.txt              "A crow." and lines as ``fr.utf8=Un corbeau.``
    animals/birds/crow.ogg              what it sounds like
    animals/birds/crow_desc_fr.ogg      its name, spoken

Debian carries them as ``tuxpaint-stamps-default`` in ``/usr/share/tuxpaint/stamps`` (GPL-2+, with parts of other free
licences; nothing of them is in this repository). Folders are kinds of kinds. What the things are called in a graph, and
which of WordNet's meanings their names have, is in ``kemm.data.stamp_facts``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from kg.errors import InputError

#: Where Debian and its descendants put them.
FOLDER = Path("/usr/share/tuxpaint/stamps")

_SOUNDS = (".ogg", ".wav")
_SPOKEN = re.compile(r"^(?P<thing>.+)_desc(?:_(?P<language>[a-z]{2,3}(?:_[A-Za-z]{2})?))?$")
_NAME = re.compile(r"^(?P<language>[a-z]{2,3}(?:_[A-Z]{2})?(?:@[a-z]+)?)\.utf8=(?P<name>.*)$")


@dataclass(frozen=True, slots=True)
class Thing:
    """One stamp.

    Attributes:
        key: its path below the folder without a suffix, as ``animals/birds/crow``.
        names: language → name, its full stop left out; ``en`` always, others as ``pt_BR`` or ``sr@latin``.
        picture: a file that Pillow reads, or None.
        drawing: an SVG file, or None; there is no decoder of those here.
        sound: what it sounds like, or None.
        spoken: language → its name, spoken.
    """

    key: str
    names: dict[str, str]
    picture: Path | None = None
    drawing: Path | None = None
    sound: Path | None = None
    spoken: dict[str, Path] = field(default_factory=dict)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Its folders from the outermost, as ``("animals", "birds")``."""
        return tuple(self.key.split("/")[:-1])

    @property
    def name(self) -> str:
        return self.names["en"]

    @property
    def sounds(self) -> list[Path]:
        """All recordings, what it sounds like first."""
        return [*([self.sound] if self.sound else []), *(self.spoken[language] for language in sorted(self.spoken))]


def read_stamps(folder: str | Path = FOLDER) -> list[Thing]:
    """Find all things that have a name in English, in the order of their keys. No picture or sound is opened.

    Raises:
        InputError: there is no such folder, or no stamps in it; says how to get them.
    """
    root = Path(folder)
    remedy = "`apt install tuxpaint-stamps-default` puts them into /usr/share/tuxpaint/stamps"
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder of stamps; {remedy}")
    files: dict[str, dict[str, Path]] = {}
    spoken: dict[str, dict[str, Path]] = {}
    for place, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            file = Path(place, name)
            suffix, key = file.suffix.lower(), file.relative_to(root).with_suffix("").as_posix()
            said = _SPOKEN.match(key) if suffix in _SOUNDS else None
            if said:
                spoken.setdefault(said["thing"], {})[said["language"] or "en"] = file
            else:
                files.setdefault(key, {})[suffix] = file
    things = []
    for key, own in sorted(files.items()):
        named = read_names(own[".txt"]) if ".txt" in own else {}
        if "en" in named:
            sound = next((own[suffix] for suffix in _SOUNDS if suffix in own), None)
            thing = Thing(key, named, own.get(".png"), own.get(".svg"), sound, spoken.get(key, {}))
            things.append(thing)
    if not things:
        raise InputError(f"{root}: no stamps there (no NAME.txt that says what NAME.png shows); {remedy}")
    return things


def read_names(file: Path) -> dict[str, str]:
    """Language → name, of a stamp's text: English on its first line, the others as ``LANGUAGE.utf8=NAME``.

    A line of another form is left out, and so are names that are empty or not UTF-8.
    """
    first, *rest = file.read_bytes().splitlines() or [b""]
    names = {"en": _text(first)}
    for line in rest:
        found = _NAME.match(_text(line, keep_stop=True))
        if found:
            names[found["language"]] = _without_stop(found["name"])
    return {language: name for language, name in names.items() if name}


def _text(line: bytes, keep_stop: bool = False) -> str:
    try:
        text = line.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return ""
    return text if keep_stop else _without_stop(text)


def _without_stop(text: str) -> str:
    return text.strip().rstrip(".。।|!！ ").strip()
