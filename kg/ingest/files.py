"""Open an input file or standard input as bytes: unpacked when its name says so, and within bounds.

    plain → as it is    .gz → gzip    .bz2 → bzip2    .zst → Zstandard    "-" → standard input, by its first bytes

A file that unpacks to far more than it holds (a "gzip bomb") is refused before it fills memory or disk, and so is a
line that no graph would have.
"""

from __future__ import annotations

import bz2
import gzip
import io
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from kg.errors import FormatError, InputError

#: The path that means standard input.
STDIN = "-"

#: A file may unpack to so many times its size, once it has unpacked to ``FREE`` bytes. Text packs 5 to 60 times.
MOST_RATIO = 250
FREE = 64 * 2**20

#: Bytes of the longest line that is read; a literal of 10 MB fits in six-fold escapes.
LONGEST_LINE = 64 * 2**20

#: Suffix → (name, first bytes).
PACKINGS = {".gz": ("gzip", b"\x1f\x8b"), ".bz2": ("bzip2", b"BZh"), ".zst": ("Zstandard", b"\x28\xb5\x2f\xfd")}

#: What files of other kinds begin with.
_FOREIGN = {
    b"\xff\xfe": "UTF-16 text: convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)",
    b"\xfe\xff": "UTF-16 text: convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)",
    b"PK\x03\x04": "a zip archive: unpack it first",
    b"%PDF": "a PDF document, not a graph",
    b"\x89PNG": "a PNG picture, not a graph",
    b"\xff\xd8\xff": "a JPEG picture, not a graph",
    b"PAR1": "a Parquet table: use --format parquet",
    b"ARROW1": "an Arrow table: use --format arrow",
    b"SQLite format 3": "a SQLite database, not a graph",
}
_HEAD = 16


def packing_of(path: Path) -> str:
    """Return the suffix in ``PACKINGS`` that a file's name ends in, or nothing."""
    suffix = path.suffix.lower()
    return suffix if suffix in PACKINGS else ""


@contextmanager
def open_bytes(path: Path, longest_line: int | None = None) -> Iterator[IO[bytes]]:
    """Open a file, or standard input for the path "-", for reading bytes; a byte order mark is left out.

    Args:
        longest_line: refuse a line of more bytes, for readers that take whole lines.

    Raises:
        FormatError: the file's name ends in ``.gz``, ``.bz2`` or ``.zst`` and it is not such a file, or is cut off;
            it unpacks to more than ``MOST_RATIO`` times its size; it is of quite another kind.
    """
    is_stdin = str(path) == STDIN
    file: Any = sys.stdin.buffer if is_stdin else path.open("rb")
    try:
        counted = _Counted(file)
        packing = packing_of(path)
        if is_stdin:
            packing = next((suffix for suffix, (_, first) in PACKINGS.items() if counted.head.startswith(first)), "")
        elif not packing:
            for suffix, (name, first) in PACKINGS.items():
                if counted.head.startswith(first):
                    raise FormatError(str(path), 0, f"holds {name} data: name it {path.name}{suffix}")
        yield io.BufferedReader(_Bounded(path, counted, packing, longest_line), 2**18)
    finally:
        if not is_stdin:
            file.close()


def on_disk(path: Path) -> Path:
    """Return ``path`` for a reader that jumps about in its file.

    Raises:
        InputError: standard input, or a packed file.
    """
    if str(path) == STDIN or packing_of(path):
        raise InputError(f"{path} must be a plain file in this format: {'save' if str(path) == STDIN else 'unpack'} it")
    return path


