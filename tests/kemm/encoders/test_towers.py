"""Sound files, video, regions, graphs and slow copies: claims that can be checked by hand."""

from __future__ import annotations

import math
import os
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kemm.encoders.audio import SpectrogramTransformer
from kemm.encoders.graph import GraphTokens
from kemm.encoders.momentum import MomentumCopy
from kemm.encoders.patch_transformer import PictureTransformer
from kemm.encoders.regions import RegionTokens, box_numbers
from kemm.encoders.sound import read_wave
from kemm.encoders.speech import SpeechConvolution
from kemm.encoders.timm_images import Timm
from kemm.encoders.video import VideoTransformer
from kg.errors import InputError

STAMPS = Path(os.environ.get("KEMM_STAMPS", "/usr/share/tuxpaint/stamps"))


def write_wave(path: Path, samples: np.ndarray, rate: int = 16_000, width: int = 2, channels: int = 1) -> Path:
    """Samples from −1 to 1 as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        if width == 1:
            file.writeframes(((samples + 1) * 127.5).round().astype(np.uint8).tobytes())
        else:
            whole = (samples * (2 ** (8 * width - 1) - 1)).round().astype("<i4")
            file.writeframes(whole.view(np.uint8).reshape(-1, 4)[:, :width].tobytes())
    return path


def tone(rate: int, seconds: float = 0.2) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)


# ── sound ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("width, error", [(1, 1e-2), (2, 1e-4), (3, 1e-6), (4, 1e-6)])
def test_wave_files_of_every_width_are_read_as_they_were_written(tmp_path: Path, width: int, error: float) -> None:
    path = write_wave(tmp_path / "tone.wav", tone(16_000), width=width)
    np.testing.assert_allclose(read_wave(path).numpy(), tone(16_000), atol=error)


def test_channels_are_averaged_and_other_rates_resampled(tmp_path: Path) -> None:
    both = np.stack([tone(16_000), np.zeros(3200)], axis=1).flatten()
    found = read_wave(write_wave(tmp_path / "two.wav", both, channels=2))
    np.testing.assert_allclose(found.numpy(), tone(16_000) / 2, atol=1e-4)
    found = read_wave(write_wave(tmp_path / "fast.wav", tone(44_100), rate=44_100))
    assert len(found) == 3200
    np.testing.assert_allclose(found[200:-200].numpy(), tone(16_000)[200:-200], atol=5e-3)


def test_what_is_no_wave_file_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not a sound at all, though long enough to have a header of forty-four bytes")
    (tmp_path / "empty.wav").write_bytes(b"")
    whole = write_wave(tmp_path / "whole.wav", tone(16_000)).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[:30])
    for name in ("text.wav", "empty.wav", "cut.wav"):
        with pytest.raises(InputError, match=f"{name}: not a readable WAV file"):
            read_wave(tmp_path / name)
    with pytest.raises(InputError, match="no such sound"):
        read_wave(tmp_path / "none.wav")
    (tmp_path / "half.wav").write_bytes(whole[:1001])  # within a sample
    assert len(read_wave(tmp_path / "half.wav")) == (1001 - 44) // 2


def test_a_sound_is_cut_at_the_towers_frames_and_silence_is_a_sound() -> None:
    torch.manual_seed(0)
    tower = SpectrogramTransformer(40, 20, width=8, layers=1, heads=2).eval()
    long = 0.1 * torch.randn(20_000)
    found = tower.prepare([long, long[: 400 + 39 * 160], torch.zeros(0)])
    assert found.shape == (3, 40, 20) and torch.equal(found[0], found[1])
    assert tower.features(found).pooled.isfinite().all()


def test_padding_of_speech_is_padding_in_half_precision_too() -> None:
    torch.manual_seed(0)
    tower = SpeechConvolution(40, 20, width=8, layers=1, kernel=3).eval()
    made = tower.prepare([0.1 * torch.randn(2500), 0.01 * torch.randn(4000), torch.zeros(0)])
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        found = tower.features(made.to(dtype).float())
        assert found.mask.sum(1).tolist() == [7, 12, 0] and found.pooled.isfinite().all()  # of 14, 23 and 0 frames


def test_of_a_long_sound_only_the_first_seconds_are_read(tmp_path: Path) -> None:
    path = write_wave(tmp_path / "ten_minutes.wav", np.zeros(600 * 8000), rate=8000)
    assert len(read_wave(path)) == 60 * 16_000 and len(read_wave(path, longest=0.5)) == 8000
    with pytest.raises(InputError, match="more than 0"):
        read_wave(path, longest=0)


def test_compressed_sounds_are_read_as_they_were_written(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile", reason="needs the package soundfile")
    for name, error in (("tone.ogg", 0.02), ("tone.flac", 5e-3)):
        soundfile.write(tmp_path / name, np.stack([tone(8000), tone(8000)], axis=1), 8000)  # two channels
        found = read_wave(tmp_path / name)
        assert len(found) == 3200
        np.testing.assert_allclose(found[300:-300].numpy(), tone(16_000)[300:-300], atol=error)
    with soundfile.SoundFile(tmp_path / "long.ogg", "w", 8000, 1) as file:
        for _ in range(600):  # ten minutes; written in one piece, they overflow libsndfile's stack
            file.write(np.zeros(8000))
    assert len(read_wave(tmp_path / "long.ogg", longest=2)) == 32_000
    soundfile.write(tmp_path / "one.ogg", np.ones(1) / 2, 16_000)
    assert len(read_wave(tmp_path / "one.ogg")) == 1


def test_what_is_no_compressed_sound_is_said_in_one_line_and_of_a_cut_one_the_start_is_read(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile", reason="needs the package soundfile")
    (tmp_path / "empty.ogg").write_bytes(b"")
    (tmp_path / "text.ogg").write_text("no sound at all")
    soundfile.write(tmp_path / "whole.ogg", 0.1 * np.random.default_rng(0).standard_normal(5 * 16_000), 16_000)
    whole = (tmp_path / "whole.ogg").read_bytes()
    (tmp_path / "header.ogg").write_bytes(whole[:40])
    for name in ("empty.ogg", "text.ogg", "header.ogg"):
        with pytest.raises(InputError, match=f"{name}: not a readable sound .*; convert it") as caught:
            read_wave(tmp_path / name)
        assert "\n" not in str(caught.value)
    (tmp_path / "half.ogg").write_bytes(whole[: len(whole) // 2])
    assert 16_000 < len(read_wave(tmp_path / "half.ogg")) < 4 * 16_000
    with pytest.raises(InputError, match="no such sound"):
        read_wave(tmp_path / "none.ogg")


def test_without_the_package_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some.ogg").write_bytes(b"OggS")
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(InputError, match=r"pip install 'kemm\[sound\]'"):
        read_wave(tmp_path / "some.ogg")


@pytest.mark.skipif(not STAMPS.is_dir(), reason="needs the sounds of the package tuxpaint-stamps-default")
def test_real_sounds_have_spectrograms_that_differ() -> None:
    pytest.importorskip("soundfile", reason="needs the package soundfile to decode the sounds of tuxpaint")
    waves = [read_wave(file) for file in sorted(STAMPS.rglob("*.ogg"))[:8]]
    found = SpectrogramTransformer(200, 64, width=8, layers=1, heads=2).prepare(waves)
    assert found.isfinite().all()
    assert all((found[i] - found[j]).abs().mean() > 0.01 for i in range(len(waves)) for j in range(i))


# ── video ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def picture_tower() -> PictureTransformer:
    torch.manual_seed(1)
    return PictureTransformer(16, 8, 16, 2, 2).eval()


def frames(number: int, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(number)
    return torch.randint(0, 256, (batch, number, 16, 16, 3), generator=generator, dtype=torch.uint8)


def test_one_frame_is_the_picture_to_the_image_tower_it_came_from() -> None:
    image, shown = picture_tower(), frames(1)
    expected = image.features(shown[:, 0])
    video = VideoTransformer(4, image).eval()
    found = video.features(shown)
    torch.testing.assert_close(found.tokens, expected.tokens, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.pooled, expected.pooled, atol=1e-5, rtol=0)


def test_at_first_the_order_of_the_frames_does_not_matter() -> None:
    video, film = VideoTransformer(4, picture_tower()).eval(), frames(4)
    torch.testing.assert_close(video.features(film).pooled, video.features(film.flip(1)).pooled, atol=1e-5, rtol=0)


def test_attention_along_time_learns_though_it_starts_at_zero() -> None:
    video = VideoTransformer(4, picture_tower())
    optimizer = torch.optim.SGD(video.parameters(), lr=0.1)
    for _ in range(2):  # its projections to q, k, v have slopes once its output is no longer zero
        optimizer.zero_grad()
        video.features(frames(4)).tokens[..., 0].mean().backward()
        optimizer.step()
    for part in video.along_time:
        assert part.attention.out.weight.abs().max() > 0 and part.attention.qkv.weight.grad.abs().max() > 0
    film = frames(4)
    assert (video.features(film).pooled - video.features(film.flip(1)).pooled).abs().max() > 1e-6


def test_frames_that_are_missing_are_not_read() -> None:
    video = VideoTransformer(4, picture_tower()).eval()
    for part in video.along_time:
        nn.init.normal_(part.attention.out.weight)
    film, mask = frames(3), torch.tensor([[True, True, False], [True, False, False]])
    noisy = torch.where(mask[..., None, None, None], film, 255 - film)
    one, two = video.features(film, mask), video.features(noisy, mask)
    torch.testing.assert_close(one.pooled, two.pooled, atol=1e-5, rtol=0)
    short = video.features(film[:1, :2])
    torch.testing.assert_close(one.tokens[0][one.mask[0]], short.tokens[0], atol=1e-5, rtol=0)


def test_too_many_frames_are_refused() -> None:
    with pytest.raises(InputError, match="5 frames can't be read by a tower of 1 to 4"):
        VideoTransformer(4, picture_tower()).features(frames(5))


# ── regions and graphs ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_boxs_numbers_are_uniters_seven_and_vilberts_five() -> None:
    boxes, sizes = torch.tensor([[[20.0, 10.0, 60.0, 40.0]]]), torch.tensor([[200, 100]])
    assert box_numbers(boxes, sizes)[0, 0].tolist() == pytest.approx([0.1, 0.1, 0.3, 0.4, 0.2, 0.3, 0.06])
    assert box_numbers(boxes, sizes, "vilbert")[0, 0].tolist() == pytest.approx([0.1, 0.1, 0.3, 0.4, 0.06])


@pytest.mark.parametrize("kind", ["uniter", "vilbert"])
def test_a_region_that_is_padding_is_not_in_the_mean(kind: str) -> None:
    tower = RegionTokens(6, 8, kind).eval()  # type: ignore[arg-type]
    found, boxes = torch.randn(1, 3, 6), torch.tensor([[[0.0, 0, 5, 5], [1, 1, 9, 9], [9, 9, 0, 0]]])
    mask, sizes = torch.tensor([[True, True, False]]), torch.tensor([[10, 10]])
    one = tower.features(found, boxes, sizes, mask)
    torch.testing.assert_close(one.pooled, one.tokens[:, :2].mean(1))
    empty = tower.features(found, boxes, sizes, torch.zeros_like(mask))
    assert (empty.pooled == 0).all()
    with pytest.raises(InputError, match="left, top, right, bottom"):
        tower.features(found, boxes, sizes, torch.ones_like(mask))
    with pytest.raises(InputError, match="no size"):
        tower.features(found, boxes, sizes * 0, mask)


def test_nodes_come_back_graph_by_graph() -> None:
    torch.manual_seed(0)
    tower = GraphTokens(4, 8).eval()
    nodes, edges = torch.randn(3, 4), torch.tensor([[0], [1]])
    found = tower.features(nodes, edges, torch.randn(1, 4), torch.tensor([0, 0, 2]), 3)
    assert found.mask.tolist() == [[True, True], [False, False], [True, False]]
    assert (found.pooled[1] == 0).all()
    torch.testing.assert_close(found.pooled[0], found.tokens[0].mean(0))


# ── slow copies and weights ───────────────────────────────────────────────────────────────────────────────────────


def test_a_slow_copy_follows_by_its_momentum_without_slopes_and_is_saved() -> None:
    fast = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    with torch.no_grad():
        fast[0].weight.fill_(1.0)
    slow = MomentumCopy(fast, momentum=0.9)
    with torch.no_grad():
        fast[0].weight.fill_(2.0)
    fast(torch.tensor([[1.0], [3.0]]))  # moves the batch statistics
    slow.update(fast)
    assert slow.copy[0].weight.item() == pytest.approx(0.9 * 1 + 0.1 * 2)
    slow.update(fast)
    assert slow.copy[0].weight.item() == pytest.approx(0.9 * 1.1 + 0.1 * 2)
    assert torch.equal(slow.copy[1].running_mean, fast[1].running_mean)
    assert not any(p.requires_grad for p in slow.parameters())
    assert not slow.train()(torch.ones(2, 1)).requires_grad and not slow.copy[1].training
    model = nn.ModuleDict({"fast": fast, "slow": slow})
    assert model.state_dict()["slow.copy.0.weight"].item() == pytest.approx(1.19)
    with pytest.raises(InputError, match=r"momentum of 1\.5"):
        MomentumCopy(fast, 1.5)


def test_weights_that_are_truncated_or_of_another_model_or_pickled_are_refused(tmp_path: Path) -> None:
    import safetensors.torch

    good = tmp_path / "good.safetensors"
    safetensors.torch.save_file({n: v.contiguous() for n, v in Timm("test_vit", None).body.state_dict().items()}, good)
    Timm("test_vit", good)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    pickled = tmp_path / "model.pth"
    torch.save({"weight": torch.zeros(1)}, pickled)
    for path, says in (
        (cut, "not a readable safetensors file"),
        (pickled, "a pickle"),
        (tmp_path / "no", "no such file"),
    ):
        with pytest.raises(InputError, match=says):
            Timm("test_vit", path)
    with pytest.raises(InputError, match=r"weights of another model: .* is .* there and .* in this configuration"):
        Timm("test_resnet", good)
    assert math.isclose(Timm("test_vit", good).mean.flatten()[0].item(), 0.5)


def test_the_loops_rule_gives_each_layer_its_own_learning_rate() -> None:
    from kemm.encoders.encoder import layer_groups
    from kemm.pretrain.optimizer import learning_rate
    from kemm.settings import TrainSettings

    tower, settings = picture_tower(), TrainSettings(learning_rate=0.1, warmup=1)
    before = {name: p.clone() for name, p in tower.named_parameters()}
    optimizer = torch.optim.SGD(layer_groups(tower, decay=0.1), lr=settings.learning_rate)
    for group in optimizer.param_groups:  # as kemm.pretrain.loop does
        group["lr"] = group["scale"] * learning_rate(0, settings)
    tower.features(frames(1)[:, 0]).tokens.square().sum().backward()
    optimizer.step()
    rates = {"body.norm.weight": 0.1, "body.blocks.1.attention.out.bias": 0.01, "project.weight": 0.0001}
    for name, rate in rates.items():
        p = tower.get_parameter(name)
        torch.testing.assert_close(before[name] - p, rate * p.grad, atol=1e-6, rtol=1e-3)
