"""RDF of any syntax spelt as lines of N-Triples by pyoxigraph; that of a large file by a process of its own.

    for lines in spelt(Path("world.ttl"), RdfFormat.TURTLE): ...       # bytes, whole lines; names of graphs left out

pyoxigraph makes a Python object of each statement and holds the interpreter's lock meanwhile, so nothing else could be
read, numbered or written at the same time. The other process writes its lines to a pipe, each block behind its length;
behind a length of 0 comes the error that stopped it, or nothing. It ends with the pipe.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import IO, Any

import pyoxigraph
from pyoxigraph import RdfFormat

from kg.errors import FormatError, InputError
from kg.ingest.files import STDIN, open_bytes, packing_of, size_of
from kg.ingest.xml_guard import GuardedXml

#: Statements that are spelt at once.
STATEMENTS = 20_000
#: Bytes of lines that are given out at once, about.
BLOCK = 6 << 20
#: Bytes of a file from which on a process of its own pays; a tenth of it where the file is packed.
LARGE = 8 << 20
#: Bytes that the pipe holds where the system lets us choose.
PIPE = 1 << 20

_MEND = "mend it there: what follows a mistake can't be told in this syntax; in N-Triples, lines can be left out"


def spelt(path: Path, format: RdfFormat, base: str | None = None, context: Path | None = None) -> Iterator[bytes]:
    """Yield the statements of a file as lines of N-Triples, in blocks.

    Args:
        base: the IRI that relative IRIs are relative to.
        context: of JSON-LD, a file that stands for the contexts that the document names.

    Raises:
        FormatError: a syntax error; what ``open_bytes`` raises.
        InputError: the base is no absolute IRI, or the context can't be read.
    """
    _check(format, base)
    if str(path) != STDIN and size_of(path) * (10 if packing_of(path) else 1) >= LARGE and sys.executable:
        blocks = _spelt_elsewhere(path, format, base, context)
    else:
        blocks = _spelt_here(path, format, base, context)
    waiting, size = list[bytes](), 0
    for block in blocks:
        waiting.append(block)
        size += len(block)
        if size >= BLOCK:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def _check(format: RdfFormat, base: str | None) -> None:
    try:
        pyoxigraph.parse(b"", format=format, base_iri=base)
    except ValueError as error:
        raise InputError(f"the option 'base' is an absolute IRI, not '{base}' ({error})") from None


def _spelt_here(path: Path, format: RdfFormat, base: str | None, context: Path | None) -> Iterator[bytes]:
    with open_bytes(path) as opened:
        file: Any = opened
        if format == RdfFormat.RDF_XML:
            file = GuardedXml(str(path), opened)
        elif context is not None:
            file = _with_context(path, opened, context)
        triples = map(attrgetter("triple"), pyoxigraph.parse(file, format=format, base_iri=base))
        try:
            # Straight from parser to serializer: a list of the statements would cost half as much again.
            while lines := pyoxigraph.serialize(islice(triples, STATEMENTS), format=RdfFormat.N_TRIPLES):
                yield lines
        except SyntaxError as error:
            line = error.lineno or (file.line if isinstance(file, GuardedXml) else 0)
            raise FormatError(str(path), line, reason(error, _MEND)) from None
        except MemoryError as error:
            longest = 8 if format == RdfFormat.JSON_LD else 16  # what pyoxigraph's buffer of 16 MiB is good for
            raise FormatError(str(path), 0, f"a term is longer than {longest} MiB ({error}): shorten it") from None


# -- the other process -------------------------------------------------------------------------------------------------

_START = "import sys; sys.path[:] = {path!r}; from kg.ingest.spelling import _serve; _serve({arguments!r})"


def _spelt_elsewhere(path: Path, format: RdfFormat, base: str | None, context: Path | None) -> Iterator[bytes]:
    arguments = [str(path), format.file_extension, base, None if context is None else str(context)]
    code = _START.format(path=sys.path, arguments=json.dumps(arguments))
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "pipesize": PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        assert process.stdout is not None
        try:
            read: Callable[[int], bytes] = process.stdout.read
            while size := int.from_bytes(read(8), "little"):
                yield read(size)
            said = read(-1)
        finally:
            process.kill()
    if not said:
        reason = f"the process that read it ended unexpectedly (status {process.returncode}): is there enough memory?"
        raise FormatError(str(path), 0, reason)
    match json.loads(said):
        case {"line": line, "reason": reason}:
            raise FormatError(str(path), line, reason)
        case {"message": message}:
            raise InputError(message)


def _serve(arguments: str) -> None:
    """Write what ``_spelt_here`` gives to standard output; the other process's whole life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that reads decides
    path, extension, base, context = json.loads(arguments)
    said: dict[str, Any] = {}
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0) as pipe:
        out = io.BufferedWriter(pipe, 1 << 16)
        try:
            format = RdfFormat.from_extension(extension)
            assert format is not None
            for lines in _spelt_here(Path(path), format, base, None if context is None else Path(context)):
                out.write(len(lines).to_bytes(8, "little"))
                out.write(lines)
        except FormatError as error:
            said = {"line": error.line, "reason": error.reason}
        except InputError as error:
            said = {"message": str(error)}
        except BrokenPipeError:
            os._exit(1)
        out.write(bytes(8) + json.dumps(said).encode())
        out.flush()


# -- JSON-LD's contexts and pyoxigraph's messages ----------------------------------------------------------------------


def _with_context(path: Path, file: IO[bytes], context: Path) -> IO[bytes]:
    """Return a JSON-LD document whose contexts' addresses are replaced by the context in a file."""
    try:
        local = json.loads(context.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{context} can't be read as a JSON-LD context: {error}") from None
    known = local.get("@context", local) if isinstance(local, dict) else local

    def put(value: Any) -> Any:
        if isinstance(value, list):
            return [put(one) for one in value]
        if isinstance(value, dict):
            return {key: _known(one) if key == "@context" else put(one) for key, one in value.items()}
        return value

    def _known(value: Any) -> Any:
        if isinstance(value, list):
            return [_known(one) for one in value]
        return known if isinstance(value, str) else value

    try:
        return io.BytesIO(json.dumps(put(json.loads(file.read()))).encode())
    except (ValueError, RecursionError) as error:
        raise FormatError(str(path), getattr(error, "lineno", 0), f"not JSON ({error})") from None


def reason(error: SyntaxError, remedy: str = "") -> str:
    """Return pyoxigraph's message without its place, which the error gives itself, on one line, with the remedy."""
    text = str(error.msg)
    if text.startswith("Parser error") and ": " in text:
        text = text.split(": ", 1)[1]
    text = " ".join(text.split())
    if "LoadDocumentCallback" in text:
        return "the context is not in the file, and nothing is fetched: give a local copy with the option context=FILE"
    if re.search("No scheme found", text):
        remedy = "a relative IRI? The option base=IRI of Turtle, TriG, RDF/XML and JSON-LD completes those"
    return text[:300] + (f" ({remedy})" if remedy else "")
