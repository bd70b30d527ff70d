"""Questions generated from the graph."""

from __future__ import annotations

from pydantic import Field

from kemm.settings.section import Section


class Wording(Section):
    """How people ask for one relation. ``{x}`` is the entity asked about, ``{y}`` the answer that is checked."""

    ask: list[str] = []
    of: list[str] = []  # noun phrases, for two hops: "the capital of {x}"
    whether: list[str] = []  # yes/no
    inverse: list[str] = []  # asks for the head, given the tail as {x}


class QuestionSettings(Section):
    """Questions generated from the graph, and what is held out of them."""

    relations: list[str] | None = None  # IRIs or local names; null: every relation with at least ``min_facts`` facts
    min_facts: int = 8
    wordings: dict[str, Wording] = {}  # by relation IRI, local name or label; others get general wordings
    this: list[str] = ["this"]  # how a picture is referred to
    namespaces: dict[str, int] = {}  # IRI prefix → most questions from heads under it (others: all)
    repeats: int = Field(
        2, ge=1, description="how often a fact is asked, each time in other words and of another picture"
    )
    per_relation: int = Field(400, description="most heads of a relation that are asked about")
    two_hop: int = Field(1200, description="most two-hop questions")
    yes_no: int = Field(1200, description="most yes/no questions")
    unknown: float = Field(0.05, description="share of questions whose fact the graph lacks; the answer is 'not known'")
    with_picture: float = Field(0.7, description="share of questions asked of a picture, where the entity has one")
    held_out_facts: float = 0.15
    held_out_entities: float = 0.15
    held_out_wordings: float = 0.25  # of each relation's wordings, at least one
    test: int = Field(1000, description="most held-out questions kept")
