"""Towers against the implementations they stand for, with the same random weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kemm.compat import mend_torchvision
from kemm.encoders import build_encoder
from kemm.encoders.audio import SpectrogramTransformer
from kemm.encoders.patch_transformer import PictureTransformer
from kemm.encoders.timm_images import Timm
from tests.kemm.encoders.examples import text_folder

mend_torchvision()

import timm  # noqa: E402
import transformers  # noqa: E402

#: transformers' ViT and AST → our parts; q, k and v are joined
NAMES = [
    (r"embeddings\.patch_embeddings\.projection", "project"),
    (r"embeddings\.position_embeddings", "positions"),
    (r"layers?\.(\d+)\.attention\.attention\.", r"body.blocks.\1.attention."),
    (r"(encoder\.)?layers?\.(\d+)\.", r"body.blocks.\2."),
    (r"layernorm_before", "attention_residual.norm"),
    (r"layernorm_after", "feed_forward_residual.norm"),
    (r"attention\.(output\.dense|o_proj|out_proj)", "attention.out"),
    (r"(intermediate\.dense|mlp\.fc1|mlp\.up_proj)", "feed_forward.up"),
    (r"(output\.dense|mlp\.fc2|mlp\.down_proj)", "feed_forward.down"),
    (r"^layernorm", "body.norm"),
]


def ours_from(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """transformers' state dict under our names."""
    found: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    classes = []
    for name, value in state.items():
        if name.endswith(("cls_token", "distillation_token")):
            classes.append(value[0])
            continue
        if name.startswith("pooler"):
            continue
        for pattern, replacement in NAMES:
            name = re.sub(pattern, replacement, name)
        joined = re.fullmatch(r"(.*attention\.)(?:attention\.)?(q|k|v)(?:uery|ey|alue|_proj)\.(weight|bias)", name)
        if joined:
            parts.setdefault(f"{joined[1]}qkv.{joined[3]}", {})[joined[2]] = value
        else:
            found[name] = value[0] if name == "positions" else value.flatten(1) if name == "project.weight" else value
    found |= {name: torch.cat([part[letter] for letter in "qkv"]) for name, part in parts.items()}
    return found | {"class_tokens": torch.cat(classes)}


SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}


def test_a_picture_transformer_is_transformers_vit() -> None:
    torch.manual_seed(0)
    config = transformers.ViTConfig(image_size=24, patch_size=8, layer_norm_eps=1e-6, initializer_range=0.3, **SIZES)
    theirs = transformers.ViTModel(config, add_pooling_layer=False).eval()
    ours = PictureTransformer(24, 8, 16, 3, 2, eps=1e-6).eval()
    ours.load_state_dict(ours_from(theirs.state_dict()))
    pixels = torch.randint(0, 256, (2, 24, 24, 3), dtype=torch.uint8)
    expected = theirs(ours.raster(pixels)).last_hidden_state
    found = ours.features(pixels)
    torch.testing.assert_close(found.tokens, expected, atol=1e-5, rtol=0)
    assert torch.equal(found.pooled, found.tokens[:, 0])
    expected.square().sum().backward()
    found.tokens.square().sum().backward()
    slopes = ours_from({name: p.grad for name, p in theirs.named_parameters() if p.grad is not None})
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, slopes[name], atol=1e-4, rtol=1e-4)


def test_a_spectrogram_transformer_is_transformers_ast() -> None:
    torch.manual_seed(0)
    config = transformers.ASTConfig(
        num_mel_bins=36, max_length=56, patch_size=16, initializer_range=0.3, layer_norm_eps=1e-12, **SIZES
    )
    theirs = transformers.ASTModel(config).eval()
    for token in (
        theirs.embeddings.cls_token,
        theirs.embeddings.distillation_token,
        theirs.embeddings.position_embeddings,
    ):
        torch.nn.init.normal_(token)
    ours = SpectrogramTransformer(56, 36, width=16, layers=3, heads=2, eps=1e-12).eval()
    ours.load_state_dict(ours_from(theirs.state_dict()))
    spectrograms = torch.randn(2, 56, 36)
    expected = theirs(spectrograms)
    found = ours.features(spectrograms)
    torch.testing.assert_close(found.tokens, expected.last_hidden_state, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.pooled, expected.pooler_output, atol=1e-5, rtol=0)


def test_spectrograms_are_those_of_transformers_ast() -> None:
    waveform = 0.2 * torch.randn(9000, generator=torch.Generator().manual_seed(0))
    extractor = transformers.ASTFeatureExtractor(num_mel_bins=64, max_length=70)
    expected = extractor(waveform.numpy(), sampling_rate=16_000, return_tensors="pt")["input_values"]
    tower = SpectrogramTransformer(70, 64, width=16, layers=1, heads=2)
    torch.testing.assert_close(tower.prepare([waveform]), expected, atol=1e-4, rtol=0)


# ── timm ──────────────────────────────────────────────────────────────────────────────────────────────────────────

#: one for each shape that timm's give: class tokens, registers, maps, maps with channels last, a head of its own width
TIMM = [
    "test_vit",
    "test_vit2",
    "test_vit3",
    "test_efficientnet",
    "test_resnet",
    "test_byobnet",
    "test_convnext",
    "test_mambaout",
    "swin_tiny_patch4_window7_224",
    "mobilenetv3_small_050",
]


