"""Text in, text out: T5, and what its writer gives token by token from a cache."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.parity_case import Case, Pair
from benchmarks.parity_text import MASK, TOKENS
from kemm.systems.t5 import T5

TINY = {"vocab_size": 20, "d_model": 16, "d_kv": 6, "d_ff": 24, "num_layers": 2, "num_decoder_layers": 3}


def t5(**options: Any) -> Pair:
    from transformers import T5Config, T5ForConditionalGeneration

    # As few distances as make some of them share a bucket, near and far
    config = T5Config(
        **TINY,
        num_heads=2,
        decoder_start_token_id=0,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=6,
        **options,
    )
    labels = torch.tensor([[5, 9, 13, 6, 2, 8, 7, 4, 1], [7, 8, 1, -100, -100, -100, -100, -100, -100]])
    written, real = torch.tensor([[0, 5, 9, 13], [0, 7, 3, 3]]), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])

    def reference(model: Any) -> dict[str, torch.Tensor]:
        found = model(TOKENS, MASK, labels=labels)
        given = model(TOKENS, MASK, decoder_input_ids=written, decoder_attention_mask=real)
        known, cached = None, []
        for step in range(written.shape[1]):
            after = model(
                encoder_outputs=(found.encoder_last_hidden_state,),
                attention_mask=MASK,
                decoder_input_ids=written[:, step : step + 1],
                past_key_values=known,
                use_cache=True,
            )
            known = after.past_key_values
            cached.append(after.logits[:, 0])
        return {
            "states": found.encoder_last_hidden_state,
            "words": found.logits,
            "padded": given.logits,
            "cached": torch.stack(cached, dim=1),
            "loss": found.loss,
        }

    def ours(model: Any) -> dict[str, torch.Tensor]:
        mask = MASK.bool()
        found, given = model(TOKENS, mask, labels), model(TOKENS, mask, written=written, written_mask=real)
        cache, cached = model.start(TOKENS, mask), []
        for step in range(written.shape[1]):
            logits, cache = model.step(written[:, step : step + 1], cache)
            cached.append(logits)
        return {**found, "padded": given["words"], "cached": torch.stack(cached, dim=1)}

    return Pair(
        T5ForConditionalGeneration(config), T5.from_config(config.to_dict()), reference, ours, T5.NAMES, T5.IGNORED
    )


CASES = (
    Case("t5", "transformers T5ForConditionalGeneration", t5),
    Case(
        "t5",
        "transformers T5ForConditionalGeneration, v1.1",
        lambda: t5(feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    ),
)