class _Counted:
    """A file that counts what is read from it; its first bytes are in ``head``."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.head: bytes = file.read(_HEAD)
        self._left = self.head
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        if self._left:
            size = len(self._left) if size < 0 else size
            data, self._left = self._left[:size], self._left[size:]
        else:
            data = self._file.read(size)
        self.count += len(data)
        return data


class _Bounded(io.RawIOBase):
    """The unpacked bytes, with damage told as FormatError."""

    def __init__(self, path: Path, counted: _Counted, packing: str, longest_line: int | None) -> None:
        self._path, self._packed, self._longest = path, counted, longest_line
        packed: Any = counted
        self._name = PACKINGS[packing][0] if packing else ""
        self._file: Any = counted
        if packing == ".gz":
            self._file = gzip.GzipFile(fileobj=packed)
        elif packing == ".bz2":
            self._file = bz2.BZ2File(packed)
        elif packing == ".zst":
            self._file = _Zstandard(counted)
        self._count, self._lines, self._run = 0, 1, 0
        self._waiting = b""
        self._is_first = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._waiting or self._read(len(buffer))
        self._waiting = data[len(buffer) :]
        data = data[: len(buffer)]
        buffer[: len(data)] = data
        return len(data)

    def _read(self, size: int) -> bytes:
        try:
            data: bytes = self._file.read(max(size, _HEAD))
            if self._is_first:
                while len(data) < _HEAD and (more := self._file.read(_HEAD)):
                    data += more
        except (EOFError, zlib.error, ValueError, OSError) as error:
            if not self._name or (isinstance(error, OSError) and error.errno is not None):
                raise
            raise FormatError(str(self._path), 0, f"not a whole {self._name} file ({error})") from None
        if self._is_first:
            self._is_first = False
            for first, what in _FOREIGN.items():
                if data.startswith(first):
                    raise FormatError(str(self._path), 0, f"is {what}")
            data = data.removeprefix(b"\xef\xbb\xbf") or (self._read(size) if data else b"")
        self._count += len(data)
        if self._name and self._count > max(FREE, MOST_RATIO * self._packed.count):
            raise FormatError(
                str(self._path),
                0,
                f"unpacks to more than {MOST_RATIO} times its size ({self._packed.count:,} bytes gave "
                f"{self._count:,}): unpack it yourself if you trust it",
            )
        if self._longest:
            self._measure(data, self._longest)
        return data

    def _measure(self, data: bytes, longest: int) -> None:
        last = data.rfind(b"\n")
        self._run = self._run + len(data) if last < 0 else len(data) - last - 1
        if self._run > longest:
            line = self._lines + data.count(b"\n")
            raise FormatError(str(self._path), line, f"a line longer than {longest // 2**20} MiB: is this text?")
        self._lines += data.count(b"\n")


class _Zstandard:
    """A Zstandard stream. The package's own reader takes one that is cut off for a whole one."""

    def __init__(self, file: _Counted) -> None:
        import zstandard

        self._file, self._error = file, zstandard.ZstdError
        self._new = zstandard.ZstdDecompressor
        self._frame = self._new().decompressobj()
        self._rest, self._is_inside = b"", False

    def read(self, size: int) -> bytes:
        while True:
            # A kilobyte can become 30 MB.
            data = self._rest or self._file.read(1024)
            self._rest = b""
            if not data:
                if self._is_inside:
                    raise EOFError("it ends in the middle")
                return b""
            try:
                self._is_inside = True
                result = self._frame.decompress(data)
                if self._frame.eof:
                    self._rest, self._is_inside = self._frame.unused_data, False
                    self._frame = self._new().decompressobj()
            except self._error as error:
                raise EOFError(str(error)) from None
            if result:
                return bytes(result)


def size_of(path: Path) -> int:
    """Return a file's size in bytes, 0 for standard input."""
    return 0 if str(path) == STDIN else os.path.getsize(path)


@contextmanager
def open_chunks(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for readers of large chunks of lines: as ``open_bytes``, but a plain file without its copies."""
    with open_bytes(path, LONGEST_LINE) as careful:
        if str(path) == STDIN or packing_of(path):
            yield careful
            return
        begin = careful.peek(1)[:1]  # type: ignore[attr-defined]  # looks at what kind of file it is
        with path.open("rb") as file:
            if begin and file.read(3) != b"\xef\xbb\xbf":
                file.seek(0)
            yield file


def chunks(path: Path, file: IO[bytes], size: int, line: Callable[[], int]) -> Iterator[memoryview]:
    """Yield chunks of whole lines, each good until the next one: all are read into the same memory.

    Args:
        size: bytes of a chunk; one longer line is a chunk of its own.
        line: says the number of the first line of the next chunk, for the error.

    Raises:
        FormatError: a line longer than ``LONGEST_LINE``.
    """
    room = bytearray(size)
    end = looked = 0
    is_over = False
    while not is_over:
        while end < len(room) and not is_over:
            count = file.readinto(memoryview(room)[end:])  # type: ignore[attr-defined]
            end, is_over = end + count, not count
        stop = end if is_over else room.rfind(b"\n", looked, end) + 1
        if stop:
            yield memoryview(room)[:stop]
            memoryview(room)[: end - stop] = memoryview(room)[stop:end]
            end, looked = end - stop, 0
        elif not is_over:
            if end > LONGEST_LINE:
                much = f"a line longer than {LONGEST_LINE // 2**20} MiB: is this text?"
                raise FormatError(str(path), line(), much)
            looked = end
            grown = bytearray(min(2 * len(room), LONGEST_LINE + 1))
            memoryview(grown)[:end] = room
            room = grown
