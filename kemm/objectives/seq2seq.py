"""A text read in part, or another text, and written: sequence to sequence in one Transformer."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.fuse.encoded import Encoded
from kemm.objectives.captioning import said_right
from kemm.objectives.losses.captioning import next_words
from kemm.objectives.losses.span_corruption import noise_mask, prefix_lengths, with_sentinels
from kemm.objectives.masked_language import WordsHead, word_table
from kemm.objectives.objective import Context, Objective
from kg.errors import InputError

SENTINELS = 16  # vectors that tell spans apart; of a text with more, the later share the last


class Texts(NamedTuple):
    """What is read (N, R) and written (N, W), each with the real ones (N, ·)."""

    read: Tensor
    read_mask: Tensor
    written: Tensor
    written_mask: Tensor


class Seq2Seq(Objective):
    """Write what is missing of a text, or what it should say, after reading the rest with the picture (``seq2seq``).

        spans:      Thank you <X> me to your party <Y> week  →  <X> for inviting <Y> last <Z>
        start:      Thank you for inviting  →  <X> me to your party last week
        tags, rewritten:  another text of the same thing (``Samples.further``)  →  the text
        L = mean over t of −log p(w_{t+1} | w_≤t, what is read, prefix)

    Spans: T5 (Raffel et al., 2020, arXiv:1910.10683), after pictures PaLI (Chen et al., 2023, arXiv:2209.06794), where
    ``start`` is its split captions and UniLM's (Dong et al., 2019, arXiv:1905.03197) and UNIMO's sequence-to-sequence.
    They have an encoder and a decoder (UniLM not); here what is read and the prefix read each other in the fusion
    encoder, and what is written reads those and itself. The mask's token stands for every sentinel, in order; vectors
    of the head tell one from the next. Words come in by their rows of the text model's table, other texts by its tower.
    """

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        role = (settings.source,) if settings.source in ("tags", "rewritten") else ()
        self.prefix: tuple[str, ...] = tuple(settings.prefix)
        self.needs = ("language", *role, *self.prefix)
        self.lexicon, self.role = context.lexicon, settings.source if role else None
        self.head = WordsHead(context)
        self.is_written = nn.Parameter(torch.randn(context.width) * 0.02)  # added to what is written
        self.sentinels = nn.Parameter(torch.randn(SENTINELS, context.width) * 0.02) if not role else None

    def draw(self, encoded: Encoded, rows: Tensor) -> Texts:
        """What is read and written of the texts of ``rows`` (N,), drawn on the CPU.

        Raises:
            InputError: the tokenizer has no mask's token.
        """
        part, mark = encoded.samples.parts["language"], self.lexicon.mask_id
        assert part.raw is not None and part.mask is not None
        if mark is None:
            raise InputError("this text model's tokenizer has no mask token to stand for a gap: set model.text")
        generator = encoded.generator or torch.Generator().manual_seed(0)
        pairs = []
        for ids, real in zip(part.raw[rows].cpu(), part.mask[rows].cpu(), strict=True):
            kept = ids[real]
            is_word = ~self.lexicon.is_special[kept]
            words, taken = kept[is_word], torch.zeros(len(kept), dtype=torch.bool)
            if self.settings.source == "spans":
                taken[is_word] = noise_mask(len(words), generator, self.settings.rate, self.settings.span)
                pairs.append(with_sentinels(kept.tolist(), taken.tolist(), [mark] * (len(kept) + 1)))
            else:
                first = int(prefix_lengths(torch.tensor([len(kept)]), generator, least=1))
                pairs.append((kept[:first].tolist(), [mark, *kept[first:].tolist()]))
        (read, written) = zip(*pairs, strict=True)
        return Texts(*(each.to(rows.device) for each in (*_padded(read), *_padded(written))))

    def logits(self, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor]:
        """(N, W, V) of the word after each of what is written, its ids (N, W), and which are real (N, W)."""
        rows = self.rows(encoded)
        entrance: Any = encoded.model.entrance("language")
        if self.role is not None:
            part, other = encoded.samples.parts["language"], encoded.further(self.role)
            assert part.raw is not None and part.mask is not None
            ids, real, mask = part.raw[rows], part.mask[rows], other.mask("language")[rows]
            read, written = other.tokens("language")[rows], entrance.words(ids)
        else:
            texts = encoded.drawn(("seq2seq", id(self)), lambda: self.draw(encoded, rows))
            ids, real, mask = texts.written, texts.written_mask, texts.read_mask
            read, written = self.words(entrance, texts.read), self.words(entrance, ids)
        given = torch.full_like(rows, read.shape[1])
        both = torch.cat([read, written + self.is_written], dim=1)
        states = encoded.written(rows, self.prefix, both, torch.cat([mask, real], dim=1), given)[:, read.shape[1] :]
        return self.head(states, word_table(encoded)), ids, real

    def words(self, entrance: Any, ids: Tensor) -> Tensor:
        """(N, T) → (N, T, D), each word for itself, sentinels told apart."""
        assert self.sentinels is not None and self.lexicon.mask_id is not None  # `draw` refused a text model without
        is_mark = torch.eq(ids, self.lexicon.mask_id)
        number = (is_mark.long().cumsum(1) - 1).clamp(0, SENTINELS - 1)
        return entrance.words(ids) + self.sentinels[number] * is_mark[..., None]

    def forward(self, encoded: Encoded) -> Tensor:
        return next_words(*self.found(encoded), self.settings.smoothing)

    def found(self, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor]:
        """``logits``, once for loss and metrics."""
        return encoded.once(("written", id(self)), lambda: self.logits(encoded))

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        return said_right(*self.found(encoded))


def _padded(texts: tuple[list[int], ...]) -> tuple[Tensor, Tensor]:
    """(N, T) ids, zeros at the end, and which are real."""
    longest = max(1, max(len(text) for text in texts))
    ids = torch.stack([F.pad(torch.tensor(text, dtype=torch.long), (0, longest - len(text))) for text in texts])
    return ids, torch.arange(longest) < torch.tensor([len(text) for text in texts])[:, None]
