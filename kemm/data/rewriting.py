"""Captions made wrong: the rewritten negatives of UNIMO (Li et al., 2021, arXiv:2012.15409), without a parser.

UNIMO rewrites a caption's sentence by a similar picture's, its phrases by scene graphs of others, its words by others.
Here a sentence is the likest of some other captions, a phrase what stands between commas.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

SOME = 32  # captions of other things among which the likest is taken
_WORD = re.compile(r"\w+")


class Rewriter:
    """Rewrite captions of things so that they say something that no caption of the thing says.

    Args:
        captions: thing → its captions.
    """

    def __init__(self, captions: Mapping[str, Sequence[str]]) -> None:
        self.captions = {thing: list(texts) for thing, texts in captions.items() if texts}
        self.things = sorted(self.captions)
        said = ({word for text in texts for word in _words(text)} for texts in self.captions.values())
        counts = Counter(word for words in said for word in words)
        self.rarity = {word: math.log(len(self.things) / count) for word, count in counts.items()}
        self.phrases: dict[str, list[str]] = defaultdict(list)  # first word → phrases
        for phrase in sorted({phrase for texts in self.captions.values() for text in texts for phrase in _split(text)}):
            self.phrases[_words(phrase)[0] if _words(phrase) else ""].append(phrase)

    def __call__(self, thing: str, text: str, rng: np.random.Generator) -> str | None:
        """A wrong caption: of another thing, or with a phrase or a word of another; None where there is no other."""
        ways = [self.sentence, self.phrase, self.word]
        for way in [ways[i] for i in rng.permutation(3)]:
            found = way(thing, text, rng)
            if found is not None and found not in self.captions.get(thing, ()) and found != text:
                return found
        return None

    def sentence(self, thing: str, text: str, rng: np.random.Generator) -> str | None:
        """The caption, of some of other things, that shares the most and rarest words."""
        own = set(_words(text))
        found = [self._other(thing, rng) for _ in range(SOME)]
        scored = [(sum(self.rarity.get(word, 0.0) for word in own & set(_words(o))), o) for o in found if o is not None]
        return max(scored)[1] if scored else None

    def phrase(self, thing: str, text: str, rng: np.random.Generator) -> str | None:
        """One phrase in the place of another that begins with the same word."""
        parts, own = _split(text), {phrase for other in self.captions.get(thing, ()) for phrase in _split(other)}
        for place in rng.permutation(len(parts)):
            first = _words(parts[place])[:1]
            others = [phrase for phrase in self.phrases.get(first[0] if first else "", ()) if phrase not in own]
            if others:
                parts[place] = others[rng.integers(len(others))]
                return ", ".join(parts)
        return None

    def word(self, thing: str, text: str, rng: np.random.Generator) -> str | None:
        """The rarest word in the place of another caption's rarest."""
        other, own = self._other(thing, rng), _words(text)
        if other is None or not own:
            return None
        said = {word for texts in (self.captions.get(thing, ()), (text,)) for one in texts for word in _words(one)}
        new = [word for word in _words(other) if word not in said]
        if not new:
            return None
        rarest, put = (max(words, key=lambda word: self.rarity.get(word, math.inf)) for words in (own, new))
        return re.sub(rf"\b{re.escape(rarest)}\b", put, text, flags=re.IGNORECASE)

    def _other(self, thing: str, rng: np.random.Generator) -> str | None:
        if len(self.things) < 2:
            return None
        other = self.things[rng.integers(len(self.things))]
        if other == thing:
            other = self.things[(self.things.index(other) + 1) % len(self.things)]
        texts = self.captions[other]
        return texts[rng.integers(len(texts))]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
