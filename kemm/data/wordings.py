"""How one asks about a relation: the wordings given by the settings, or general ones made from the relation's label."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kemm.settings import Wording

GENERAL = Wording(
    ask=[
        "What is the {r} of {x}?",
        "Which {r} does {x} have?",
        "Tell me the {r} of {x}.",
        "{x}: what is its {r}?",
        "Do you know the {r} of {x}?",
        "I would like to know the {r} of {x}.",
        "What {r} goes with {x}?",
    ],
    of=["the {r} of {x}", "a {r} of {x}", "what is the {r} of {x}", "that which is the {r} of {x}"],
    whether=[
        "Is {y} the {r} of {x}?",
        "Is {y} a {r} of {x}?",
        "Does {x} have the {r} {y}?",
        "Is it true that {y} is the {r} of {x}?",
        "Would you say that the {r} of {x} is {y}?",
    ],
)


def local_name(iri: str) -> str:
    """The part of an IRI after its last ``#``, ``/`` or ``:``."""
    return re.split(r"[#/:]", iri.rstrip("#/"))[-1]


def wording_for(relation: str, label: str, given: Mapping[str, Wording]) -> Wording:
    """The wordings of a relation, looked up by IRI, then local name, then label; gaps are filled with general ones.

    Returns:
        A ``Wording`` with at least four each of ``ask``, ``of`` and ``whether``; ``{r}`` is already filled in.
    """
    own = given.get(relation) or given.get(local_name(relation)) or given.get(label) or Wording()

    def at_least_four(mine: list[str], general: list[str]) -> list[str]:
        missing = [text.replace("{r}", label) for text in general] if len(mine) < 4 else []
        return mine + [text for text in missing if text not in mine]

    return Wording(
        ask=at_least_four(own.ask, GENERAL.ask),
        of=at_least_four(own.of, GENERAL.of),
        whether=at_least_four(own.whether, GENERAL.whether),
        inverse=own.inverse,
    )


def split_wordings(texts: list[str], held_out: float) -> tuple[list[str], list[str]]:
    """Train and held-out wordings: the last ``held_out`` share, at least one, always leaving one to train on."""
    num_held_out = min(len(texts) - 1, max(1, round(len(texts) * held_out))) if len(texts) > 1 else 0
    return texts[: len(texts) - num_held_out], texts[len(texts) - num_held_out :]


def capitalise(text: str) -> str:
    """The first letter large, the rest as it is."""
    return text[:1].upper() + text[1:]
