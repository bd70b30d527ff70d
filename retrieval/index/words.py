"""Text made ready for its words to be cut out of it by a tokenizer that knows letters and blanks, in any script."""

from __future__ import annotations

import re
import unicodedata

#: Characters of a text that are looked at.
MOST = 100_000
#: Scripts written without blanks, each of whose characters is a word by itself: Thai, Lao, Burmese, Khmer, kana, Han.
_UNSPACED = re.compile(
    "([\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6\u1000-\u102a\u1780-\u17b3"
    "\u3005-\u3007\u3041-\u3096\u30a1-\u30fa\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])"
)


def readable(text: str) -> str:
    """Return the text in plain letters, its words apart.

    Forms for compatibility become plain (ligatures, full width). Accents, vowel points of Hebrew and Arabic and the
    viramas of India go: typed apart from their letters, as they may be, they would cut words in two.
    Characters of scripts without blanks stand apart. Halves of characters, which bytes that aren't text leave in
    arguments, become question marks.
    """
    text = text[:MOST]
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKD", text.encode("utf-8", "replace").decode())
    text = unicodedata.normalize("NFC", "".join(c for c in text if not _is_mark(c)))
    return _UNSPACED.sub(r" \1 ", text)


def _is_mark(character: str) -> bool:
    """Whether Unicode's combining class makes it one: viramas (9), points (10–35), accents (200 on); no vowel signs."""
    place = unicodedata.combining(character)
    return 9 <= place <= 35 or place >= 200
