"""How one asks about a relation: the wordings given by the settings, or general ones made from the relation's label."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

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


def split_wordings(texts: Sequence[str], held_out: float, seed: int) -> dict[str, list[str]]:
    """Wordings to train with, to calibrate with (``dev``) and to test with, drawn by hash.

    A share is held out for the test, at least one, and half as many for ``dev`` where six or more are given; one to
    train with is always left. A side that got none uses training's.
    """
    count = min(len(texts) - 1, max(1, round(len(texts) * held_out))) if len(texts) > 1 else 0
    drawn = sorted(texts, key=lambda text: share(seed, "wording", text))
    between = count + max(1, count // 2) if len(texts) >= 6 else count
    sides = {"test": drawn[:count], "dev": drawn[count:between], "train": drawn[between:]}
    in_order = {side: [text for text in texts if text in chosen] for side, chosen in sides.items()}
    return {side: chosen or in_order["train"] for side, chosen in in_order.items()}


def share(seed: int, *parts: str) -> float:
    """A number in [0, 1) that depends on nothing but the arguments."""
    digest = hashlib.blake2b("\x1f".join((str(seed), *parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def capitalise(text: str) -> str:
    """The first letter large, the rest as it is."""
    return text[:1].upper() + text[1:]
