"""Every error that kemm raises on purpose, so that a command can print one clear line and exit with 2.

    KemmError
    ├── InputError          a file or an argument of the user's is wrong; says where and what to do
    │   ├── FormatError     a line of a file can't be read: ``path:line: reason``
    │   ├── ConfigError     a setting is wrong: ``path:line: unknown key …; did you mean …?``
    │   └── UnreadableImage a picture can't be opened or decoded
    ├── StoreError          the store is missing, locked, foreign or of another schema
    │   ├── StoreMissing
    │   └── UnknownEntity   no entity has that IRI or label, or several have
    └── IndexStale          the index was built at another version of the store, or for another store

An error's text is one line that a user can act on. Programming mistakes stay ``AssertionError``.
"""

from __future__ import annotations


class KemmError(Exception):
    """Anything a user can cause; its text is one actionable line."""


class InputError(KemmError):
    """A file, an argument or a question that can't be used."""


class FormatError(InputError):
    """A line that can't be read.

    Args:
        path: the file as the user named it.
        line: 1-based line number; 0 when the format has none.
        reason: what is wrong with it.
    """

    def __init__(self, path: str, line: int, reason: str) -> None:
        self.path, self.line, self.reason = path, line, reason
        super().__init__(f"{path}:{line}: {reason}" if line else f"{path}: {reason}")


class ConfigError(InputError):
    """A YAML file with wrong keys or values; the text has one line a fault."""


class UnreadableImage(InputError):
    """A picture that can't be opened or decoded."""


class StoreError(KemmError):
    """The store can't be used as asked."""


class StoreMissing(StoreError):
    """There is no store at that address."""


class UnknownEntity(StoreError):
    """No entity has that IRI or label, or more than one has that label."""


class IndexStale(KemmError):
    """The index and the store don't belong together any more."""
