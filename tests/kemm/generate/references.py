"""transformers' GPT-2 and T5 of random weights as models to write with, and toy models that can be checked by hand."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kemm.compat import mend_torchvision
from kemm.generate.cache import select_rows

mend_torchvision()

from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration  # noqa: E402

VOCABULARY, END, PADDING = 23, 1, 2  # transformers' beams take a padding of 0 for none


@dataclass
class Remembered:
    """A cache of transformers with its rows movable, beside what the encoder gave and which tokens are real."""

    past: Any
    encoded: Tensor | None = None
    mask: Tensor | None = None

    def select(self, rows: Tensor) -> None:
        if self.past is not None:
            self.past.batch_select_indices(rows) if hasattr(
                self.past, "batch_select_indices"
            ) else self.past.reorder_cache(rows)
        self.encoded, self.mask = select_rows((self.encoded, self.mask), rows)


class GPT2:
    """A decoder of two layers; prompts of uneven length are padded on the left, the first cache holds their mask."""

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        config = GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=64,
            n_embd=16,
            n_layer=2,
            n_head=2,
            initializer_range=0.4,
            bos_token_id=END,
            eos_token_id=END,
            pad_token_id=PADDING,
        )
        self.model = GPT2LMHeadModel(config).eval()

    def start(self, mask: Tensor) -> Remembered:
        return Remembered(None, mask=mask)

    def step(self, tokens: Tensor, cache: Remembered | None) -> tuple[Tensor, Remembered]:
        cache = cache or Remembered(None)
        mask = torch.ones_like(tokens) if cache.mask is None else cache.mask
        if cache.past is not None:
            mask = torch.cat([mask, torch.ones_like(tokens)], dim=1)
        position = (mask.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        out = self.model(tokens, attention_mask=mask, position_ids=position, past_key_values=cache.past, use_cache=True)
        return out.logits[:, -1], Remembered(out.past_key_values, mask=mask)


class T5:
    """An encoder–decoder of two layers each; the first cache holds what the encoder gave."""

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        config = T5Config(
            vocab_size=VOCABULARY,
            d_model=16,
            d_kv=8,
            d_ff=32,
            num_layers=2,
            num_heads=2,
            eos_token_id=END,
            pad_token_id=PADDING,
            decoder_start_token_id=PADDING,
            tie_word_embeddings=False,
        )
        self.model = T5ForConditionalGeneration(config).eval()
        with torch.no_grad():
            for weight in self.model.parameters():  # as first drawn, it writes one token again and again
                if weight.dim() == 2:
                    weight.normal_(std=0.4)

    def start(self, ids: Tensor, mask: Tensor) -> Remembered:
        return Remembered(None, self.model.encoder(ids, attention_mask=mask).last_hidden_state, mask)

    def step(self, tokens: Tensor, cache: Remembered) -> tuple[Tensor, Remembered]:
        out = self.model(
            decoder_input_ids=tokens,
            encoder_outputs=(cache.encoded,),
            attention_mask=cache.mask,
            past_key_values=cache.past,
            use_cache=True,
        )
        return out.logits[:, -1], Remembered(out.past_key_values, cache.encoded, cache.mask)


class Uncached:
    """The same model reading everything anew at each step: its cache is what it has read."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def step(self, tokens: Tensor, cache: Any) -> tuple[Tensor, Any]:
        first, read = cache if isinstance(cache, tuple) else (cache, None)
        read = tokens if read is None else torch.cat([read, tokens], dim=1)
        return self.model.step(read, copy.deepcopy(first))[0], (first, read)


class Table:
    """The logits of the next token depend on the last one alone: a row of a table of probabilities."""

    def __init__(self, probabilities: list[list[float]]) -> None:
        self.logits = torch.tensor(probabilities).log()
        self.num_rows: list[int] = []  # of each step, so that a test can see what was computed

    def step(self, tokens: Tensor, cache: Tensor | None) -> tuple[Tensor, Tensor]:
        self.num_rows.append(len(tokens))
        return self.logits[tokens[:, -1]], tokens if cache is None else torch.cat([cache, tokens], dim=1)
