"""Greedy writing and sampling: one token a row, until each row has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from kemm.generate import Filter, Generated, NextToken
from kemm.generate.cache import select_rows
from kemm.generate.filters import Temperature, TopK, TopP
from kg.errors import InputError, KemmError


def greedy(
    model: NextToken,
    tokens: Tensor,
    cache: Any = None,
    *,
    end: int,
    longest: int,
    padding: int | None = None,
    filters: Sequence[Filter] = (),
    mask: Tensor | None = None,
) -> Generated:
    """Write the likeliest token, again and again.

    Args:
        model: says how likely each next token is.
        tokens: ``(B, t)`` int64 to go on from: a prompt, or the token that starts a text.
        cache: of the model, of what comes before ``tokens``; None where nothing does.
        end: the token after which a row is done.
        longest: most tokens written, the end token counted.
        padding: stands after the end; by default the end token.
        filters: what may be written.
        mask: ``(B, t)`` bool, false at padding of ``tokens``, which filters then don't take for text. How the model
            itself learns of padding is its cache's matter.

    Returns:
        One text a row, N = 1.

    Raises:
        InputError: the prompt is empty, ``longest`` is below 1, or the filters leave nothing to write.
    """
    return _write(model, tokens, cache, lambda scores, rows: scores.argmax(1), end, longest, padding, filters, mask)


def sample(
    model: NextToken,
    tokens: Tensor,
    cache: Any = None,
    *,
    end: int,
    longest: int,
    generator: torch.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    num_samples: int = 1,
    padding: int | None = None,
    filters: Sequence[Filter] = (),
    mask: Tensor | None = None,
) -> Generated:
    """Draw each token by its probability, after ``filters``, the temperature, the k likeliest and the nucleus p.

    A row's draws depend on its number in the batch, not on when other rows end.

    Args:
        generator: of the draws.
        num_samples: N, texts drawn for each row.

    Returns:
        N texts a row, the likeliest first. The rest is as in ``greedy``.
    """
    warpers: list[Filter] = [Temperature(temperature)] if temperature != 1.0 else []
    warpers += [TopK(top_k)] if top_k is not None else []
    warpers += [TopP(top_p)] if top_p != 1.0 else []
    batch = len(tokens)
    if num_samples != 1:
        rows = torch.arange(batch, device=tokens.device).repeat_interleave(num_samples)
        tokens, cache, mask = select_rows((tokens, cache, mask), rows)

    def draw(scores: Tensor, rows: Tensor) -> Tensor:
        """The first token whose cumulated probability exceeds a uniform number, drawn for rows that ended as well."""
        uniform = torch.rand(batch * num_samples, generator=generator, device=generator.device, dtype=torch.float64)
        cumulated = scores.double().softmax(1).cumsum(1)
        level = uniform.to(scores.device)[rows, None] * cumulated[:, -1:]
        return torch.searchsorted(cumulated, level, right=True)[:, 0].clamp(max=scores.shape[1] - 1)

    drawn = _write(model, tokens, cache, draw, end, longest, padding, [*filters, *warpers], mask)
    length = drawn.tokens.shape[2]
    order = drawn.scores.view(batch, num_samples).argsort(1, descending=True)
    return Generated(
        drawn.tokens.view(batch, num_samples, length).gather(1, order[..., None].expand(-1, -1, length)),
        drawn.lengths.view(batch, num_samples).gather(1, order),
        drawn.scores.view(batch, num_samples).gather(1, order),
    )


def seen(tokens: Tensor, mask: Tensor | None, longest: int) -> Tensor:
    """The prompt as filters see it, −1 at padding; a prompt that can't be gone on from is refused."""
    if tokens.dim() != 2 or tokens.shape[1] == 0:
        raise InputError(f"a prompt of shape {tuple(tokens.shape)} can't be gone on from; give (B, t) with t ≥ 1")
    if longest < 1:
        raise InputError(f"at most {longest} tokens were asked for; give 1 or more")
    return tokens if mask is None else tokens.masked_fill(~mask.bool(), -1)


def next_logits(model: NextToken, tokens: Tensor, cache: Any) -> tuple[Tensor, Any]:
    """The model's logits ``(B, V)`` float32 and its cache; logits that are no numbers are an error."""
    logits, cache = model.step(tokens, cache)
    if logits.isnan().any():
        raise KemmError("the model's next-token scores are not numbers; it has diverged, or its input is not finite")
    return logits.float(), cache


@torch.no_grad()
def _write(
    model: NextToken,
    tokens: Tensor,
    cache: Any,
    choose: Callable[[Tensor, Tensor], Tensor],
    end: int,
    longest: int,
    padding: int | None,
    filters: Sequence[Filter],
    mask: Tensor | None,
) -> Generated:
    """Write with ``choose(scores, rows)``; rows that have ended are no longer computed."""
    so_far = seen(tokens, mask, longest)
    batch, start = tokens.shape
    rows = torch.arange(batch, device=tokens.device)
    written = torch.full((batch, longest), end if padding is None else padding, device=tokens.device)
    lengths = torch.zeros(batch, dtype=torch.int64, device=tokens.device)
    total = torch.zeros(batch, device=tokens.device)
    for place in range(longest):
        scores, cache = next_logits(model, tokens, cache)
        for narrow in filters:
            scores = narrow(scores, so_far, start)
        if (scores.amax(1) == -torch.inf).any():
            raise InputError(f"nothing may be written as token {place + 1}: the filters leave none; loosen them")
        chosen = choose(scores, rows)
        total[rows] += scores.log_softmax(1).gather(1, chosen[:, None])[:, 0]
        written[rows, place], lengths[rows] = chosen, place + 1
        goes_on = chosen != end
        if not goes_on.any():
            break
        tokens, so_far = chosen[:, None], torch.cat([so_far, chosen[:, None]], dim=1)
        if not goes_on.all():
            stay = goes_on.nonzero()[:, 0]
            rows, tokens, so_far, cache = rows[stay], tokens[stay], so_far[stay], select_rows(cache, stay)
    return Generated(written[:, None, : place + 1], lengths[:, None], total[:, None])
