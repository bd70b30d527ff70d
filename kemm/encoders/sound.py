"""Sound as numbers: waveforms from files, and their log-mel spectrograms, in torch alone."""

from __future__ import annotations

import functools
import wave
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kg.errors import InputError

RATE = 16_000  # Hz
FRAME, HOP, FFT = 400, 160, 512  # samples: 25 ms every 10 ms
LONGEST = 60.0  # seconds that are read of a sound
FLOOR = float(np.finfo(np.float32).eps)  # below it, energies are silence


def read_wave(path: str | Path, rate: int = RATE, longest: float = LONGEST) -> Tensor:
    """Read a sound as one channel at ``rate`` Hz, from −1 to 1: ``(S,)``, S = 0 for a sound without samples.

    ``*.wav`` of whole numbers (8, 16, 24 or 32 bits) needs nothing else; what else there is (Ogg Vorbis, Opus, FLAC,
    MP3, AIFF) is read by the package ``soundfile``. Several channels are averaged.

    Args:
        longest: seconds, above 0; what comes after them is not read.

    Raises:
        InputError: there is no such file, or it can't be read; says what to do.
    """
    if not longest > 0:
        raise InputError(f"at most {longest} seconds of a sound were asked for; give more than 0")
    if not Path(path).is_file():
        raise InputError(f"{path}: no such sound")
    samples, own = _wav(path, longest) if Path(path).suffix.lower() == ".wav" else _by_soundfile(path, longest)
    mono = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]  # (S, channels) → (S,)
    if own != rate and len(mono):
        from math import gcd

        from scipy.signal import resample_poly

        mono = resample_poly(mono, rate // gcd(rate, own), own // gcd(rate, own)).astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(mono))


def _wav(path: str | Path, longest: float) -> tuple[np.ndarray, int]:
    """Samples ``(S, channels)`` float32 of a WAV file, and their rate."""
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate, count = file.getparams()[:4]
            data = file.readframes(min(count, int(longest * rate)))
    except (wave.Error, EOFError, OSError, RuntimeError) as error:
        says = str(error) or "it is cut short"
        raise InputError(f"{path}: not a readable WAV file ({says}); convert it to WAV of whole numbers") from None
    data = data[: len(data) // (channels * width) * channels * width]  # a file that ends within a sample
    if width == 1:
        samples = np.frombuffer(data, np.uint8).astype(np.float32) / 128.0 - 1.0
    elif width == 3:
        parts = np.frombuffer(data, np.uint8).reshape(-1, 3)
        whole = np.concatenate([np.zeros((len(parts), 1), np.uint8), parts], axis=1).view("<i4")[:, 0]
        samples = whole.astype(np.float32) / 2**31
    else:
        samples = np.frombuffer(data, f"<i{width}").astype(np.float32) / 2 ** (8 * width - 1)
    return samples.reshape(-1, channels), rate


def _by_soundfile(path: str | Path, longest: float) -> tuple[np.ndarray, int]:
    """The same of any file that libsndfile knows; of one that is cut short, what is there."""
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: the package without its library
        raise InputError(f"{path}: to read sounds other than WAV: pip install 'kemm[sound]'") from None
    try:
        with soundfile.SoundFile(str(path)) as file:
            # in blocks: a header may promise more samples than there are, or than fit into memory
            size, left, blocks = 1 << 18, int(longest * file.samplerate), []
            while left > 0 and len(block := file.read(min(size, left), dtype="float32", always_2d=True)):
                blocks.append(block)
                left -= len(block)
            empty = np.zeros((0, file.channels), np.float32)
            samples, rate = np.concatenate([empty, *blocks]), file.samplerate
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        says = " ".join(str(error).split()).rpartition(": ")[2].rstrip(".") or type(error).__name__
        raise InputError(f"{path}: not a readable sound ({says}); convert it to WAV or Ogg Vorbis") from None
    return np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0).clip(-1, 1), rate


@functools.cache
def mel_filters(num_mels: int, rate: int = RATE) -> Tensor:
    """Triangles that overlap by half, equally wide on Kaldi's mel scale from 20 Hz to the Nyquist rate: ``(257, M)``.

    mel(f) = 1127 ln(1 + f / 700)
    """
    edges = torch.linspace(_mel(20.0), _mel(rate / 2), num_mels + 2, dtype=torch.float64)
    bins = torch.arange(FFT // 2 + 1, dtype=torch.float64) * rate / FFT
    mels = 1127.0 * torch.log1p(bins / 700.0)[:, None]  # (257, 1)
    rising = (mels - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mels) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0).float()


def _mel(frequency: float) -> float:
    return float(1127.0 * np.log1p(frequency / 700.0))


def log_mel(waveform: Tensor, num_mels: int = 128) -> Tensor:
    """Log-mel energies as Kaldi and AST compute them.

        E = log max(ε, |FFT(w ⊙ pre(x − x̄))|² F),   pre(x)_i = x_i − 0.97 x_(i−1)

    of frames of 25 ms every 10 ms, w Hann's window and F ``mel_filters``. Frames that would pass the end are left out.

    Args:
        waveform: ``(…, S)`` at 16 kHz, from −1 to 1.

    Returns:
        ``(…, T, M)`` with T = ⌊(S − 400) / 160⌋ + 1, at least 0.
    """
    if waveform.shape[-1] < FRAME:
        return waveform.new_zeros(*waveform.shape[:-1], 0, num_mels)
    frames = waveform.unfold(-1, FRAME, HOP)  # (…, T, 400)
    frames = frames - frames.mean(-1, keepdim=True)
    before = torch.cat(
        [frames[..., :1], frames[..., :-1]], dim=-1
    )  # the first sample stands before itself, as in Kaldi
    window = torch.hann_window(FRAME, periodic=False, device=waveform.device)
    power = torch.fft.rfft((frames - 0.97 * before) * window, FFT).abs().square()  # (…, T, 257)
    return (power @ mel_filters(num_mels).to(power)).clamp(min=FLOOR).log()
