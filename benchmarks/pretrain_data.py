"""Epochs on frozen towers, the first beside the second, and how long a step waits for its data.

``epoch``: photos of groceries with their names and sounds, through frozen towers into a model of the quick start's
size that learns ITC, ITM, MLM and MIM, 48 a step. In the first epoch towers run; then their features are found by the
hash of each file's bytes. What is hidden of a text is drawn anew in every step, so the text tower runs on that in every
epoch. Photos' towers have random weights, sounds are noise of one to three seconds.

``waiting``: whole steps of ``kemm.pretrain.loop.fit`` at 12 layers of 384, every photo read, cropped and lit anew.
"""

from __future__ import annotations

import time
import wave
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import pretrain_steps
from benchmarks.frame import Arguments
from benchmarks.pretrain_steps import HIDDEN_WORDS

PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "data" / "grocery"


def prepare(arguments: Arguments) -> None:
    pretrain_steps.prepare(arguments)


def photos(count: int) -> list[tuple[str, str]]:
    """Files of shop photos, and what they show."""
    table = PHOTOS / "images.tsv"
    if not table.exists():
        raise ImportError("no photos to read: the Grocery Store data set is not beside the repository")
    rows = [line.split("\t") for line in table.read_text().splitlines()[1:]]
    shop = [(str(PHOTOS / path), iri.rpartition("product_")[2].replace("_", " ")) for path, iri, _, _ in rows]
    return shop[:: max(1, len(shop) // count)][:count]


def epoch(arguments: Arguments) -> dict[str, Any]:
    """Samples/s of an epoch; the note says how long its data took."""
    maker, task, sounds = _frozen(arguments)
    shown, batch = photos(arguments["things"]), arguments["batch"]
    optimizer = torch.optim.AdamW(task.parameters(), lr=1e-4, fused=True)
    clock = time.process_time if arguments["clock"] == "processor" else time.perf_counter

    def run() -> tuple[float, float]:
        """Seconds, and those of them for data."""
        start, for_data = clock(), 0.0
        for first in range(0, len(shown), batch):
            asked = clock()
            made = _batch(maker, shown[first : first + batch], sounds[first : first + batch])
            for_data += clock() - asked
            with torch.autocast("cpu", torch.bfloat16):
                total = task(made, torch.Generator().manual_seed(first))["total"]
            total.backward()
            optimizer.step()
            optimizer.zero_grad()
        return clock() - start, for_data

    other = _batch(maker, [(path, "warm") for path, _ in photos(10_000)[-2:]], sounds[:2])  # imports and first calls
    task(other, torch.Generator().manual_seed(0))["total"].backward()
    seconds, for_data = run()
    if arguments["epoch"] == 2:
        seconds, for_data = run()
    return {"value": len(shown) / seconds, "note": f"{seconds:.2f} s, {for_data:.3f} s of them for data"}


def waiting(arguments: Arguments) -> dict[str, Any]:
    """Percent of the steps' time in which they wait for their data; how busy the cores were beside it."""
    from kemm.data.pictures import augment
    from kemm.encoders.vision import open_image, to_array
    from kemm.pretrain.loop import fit
    from kemm.settings import TrainSettings

    task, like = pretrain_steps.build_task("everywhere", "either"), pretrain_steps.samples(arguments)
    shown = photos(arguments["batch"] * arguments["steps"])
    words = like.samples.parts["language"]

    def batch_of(step: int) -> Any:
        from kemm.data.batch import Batch
        from kemm.data.samples import Part, Samples

        rng = np.random.default_rng(step)
        chosen = shown[step * arguments["batch"] :][: arguments["batch"]]
        pixels = [to_array(augment(open_image(path), rng), 224) for path, _ in chosen]
        part = Part(words.present, torch.from_numpy(np.stack(pixels)))
        return Batch(Samples({"vision": part, "language": words}, like.samples.entity))

    settings = TrainSettings(steps=arguments["steps"], ahead=arguments["ahead"], held_out_every=0, precision="bf16")
    busy = time.process_time()
    found = fit(task, batch_of, settings, Path(arguments["out"]) / "checkpoint", resume=False)
    busy = (time.process_time() - busy) / found["seconds"] / arguments["threads"]
    return {"value": 100 * found["waited"] / found["seconds"], "note": f"{busy:.0%} of {arguments['threads']} cores"}


def _frozen(arguments: Arguments) -> tuple[Any, Any, list[str]]:
    """What makes parts, a task for them, and files of sounds."""
    from kemm.data.parts import PartMaker
    from kemm.data.pictures import FeatureBank
    from kemm.data.text_bank import TextBank
    from kemm.encoders import build_encoder
    from kemm.objectives.objective import Context
    from kemm.pretrain.task import PretrainTask
    from kemm.settings import Settings

    audio = {"mode": "scratch", "size": 64, "frames": 128, "patch": 16}
    model = {"dropout": 0.0, "towers": {"audio": audio}}
    between = ["vision", "language", "audio"]
    objectives = {"itc": {"between": between}, "itm": {}, "mlm": {"rate": HIDDEN_WORDS}, "mim": {"target": "features"}}
    settings = Settings.model_validate({"model": model, "objectives": objectives})
    text = build_encoder("minilm")
    vision = build_encoder(arguments["tower"], weights=None).requires_grad_(False).eval()
    folder = Path(arguments["out"]) / "features"
    maker = PartMaker(
        settings, TextBank(text, settings.model.text_tokens), FeatureBank(vision, folder, settings.model.grid)
    )
    context = Context(
        width=settings.model.width,
        vision_width=vision.width,
        text_width=text.width,
        pooled={"vision": vision.width, "language": text.width, "audio": settings.model.width},
        grids={"vision": (settings.model.grid,) * 2, "audio": (4, 8)},
        word_width=text.width,
        lexicon=text.lexicon(),
        towers={"vision": vision, "language": text},
    )
    sounds = [_noise(Path(arguments["out"]) / f"{number}.wav", number) for number in range(arguments["things"])]
    return maker, PretrainTask(settings, context), sounds


def _batch(maker: Any, shown: list[tuple[str, str]], sounds: list[str]) -> Any:
    from kemm.data.batch import Batch
    from kemm.data.samples import Samples

    parts = {
        "vision": maker.pictures([maker.picture(path) for path, _ in shown]),
        "language": maker.texts([f"a photo of {name}, number {path[-8:]}" for path, name in shown]),
        "audio": maker.sounds(sounds),
    }
    return Batch(Samples(parts, torch.arange(len(shown))))


def _noise(path: Path, seed: int) -> str:
    """One to three seconds of two channels at 44.1 kHz."""
    rng = np.random.default_rng(seed)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes(rng.integers(-8_000, 8_000, (rng.integers(44_100, 132_300), 2), dtype=np.int16).tobytes())
    return str(path)
