"""Who may read whom: bool, true where a query (row) may read a key (column).

(L, L), or (B, L, L) where samples differ; several are combined by ``&``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from kg.errors import InputError


def full(queries: int, keys: int | None = None) -> Tensor:
    """Every query reads every key."""
    return torch.ones(queries, queries if keys is None else keys, dtype=torch.bool)


def causal(queries: int, keys: int | None = None) -> Tensor:
    """A query reads itself and what stands before; with more keys than queries, the queries are the last of them."""
    keys = queries if keys is None else keys
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)


def prefix(length: int, prefix: int | Tensor) -> Tensor:
    """The first ``prefix`` tokens read each other, all later ones those and what stands before (GIT, SimVLM).

    Args:
        length: L.
        prefix: one number, or (B,) one a sample.

    Returns:
        (L, L), or (B, L, L).
    """
    if isinstance(prefix, int):
        return causal(length) | (torch.arange(length) < prefix)
    device = prefix.device
    return causal(length).to(device) | (torch.arange(length, device=device) < prefix[:, None, None])


def keys(mask: Tensor) -> Tensor:
    """(B, L) true at real tokens → (B, 1, L): nobody reads padding."""
    return mask[:, None, :]


def by_modality(lengths: Mapping[str, int], sees: Mapping[str, Collection[str]]) -> Tensor:
    """A token reads those modalities alone that ``sees`` names for its own; one not named there reads all.

    Args:
        lengths: modality → number of tokens, in the order in which they stand.
        sees: modality → modalities.

    Raises:
        InputError: ``sees`` names a modality that is not in ``lengths``.
    """
    unknown = (set(sees) | {name for names in sees.values() for name in names}) - set(lengths)
    if unknown:
        raise InputError(f"a mask names '{sorted(unknown)[0]}', but the tokens are of {', '.join(lengths)}")
    kinds = torch.arange(len(lengths)).repeat_interleave(torch.tensor(list(lengths.values())))  # (L,)
    names = list(lengths)
    table = torch.tensor([[key in sees.get(query, names) for key in names] for query in names])
    return table[kinds[:, None], kinds[None, :]]


def bidirectional(queries: int, text: int) -> Tensor:
    """BLIP-2's for matching: learned queries, then text; all read all (Li et al., 2023, arXiv:2301.12597, fig. 2)."""
    return full(queries + text)


def multimodal_causal(queries: int, text: int) -> Tensor:
    """BLIP-2's for captions: queries read queries, a text token the queries and the text before it."""
    return prefix(queries + text, queries)


def unimodal(queries: int, text: int) -> Tensor:
    """BLIP-2's for contrast: queries read queries, text reads text."""
    return by_modality({"queries": queries, "text": text}, {"queries": ["queries"], "text": ["text"]})


def writing(
    lengths: Mapping[str, int], text: str = "language", given: Tensor | None = None, through: int = 0
) -> Tensor:
    """A text is written after all else: that reads itself, the text reads it and the text before (GIT, SimVLM).

    Args:
        lengths: modality → number of tokens, in the order in which they stand; the text need not be last.
        given: (B,) how many of its first tokens stand for all to read, as if they were of the prefix.
        through: the text reads so many of the first tokens alone of what it is written after (BLIP-2's queries).

    Returns:
        (L, L), or (B, L, L).
    """
    is_text = torch.cat([torch.full((length,), name == text) for name, length in lengths.items()])
    place = torch.cat([torch.arange(length) for length in lengths.values()])
    within = is_text[:, None] & is_text[None, :]
    may = ~is_text[None, :] | (within & (place[:, None] >= place[None, :]))
    if through:
        is_first = torch.arange(len(is_text)) < (~is_text).nonzero()[through - 1] + 1
        may &= ~is_text[:, None] | is_text[None, :] | is_first[None, :]
    if given is None:
        return may
    known = is_text & (place < given.cpu()[:, None])  # (B, L)
    return may | known[:, None, :]
