"""A small tower of every kind in the table, with random weights, and three inputs for each."""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kemm.encoders import build_encoder
from kemm.encoders.encoder import Encoder
from kemm.encoders.tuned import save_tower

TINY: dict[str, Any] = {"width": 16, "layers": 3, "heads": 2}
TIMM = "timm:test_vit"  # timm's own model for tests


def text_folder(folder: Path, kind: str = "bert") -> Path:
    """A tiny BERT, T5, CLIP or GPT-2 of random weights with a tokenizer of letters, in the Hugging Face layout."""
    from kemm.compat import mend_torchvision

    mend_torchvision()
    import transformers as t
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]", *string.ascii_lowercase]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    own = {"pad_token": "[PAD]"} if kind != "gpt2" else {}
    t.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", mask_token="[MASK]", eos_token="[SEP]", cls_token="[CLS]", **own
    ).save_pretrained(folder)
    torch.manual_seed(0)
    size = len(words)
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    if kind == "bert":
        model: Any = t.BertModel(t.BertConfig(vocab_size=size, max_position_embeddings=12, **sizes))
    elif kind == "t5":
        model = t.T5Model(t.T5Config(vocab_size=size, d_model=16, d_kv=8, d_ff=32, num_layers=3, num_heads=2))
    elif kind == "clip":
        text = t.CLIPTextConfig(vocab_size=size, max_position_embeddings=12, eos_token_id=2, bos_token_id=1, **sizes)
        vision = t.CLIPVisionConfig(image_size=8, patch_size=4, **sizes)
        model = t.CLIPModel(t.CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict()))
    else:
        model = t.GPT2Model(
            t.GPT2Config(
                vocab_size=size, n_positions=12, n_embd=16, n_layer=3, n_head=2, bos_token_id=1, eos_token_id=2
            )
        )
    model.save_pretrained(folder)
    return folder


def tower(name: str, folder: Path) -> Encoder:
    """The tower of a table's entry, small."""
    torch.manual_seed(0)
    options: dict[str, dict[str, Any]] = {
        "efficientnet-lite0": {},
        "timm": {"weights": None},
        "vit": {**TINY, "size": 24, "patch": 8},
        "transformers": {"dtype": torch.float32},
        "minilm": {"dtype": torch.float32},
        "audio": {**TINY, "frames": 36, "num_mels": 26},
        "speech": {"width": 16, "layers": 3, "kernel": 5, "frames": 36, "num_mels": 26},
        "video": {**TINY, "frames": 3, "size": 16, "patch": 8},
        "regions": {"features": 6, "width": 16},
        "graph": {"features": 6, "width": 16},
    }
    families = {"timm": TIMM, "transformers": f"transformers:{folder}", "tuned": f"tuned:{folder}"}
    full = families.get(name, name)
    if name == "tuned":
        options["tuned"] = {}
        save_tower(build_encoder("efficientnet-lite0"), "efficientnet-lite0", folder, {})
    if name == "transformers" and not (folder / "config.json").exists():
        text_folder(folder)
    built = build_encoder(full, **options[name]).eval()
    if name == "video":  # attention along time starts at zero; else nothing of it would be tested
        for part in built.along_time:
            torch.nn.init.normal_(part.attention.out.weight, std=0.3)
    return built


def pixels(encoder: Any, generator: torch.Generator) -> tuple[Tensor, ...]:
    size = min(encoder.size, 64) if encoder.name.startswith("efficientnet") else encoder.size
    return (torch.randint(0, 256, (3, size, size, 3), generator=generator, dtype=torch.uint8),)


def words(encoder: Any, generator: torch.Generator) -> tuple[Tensor, ...]:
    return encoder.pad(encoder.tokenize(["a b c d", "z", "q w e r t y"], 12))


def sounds(encoder: Any, generator: torch.Generator) -> tuple[Tensor, ...]:
    waves = [0.1 * torch.randn(samples, generator=generator) for samples in (6000, 900, 4000)]
    return (encoder.prepare(waves),)


def frames(encoder: Any, generator: torch.Generator) -> tuple[Tensor, ...]:
    shown = torch.randint(0, 256, (3, 3, 16, 16, 3), generator=generator, dtype=torch.uint8)
    return shown, torch.tensor([[True, True, True], [True, False, False], [True, True, False]])


def regions(encoder: Any, generator: torch.Generator) -> tuple[Tensor, ...]:
    corners = torch.rand(3, 4, 2, 2, generator=generator).sort(dim=2).values.flatten(2) * 90
    mask = torch.arange(4) < torch.tensor([[4], [1], [3]])
    return torch.randn(3, 4, 6, generator=generator), corners, torch.full((3, 2), 100.0), mask


#: name → three inputs as one batch
INPUTS: dict[str, Callable[[Any, torch.Generator], tuple[Tensor, ...]]] = {
    "efficientnet-lite0": pixels,
    "tuned": pixels,
    "timm": pixels,
    "vit": pixels,
    "minilm": words,
    "transformers": words,
    "audio": sounds,
    "speech": sounds,
    "video": frames,
    "regions": regions,
}


def graphs(generator: torch.Generator, which: list[int]) -> tuple[Any, ...]:
    """Some of three graphs of 3, 0 and 2 nodes, with 3, 0 and 1 edges."""
    nodes, relations = torch.randn(5, 6, generator=generator), torch.randn(4, 6, generator=generator)
    own = {0: (nodes[:3], torch.tensor([[0, 1, 2], [1, 2, 0]]), relations[:3])}
    own[1] = (nodes[:0], torch.empty(2, 0, dtype=torch.int64), relations[:0])
    own[2] = (nodes[3:], torch.tensor([[0], [1]]), relations[3:])
    offsets = torch.tensor([len(own[number][0]) for number in which]).cumsum(0).tolist()
    edges = [own[number][1] + (offsets[place] - len(own[number][0])) for place, number in enumerate(which)]
    graph = [torch.full((len(own[number][0]),), place) for place, number in enumerate(which)]
    return (
        torch.cat([own[number][0] for number in which]),
        torch.cat(edges, dim=1),
        torch.cat([own[number][2] for number in which]),
        torch.cat(graph),
        len(which),
    )


def inputs(name: str, encoder: Any, which: list[int]) -> tuple[Any, ...]:
    """Some of the three inputs of a kind, as one batch."""
    generator = torch.Generator().manual_seed(0)
    if name == "graph":
        return graphs(generator, which)
    return tuple(part[which] for part in INPUTS[name](encoder, generator))
