"""A tower with layers: TinyText, with a BERT of random weights beside its table and places of words in texts."""

from __future__ import annotations

import re
from typing import Any

import torch

from kemm.compat import mend_torchvision
from tests.kemm.tiny_towers import TinyText


class TinyBert(TinyText):
    """Texts and mentions are encoded by the table; ``body``, which a cross-encoder is made of, by four layers."""

    def __init__(self, width: int = 16) -> None:
        mend_torchvision()
        from transformers import BertConfig, BertModel

        super().__init__(width)
        torch.manual_seed(0)
        sizes = {"hidden_size": width, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
        config = BertConfig(vocab_size=self.num_tokens, max_position_embeddings=80, **sizes)
        self.body = BertModel(config).eval()

    def tokenizer(self, texts: list[str], truncation: bool, max_length: int, return_offsets_mapping: bool) -> Any:
        """Ids, and where each stands: nowhere for the first and the last."""
        places = [[one.span() for one in re.finditer(r"\w+", text)][: max_length - 2] for text in texts]
        return {
            "input_ids": self.tokenize(texts, max_length),
            "offset_mapping": [[(0, 0), *spans, (0, 0)] for spans in places],
        }
