"""Folders that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from kg.errors import InputError


def check_free(folder: Path, mark: str, what: str) -> None:
    """Refuse to write where something else is than what is to be replaced.

    Args:
        mark: a file that every such folder has.
        what: they hold, for the error.

    Raises:
        InputError: the folder holds something else.
    """
    is_free = not folder.exists() or (folder.is_dir() and ((folder / mark).is_file() or not any(folder.iterdir())))
    if not is_free:
        raise InputError(f"{folder}: holds something else than {what}; name a new folder")


@contextlib.contextmanager
def written_whole(folder: Path, mark: str, what: str) -> Iterator[Path]:
    """Give a folder beside to write into, which takes the place of ``folder`` at the end; else the old one stays.

    Raises:
        InputError: as `check_free`.
    """
    check_free(folder, mark, what)
    partial, old = (folder.with_name(f"{folder.name}.{word}") for word in ("partial", "old"))
    for each in (partial, old):
        shutil.rmtree(each, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        if folder.exists():
            os.replace(folder, old)
        os.replace(partial, folder)
    finally:
        for each in (partial, old):
            shutil.rmtree(each, ignore_errors=True)
