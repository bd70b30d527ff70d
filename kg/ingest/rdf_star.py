"""RDF 1.2 annotations and quoted triples (RDF-star) → qualifiers of the fact that they speak of.

    :Italy :capital :Rome {| :since 1871 |} .         reads as (Italy, capital, Rome, ((since, 1871),))
    << :Italy :capital :Rome >> :since 1871 .         the same, where the fact itself is stated nearby

Both are three triples to a parser: the fact, ``_:r rdf:reifies <<( the fact )>>``, and ``_:r :since 1871``. They mostly
stand together, but need not; the last ``RECENT`` facts and ``WINDOW`` annotations are remembered, so memory is bounded.
A fact that is only quoted is not a fact: by default it is rejected.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from typing import Literal as Choice

from kg.errors import FormatError
from kg.ingest.rdf_names import UNIT
from kg.records import Literal, Tail

#: How many facts back an annotation finds the one that it speaks of.
RECENT = 4_096
#: How many annotated facts may be open at once.
WINDOW = 20_000

#: What to do with a quoted triple that is not stated: call it an error, take it as stated, leave it out.
Quoted = Choice["refuse", "state", "drop"]

Triple = tuple[str, str, Tail]


@dataclass(slots=True)
class _Annotated:
    fact: Triple
    is_stated: bool
    qualifiers: list[tuple[str, Tail]] = field(default_factory=list)


class Annotations:
    """The reifiers that are open, each with its fact and what is said of it."""

    def __init__(self, path: str, reject: Callable[[FormatError], None], quoted: Quoted = "refuse") -> None:
        self._path, self._reject, self._quoted = path, reject, quoted
        self.open: OrderedDict[str, _Annotated] = OrderedDict()
        self.recent: deque[Triple] = deque(maxlen=RECENT)
        self._waiting: dict[Triple, list[_Annotated]] = {}

    def quote(self, reifier: str, fact: Triple, is_last: bool) -> Iterator[Any]:
        """Take ``reifier rdf:reifies <<( fact )>>``; yield what falls out of the window.

        Args:
            is_last: the fact is the one just stated, which the caller holds back: it is given out by ``finish``.
        """
        known = self.open.get(reifier)
        if known is not None and known.fact != fact:
            self._fail(f"{reifier} stands for two triples, which can't be stored: {_show(fact)}")
            return
        if known is None:
            entry = _Annotated(fact, is_last or fact in self.recent)
            self.open[reifier] = entry
            if not entry.is_stated:
                self._waiting.setdefault(fact, []).append(entry)
            if len(self.open) > WINDOW:
                yield from self._close(self.open.popitem(last=False)[1])

    def is_awaited(self, fact: Triple) -> bool:
        """Take a stated fact; return whether an annotation has it already, so that it is given out with that."""
        waiting = self._waiting.pop(fact, None) if self._waiting else None
        for entry in waiting or ():
            entry.is_stated = True
        return bool(waiting)

    def finish(self) -> Iterator[Any]:
        """Yield all annotated facts that are still open."""
        while self.open:
            yield from self._close(self.open.popitem(last=False)[1])

    def _close(self, entry: _Annotated) -> Iterator[Any]:
        self._waiting.pop(entry.fact, None)
        if not entry.is_stated and self._quoted == "refuse":
            self._fail(
                f"a triple is quoted but not stated: {_show(entry.fact)} (the reader's option quoted=state takes it "
                "as stated, quoted=drop leaves it out)"
            )
        if entry.is_stated or self._quoted == "state":
            yield with_qualifiers(entry.fact, entry.qualifiers)

    def _fail(self, reason: str) -> None:
        self._reject(FormatError(self._path, 0, reason))


def with_qualifiers(fact: Triple, qualifiers: list[tuple[str, Tail]]) -> Any:
    """Return a fact with its qualifiers, of which a unit goes into its literal."""
    head, relation, tail = fact
    rest = []
    for key, value in qualifiers:
        if key == UNIT and isinstance(tail, Literal) and tail.unit is None:
            tail = replace(tail, unit=str(value))
        else:
            rest.append((key, value))
    return (head, relation, tail, tuple(rest)) if rest else (head, relation, tail)


def _show(fact: Triple) -> str:
    return " ".join(str(part)[:60] for part in fact)