@pytest.mark.parametrize("model", TIMM)
def test_a_timm_tower_gives_timms_own_features_and_vector(model: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = timm.create_model(model, num_classes=5).eval()
    import safetensors.torch

    safetensors.torch.save_file(
        {n: v.contiguous() for n, v in theirs.state_dict().items()}, tmp_path / "own.safetensors"
    )
    tower: Any = build_encoder(f"timm:{model}", weights=tmp_path / "own.safetensors")
    data = timm.data.resolve_model_data_config(theirs)
    pixels = torch.randint(0, 256, (1, tower.size, tower.size, 3), dtype=torch.uint8)
    assert tower.size == data["input_size"][-1]
    mean, std = (torch.tensor(data[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        expected = theirs.forward_features((pixels.permute(0, 3, 1, 2) / 255 - mean) / std)
        found, raster = tower.features(pixels), tower(pixels)
        own = theirs.forward_head(expected, pre_logits=True)
    assert raster.shape[1] == tower.width and raster.shape[0] == 1
    if expected.dim() == 3:
        assert torch.equal(found.tokens, expected)
        patches = expected[:, theirs.num_prefix_tokens :]
    else:
        patches = expected.flatten(1, 2) if expected.shape[-1] == tower.width else expected.flatten(2).transpose(1, 2)
        assert torch.equal(found.tokens, patches)
    assert torch.equal(raster.flatten(2).transpose(1, 2), patches)
    wanted = own if own.shape[1] == tower.width else patches.mean(1)
    torch.testing.assert_close(found.pooled, wanted, atol=1e-5, rtol=1e-5)


def test_timm_pools_as_it_is_told() -> None:
    cls, mean = (Timm("test_vit", None, pooling=way) for way in ("cls", "mean"))  # type: ignore[arg-type]
    mean.load_state_dict(cls.state_dict())
    pixels = torch.randint(0, 256, (1, cls.size, cls.size, 3), dtype=torch.uint8)
    found = cls.features(pixels)
    assert torch.equal(found.pooled, found.tokens[:, 0])
    torch.testing.assert_close(mean.features(pixels).pooled, found.tokens[:, 1:].mean(1))


# ── text ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["bert", "t5", "clip", "gpt2"])
def test_a_text_tower_gives_its_models_states_and_pools_them(kind: str, tmp_path: Path) -> None:
    folder = text_folder(tmp_path, kind)
    towers = {
        way: build_encoder(f"transformers:{folder}", dtype=torch.float32, pooling=way) for way in ("mean", "cls", "eos")
    }
    ids, mask = towers["mean"].pad(towers["mean"].tokenize(["a b c", "x"], 12))
    assert mask.tolist() == [[True] * 5, [True] * 3 + [False] * 2]
    whole = transformers.AutoModel.from_pretrained(folder).eval()
    part = whole.encoder if kind == "t5" else whole.text_model if kind == "clip" else whole
    with torch.no_grad():
        expected = part(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    found = {way: tower.features(ids, mask) for way, tower in towers.items()}
    torch.testing.assert_close(found["mean"].tokens, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(found["mean"].pooled[1], expected[1, :3].mean(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(found["cls"].pooled, expected[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found["eos"].pooled, expected[[0, 1], [4, 2]], atol=1e-5, rtol=0)


def test_more_words_than_positions_and_no_words_at_all(tmp_path: Path) -> None:
    from kg.errors import InputError

    tower = build_encoder(f"transformers:{text_folder(tmp_path)}", dtype=torch.float32)
    with pytest.raises(InputError, match="13 tokens do not fit into the 12 positions"):
        tower.features(torch.full((1, 13), 5), torch.ones(1, 13, dtype=torch.bool))
    ids, mask = tower.pad([[], [5, 6]])
    found = tower.features(ids, mask)
    assert (found.pooled[0] == 0).all() and found.pooled.isfinite().all()


# ── sound ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def slow_log_mel(waveform: np.ndarray, num_mels: int) -> np.ndarray:
    """Kaldi's filter bank, number by number."""

    def mel(frequency: float) -> float:
        return 1127.0 * np.log(1.0 + frequency / 700.0)

    low, high = mel(20.0), mel(8000.0)
    step = (high - low) / (num_mels + 1)
    rows = []
    for start in range(0, len(waveform) - 400 + 1, 160):
        frame = waveform[start : start + 400] - waveform[start : start + 400].mean()
        emphasised = np.array([frame[i] - 0.97 * frame[max(0, i - 1)] for i in range(400)])
        window = np.array([0.5 - 0.5 * np.cos(2 * np.pi * i / 399) for i in range(400)])
        padded = np.concatenate([emphasised * window, np.zeros(112)])
        power = [abs(np.sum(padded * np.exp(-2j * np.pi * k * np.arange(512) / 512))) ** 2 for k in range(257)]
        row = []
        for m in range(num_mels):
            left, centre, right = (low + (m + i) * step for i in range(3))
            energy = 0.0
            for k in range(257):
                at = mel(k * 16_000 / 512)
                if left < at < right:
                    energy += power[k] * ((at - left) / step if at <= centre else (right - at) / step)
            row.append(np.log(max(energy, 1.1920929e-07)))
        rows.append(row)
    return np.array(rows)


def test_log_mel_is_the_formula() -> None:
    from kemm.encoders.sound import log_mel

    time = np.arange(1200) / 16_000
    waveform = 0.3 * np.sin(2 * np.pi * 440 * time) + 0.05 * np.sin(2 * np.pi * 3000 * time) + 0.01
    found = log_mel(torch.from_numpy(waveform).float(), 20)
    assert found.shape == (6, 20)
    np.testing.assert_allclose(found.numpy(), slow_log_mel(waveform, 20), atol=2e-3)  # float32 beside float64
    assert log_mel(torch.zeros(399)).shape == (0, 128)
    assert log_mel(torch.zeros(400)).tolist() == [[pytest.approx(np.log(1.1920929e-07))] * 128]
