"""Open an input file, gunzipped when its name says so."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from kg.errors import FormatError


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes.

    Raises:
        FormatError: the file's name ends in ``.gz`` and it is not gzipped, or is cut off.
    """
    is_packed = path.suffix.lower() == ".gz"
    with gzip.open(path, "rb") if is_packed else path.open("rb") as file:
        try:
            yield file  # type: ignore[misc]
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FormatError(str(path), 0, f"not a whole gzip file ({error})") from None
