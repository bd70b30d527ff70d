"""Read XML past a parser that knows no bounds: entities that grow without end ("billion laughs") stop it in time.

Every piece of the file goes through expat first, which holds what entities give below 100 times what was read (once it
is 8 MiB; expat ≥ 2.4.1, CVE-2013-0340). Expat also knows the line of what is ill-formed.
"""

from __future__ import annotations

from typing import IO
from xml.parsers import expat

from kg.errors import FormatError

#: Elements within each other; pyoxigraph's time grows with the square of them.
DEEPEST = 1_000


class GuardedXml:
    """A file of XML, opened for reading bytes, that raises before a reader could meet what is wrong with it.

    Raises:
        FormatError: the XML is not well-formed, or its entities grow too large.
    """

    def __init__(self, path: str, file: IO[bytes]) -> None:
        self._path, self._file = path, file
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler, self._parser.EndElementHandler = self._start, self._end
        self._depth = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)  # never more than asked for: pyoxigraph aborts the process at that
        try:
            self._parser.Parse(data, not data)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            if "amplification" in reason:
                reason = "its entities grow to more than 100 times the file (a 'billion laughs' attack?)"
            else:
                reason = f"not well-formed XML ({reason}): mend it there"
            raise FormatError(self._path, error.lineno, reason) from None
        except UnicodeError as error:
            raise FormatError(self._path, self._parser.CurrentLineNumber, str(error)) from None
        return data

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise FormatError(self._path, self.line, f"elements are nested more than {DEEPEST:,} deep: no graph is")

    def _end(self, name: str) -> None:
        self._depth -= 1

    @property
    def line(self) -> int:
        """The line that was reached."""
        return self._parser.CurrentLineNumber
