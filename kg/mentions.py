"""Find known names in a text: whole words only, case and accents ignored, the longest names winning.

The names are searched all at once (Aho and Corasick, 1975) in the folded text; spans are given in the text as it was.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from ahocorasick_rs import AhoCorasick, MatchKind

from kg.names import fold_character

#: Words that are never a mention by themselves, though WordNet and lists of codes have them as names.
STOP_WORDS = frozenset(
    """
    a about above after again against ago all almost along also although always am among an and another any anybody
    anyone anything are around as at away back be because been before behind being below between both but by call called
    can cannot could did do does doing done down during each either else ever every few for from get give go had has
    have having he hence her here hers herself him himself his how however i if in inside into is it its itself just
    least less like many may me might mine more most much must my myself near neither no nobody none nor not nothing
    now of off often on once one ones only or other others ought our ours ourselves out outside over own per please
    quite rather same say see shall she should show since so some somebody someone something such tell than that the
    their theirs them themselves then there these they thing things this those though through to together too toward
    under until unto up upon us very was we well were what whatever when whence where whether which while who whoever
    whom whose why will with within without would yes yet you your yours yourself yourselves
    """.split()  # noqa: SIM905
)

#: Scripts that are written without blanks between words, so that every place is a word's edge: Thai to Myanmar, Khmer,
#: kana, CJK, and Hangul, where particles are joined on.
_UNSPACED = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x9FFF), (0xAC00, 0xD7AF))

_JOINERS = "-‐‑–_"  # read as a blank: Guinea-Bissau is Guinea Bissau
_APOSTROPHES = "’‘`´"

#: Casing of a name or a mention.
LOWER, CAPITALISED, ALL_CAPITALS = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Mention:
    """A name found in a text. ``surface`` is the folded name; ``is_exact`` is False when a plural was taken off."""

    surface: str
    start: int
    end: int
    is_exact: bool = True


def fold_with_offsets(text: str) -> tuple[str, list[int]]:
    """Return the folded text, and for each of its characters the offset in ``text`` it comes from."""
    if text.isascii():
        plain = text.lower().translate(_BLANKS)
        if "  " not in plain:  # as most questions are: each character stands for itself
            return plain, list(range(len(text)))
    folded: list[str] = []
    offsets: list[int] = []
    for at, character in enumerate(text):
        if character.isspace() or character in _JOINERS:
            plain = "" if folded and folded[-1] == " " else " "
        elif character in _APOSTROPHES:
            plain = "'"
        else:
            plain = fold_character(character)
        for one in plain:
            folded.append(one)
            offsets.append(at)
    return "".join(folded), offsets


def surface_of(name: str) -> str:
    """Return a name as it is searched for."""
    if name.isascii():
        return " ".join(name.lower().translate(_BLANKS).split())
    return fold_with_offsets(name)[0].strip()


def is_word(surface: str) -> bool:
    """Tell whether a name is one wherever it stands; a stray letter, a number or a sign is so only as it is written."""
    return (len(surface) > 1 and any(map(str.isalpha, surface))) or (len(surface) == 1 and _is_unspaced(surface))


_BLANKS = str.maketrans({"-": " ", "_": " ", "`": "'"} | {chr(n): " " for n in range(128) if chr(n).isspace()})


def casing(text: str) -> int:
    """Return how a name is written: all in capitals, beginning with one, or neither."""
    if text[:1].isupper():
        return ALL_CAPITALS if len(text) > 1 and text.isupper() else CAPITALISED
    return CAPITALISED if any(map(str.isupper, text)) else LOWER


class NameIndex:
    """All names, ready to be searched for."""

    def __init__(self, surfaces: Iterable[str]) -> None:
        self._patterns: list[str] = []
        self._surfaces: list[str] = []
        for surface in surfaces:
            for pattern in _written(surface):
                self._patterns.append(pattern)
                self._surfaces.append(surface)
        self._automaton = AhoCorasick(self._patterns, matchkind=MatchKind.Standard) if self._patterns else None

    def __len__(self) -> int:
        return len(self._patterns)

    def find(self, folded: str, offsets: list[int], text: str) -> Iterator[Mention]:
        """Yield every name in a text folded by ``fold_with_offsets``, overlapping ones too."""
        if self._automaton is None:
            return
        is_edge = _edges(folded)
        for number, start, end in self._automaton.find_matches_as_indexes(folded, overlapping=True):
            if not is_edge[start]:
                continue
            surface, is_exact = self._surfaces[number], self._patterns[number] == self._surfaces[number]
            if not any(map(str.isalnum, surface)) and folded[max(0, start - 1) : end + 1].strip() != surface:
                continue  # a sign is a name between blanks only: "$" is none in "$5"
            if not is_edge[end]:
                tail = _plural(folded, end)
                if not tail or not is_exact:
                    continue
                end, is_exact = end + tail, False
            last = offsets[end - 1] + 1
            while last < len(text) and not fold_character(text[last]):  # a combining accent belongs to its letter
                last += 1
            yield Mention(surface, offsets[start], last, is_exact)


def square_of_length(mention: Mention) -> float:
    """The weight of a mention that longer names outweigh; an exact name comes before a plural."""
    return (mention.end - mention.start) ** 2 + 0.5 * mention.is_exact


def best_cover(mentions: Iterable[Mention], weight: Callable[[Mention], float] = square_of_length) -> list[Mention]:
    """Return the mentions that don't overlap and weigh most together, from left to right.

        best(j) = max(best(j − 1), w_j + best(last that ends before j begins)),   w_j = length²

    Of names inside each other that is the longest, as leftmost-longest search has it; of names that overlap in part it
    is the better reading: "in The House of the Devil" is not about "in the house".
    """
    ordered = sorted(mentions, key=lambda m: (m.end, -m.start))
    ends = [mention.end for mention in ordered]
    best, came = [0.0], list[int]()
    for place, mention in enumerate(ordered):
        before = bisect_right(ends, mention.start, 0, place)
        with_it = best[before] + weight(mention)
        came.append(before if with_it > best[-1] else -1)
        best.append(max(best[-1], with_it))
    chosen: list[Mention] = []
    place = len(ordered)
    while place > 0:
        if came[place - 1] < 0:
            place -= 1
        else:
            chosen.append(ordered[place - 1])
            place = came[place - 1]
    return chosen[::-1]


_DETERMINERS = ("which", "what", "whose", "how many", "how much")
_KINDS = frozenset(["kind", "kinds", "type", "types", "sort", "sorts"])


def is_asked_for(text: str, start: int) -> bool:
    """Tell whether a word says what the answer is, not what is asked about: films in "which films are about Rome?"."""
    words = text[max(0, start - 40) : start].lower().split()  # a long text is not read anew for every mention
    if len(words) > 1 and words[-1] == "of" and words[-2] in _KINDS:
        del words[-2:]
    return bool(words) and " ".join(words).endswith(_DETERMINERS) and text[start - 1 : start].isspace()


def _written(surface: str) -> list[str]:
    """A name as it may stand in a text: itself, and with -ies for -y, -ves for -f, -men for -man.

    Other plurals are seen when the name is found.
    """
    if len(surface) > 3 and surface[-1] == "y" and surface[-2].isalpha() and surface[-2] not in "aeiou":
        return [surface, surface[:-1] + "ies"]
    if len(surface) > 3 and surface.endswith(("lf", "af", "ife")):
        return [surface, surface.removesuffix("e")[:-1] + "ves"]
    if surface.endswith("man") and surface != "human":
        return [surface, surface[:-2] + "en"]
    return [surface]


def _plural(folded: str, end: int) -> int:
    """Return the length of a plural's ending at ``end``: 1 for -s, 2 for -es, else 0."""
    if folded[end] == "s" and folded[end - 1] != "s" and _is_edge(folded, end + 1):
        return 1
    if (
        folded[end : end + 2] == "es"
        and folded[:end].endswith(("s", "x", "z", "ch", "sh", "o"))
        and _is_edge(folded, end + 2)
    ):
        return 2
    return 0


def _edges(text: str) -> list[bool]:
    """What `_is_edge` says of every place, the end among them."""
    if not text.isascii():
        return [_is_edge(text, at) for at in range(len(text) + 1)]
    letters = [character.isalnum() for character in text]
    return [True, *(not (before and after) for before, after in pairwise(letters)), True]


def _is_edge(text: str, at: int) -> bool:
    """Tell whether a word can begin or end at ``at``."""
    if at <= 0 or at >= len(text):
        return True
    before, after = text[at - 1], text[at]
    return not (before.isalnum() and after.isalnum()) or _is_unspaced(before) or _is_unspaced(after)


def _is_unspaced(character: str) -> bool:
    return character > "\u0dff" and any(low <= ord(character) <= high for low, high in _UNSPACED)
