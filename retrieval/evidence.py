"""What a retriever returns: the anchors it linked, and a few facts around them, each with its score and source."""

from __future__ import annotations

from dataclasses import dataclass, field

from kg.records import Link, Statement


@dataclass(frozen=True, slots=True)
class Query:
    """A question, a picture, or both. ``image`` is whatever the image embedder takes: a path or a PIL image."""

    text: str = ""
    image: object | None = None


@dataclass(frozen=True, slots=True)
class EvidenceFact:
    """One fact of the evidence, read from its anchor outwards.

    Attributes:
        statement: the fact as stored, with source and version.
        score: the retriever's belief that this fact is wanted, in [0, 1]: link score × path relevance.
        forward: True when the walk goes head → tail, False when tail → head.
        hop: 1 when the fact touches its anchor, 2 when it is one fact away.
        anchor: index into ``Evidence.anchors`` of the link the walk started from.
        parent: index into ``Evidence.facts`` of the fact that the walk came through; -1 at hop 1.
        found_by: the searches that brought it, such as ``("graph",)``.
    """

    statement: Statement
    score: float
    forward: bool = True
    hop: int = 1
    anchor: int = 0
    parent: int = -1
    found_by: tuple[str, ...] = ("graph",)

    @property
    def near(self) -> object:
        """The end nearer to the anchor."""
        return self.statement.head if self.forward else self.statement.tail

    @property
    def far(self) -> object:
        """The end that the walk arrives at: what this fact could answer."""
        return self.statement.tail if self.forward else self.statement.head


@dataclass(frozen=True, slots=True)
class Evidence:
    """The facts to answer one query with. A fact's parent always stands before it, and scores fall within a hop.

    Attributes:
        labels: every IRI in facts and anchors → its label.
        is_strange: a picture was given, and it shows none of the store's entities.
    """

    facts: tuple[EvidenceFact, ...] = ()
    anchors: tuple[Link, ...] = ()
    kg_version: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    is_strange: bool = False

    def label(self, end: object) -> str:
        """A readable name of an IRI or a literal."""
        return self.labels.get(end, str(end)) if isinstance(end, str) else str(end)
