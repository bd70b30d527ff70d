"""Queries between a picture and a text: BLIP-2."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.parity_case import Case, Pair
from benchmarks.parity_text import MASK, SMALL, TOKENS
from kemm.systems.blip2 import Q_FORMER, BLIP2Retrieval, q_former, q_former_names
from kemm.systems.blip2_writer import BLIP2

VISION = {**SMALL, "hidden_size": 16, "num_attention_heads": 2, "image_size": 24, "patch_size": 8}
QUERIES, IMAGE = 3, 19  # queries, and the word that stands for one in the reference's input
OPT = {
    "model_type": "opt",
    "vocab_size": 20,
    "hidden_size": 16,
    "word_embed_proj_dim": 16,
    "ffn_dim": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 24,
}
T5 = {
    "model_type": "t5",
    "vocab_size": 20,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 24,
    "num_layers": 2,
    "num_heads": 2,
    "feed_forward_proj": "gated-gelu",
    "decoder_start_token_id": 0,
}


def blip2(has_words: bool, **options: Any) -> Any:
    from transformers import Blip2Config

    queries = {**SMALL, "vocab_size": 20, "max_position_embeddings": 12, "use_qformer_text_input": has_words}
    return Blip2Config(vision_config=VISION, qformer_config=queries, num_query_tokens=QUERIES, **options)


class Alone(nn.Module):
    """transformers' Q-Former with its queries, by the names of a whole checkpoint."""

    def __init__(self, config: Any) -> None:
        from transformers import Blip2QFormerModel

        super().__init__()
        self.qformer = Blip2QFormerModel(config)
        self.query_tokens = nn.Parameter(torch.zeros(1, QUERIES, config.hidden_size))


def alone() -> Pair:
    config = blip2(has_words=True).qformer_config
    states, words, real = torch.randn(2, 5, 16), torch.randn(2, 7, 32), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    both = torch.cat([torch.ones(2, QUERIES, dtype=torch.long), MASK], dim=1)

    def reference(model: Any) -> dict[str, torch.Tensor]:
        queries = model.query_tokens.expand(2, -1, -1)
        picture = {"encoder_hidden_states": states, "encoder_attention_mask": real}
        # With words beside the queries, the reference can't do with padding in what they read
        joined = model.qformer(torch.cat([queries, words], dim=1), QUERIES, both, encoder_hidden_states=states)
        return {
            "queries": model.qformer(queries, **picture).last_hidden_state,
            "both": joined.last_hidden_state,
            "words": model.qformer(words, 0, MASK).last_hidden_state,
        }

    def ours(model: Any) -> dict[str, torch.Tensor]:
        return {
            "queries": model.q_former(states, context_mask=real),
            "both": model.q_former(states, words, both.bool()[:, None]),
            "words": model.q_former(words=words, mask=MASK.bool()[:, None]),
        }

    own = nn.ModuleDict({"q_former": q_former(Q_FORMER | config.to_dict(), 16, QUERIES, has_words=True)})
    return Pair(Alone(config), own, reference, ours, q_former_names("q_former."))


def retrieval() -> Pair:
    from transformers import Blip2ForImageTextRetrieval

    config = blip2(has_words=True, text_config=OPT, image_text_hidden_size=8)
    pictures = torch.randn(2, 3, 24, 24)

    def reference(model: Any) -> dict[str, torch.Tensor]:
        alone = model(pictures, TOKENS, MASK)
        matched = model(pictures, TOKENS, MASK, use_image_text_matching_head=True)
        return {
            "image": alone.image_embeds,
            "text": alone.text_embeds,
            "itc": alone.logits_per_image,
            "itm": matched.logits_per_image,
        }

    return Pair(
        Blip2ForImageTextRetrieval(config),
        BLIP2Retrieval.from_config(config.to_dict()),
        reference,
        lambda model: model(pictures, TOKENS, MASK.bool()),
        BLIP2Retrieval.NAMES,
        BLIP2Retrieval.IGNORED,
    )


def writer(text: dict[str, Any]) -> Pair:
    from transformers import Blip2ForConditionalGeneration

    config = blip2(has_words=False, text_config=text, image_token_index=IMAGE)
    pictures, labels = torch.randn(2, 3, 24, 24), TOKENS.masked_fill(MASK == 0, -100)
    placed = torch.cat([torch.full((2, QUERIES), IMAGE), TOKENS], dim=1)
    real = torch.cat([torch.ones(2, QUERIES, dtype=torch.long), MASK], dim=1)
    is_decoder = text["model_type"] == "opt"
    wanted = torch.cat([torch.full((2, QUERIES), -100), labels], dim=1) if is_decoder else labels

    def reference(model: Any) -> dict[str, torch.Tensor]:
        found = model(pictures, placed, real, labels=wanted)
        return {"words": found.logits, "loss": found.loss}

    ours = BLIP2.from_config(config.to_dict())
    ours.language.requires_grad_(True)  # to compare its gradients, too
    return Pair(
        Blip2ForConditionalGeneration(config),
        ours,
        reference,
        lambda model: model(pictures, TOKENS, MASK.bool(), labels),
        BLIP2.NAMES,
        BLIP2.IGNORED,
    )


CASES = (
    Case("blip2", "transformers Blip2QFormerModel", alone),
    Case("blip2-retrieval", "transformers Blip2ForImageTextRetrieval", retrieval),
    Case("blip2", "transformers Blip2ForConditionalGeneration, OPT", lambda: writer(OPT)),
    Case("blip2", "transformers Blip2ForConditionalGeneration, T5", lambda: writer(T5)),
)
