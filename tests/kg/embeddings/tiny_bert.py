"""A BERT of 3 layers and width 8 in a folder, its words those that the tests use."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = [f"w{n}" for n in range(40)]
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 3,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
}


def write(folder: Path, seed: int = 0) -> Path:
    """Write the encoder with numbers drawn from a seed, under the names that transformers gives them."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    (folder / "config.json").write_text(json.dumps({**CONFIG, "vocab_size": len(vocabulary)}), encoding="utf-8")
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.save(str(folder / "tokenizer.json"))
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "embeddings.word_embeddings.weight": (len(vocabulary), 8),
        "embeddings.position_embeddings.weight": (16, 8),
        "embeddings.token_type_embeddings.weight": (2, 8),
        "embeddings.LayerNorm.weight": (8,),
        "embeddings.LayerNorm.bias": (8,),
    }
    for number in range(3):
        parts = {f"attention.self.{name}": (8, 8) for name in ("query", "key", "value")}
        parts |= {"attention.output.dense": (8, 8), "intermediate.dense": (16, 8), "output.dense": (8, 16)}
        parts |= {"attention.output.LayerNorm": (8,), "output.LayerNorm": (8,)}
        for name, shape in parts.items():
            shapes[f"encoder.layer.{number}.{name}.weight"] = shape
            shapes[f"encoder.layer.{number}.{name}.bias"] = shape[:1]
    numbers = {}
    for name, shape in shapes.items():
        drawn = torch.randn(*shape, generator=generator)
        is_norm = name.endswith("LayerNorm.weight")
        numbers[name] = (
            1 + 0.1 * drawn if is_norm else 0.1 * drawn if name.endswith("bias") else drawn * shape[-1] ** -0.5
        )
    save_file(numbers, folder / "model.safetensors")
    return folder
