"""CapFilt (BLIP, Li et al., 2022, arXiv:2201.12086, section 3.3): one model writes captions, another keeps what fits.

    kept = {(I, t) : t ∈ {t_web, t_written}, p_itm(match | I, t) ≥ ½}, t_written by nucleus sampling, p = 0.9

The captioner is a ``blip-captioner`` and the filter a ``blip-retrieval`` as `kemm import-weights` or
``save_pretrained`` wrote them; both may be any that were trained or tuned on. BLIP keeps what its head calls a match.
"""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor

from kemm.data.pair_files import Pair, read_pairs
from kemm.encoders.vision import open_image
from kemm.generate.filters import MinimumLength
from kemm.generate.one_by_one import sample
from kemm.systems.blip import TEXT, VISION, BLIPRetrieval
from kemm.systems.blip_writer import BLIPCaptioner
from kemm.systems.saved import WEIGHTS
from kg.errors import InputError, UnreadableImage

#: Of BLIP's published checkpoints, in pixels from 0 to 1; they are CLIP's.
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
#: What BLIP's text_config says where config.json does not: the token that starts a caption, and the one that ends it.
START, END = 30522, 102


@dataclass(frozen=True, slots=True)
class Writing:
    """How captions are written and kept; the defaults are BLIP's.

    Attributes:
        nucleus: p of nucleus sampling.
        shortest, longest: tokens of a caption, its end not counted.
        threshold: least probability of a match of what is kept.
        seed: of what is drawn; the same captions come whether a run was interrupted or not.
        batch: pictures at once.
    """

    nucleus: float = 0.9
    shortest: int = 5
    longest: int = 20
    threshold: float = 0.5
    seed: int = 0
    batch: int = 16


class CapFilt:
    """The two models and the words that they share.

    Args:
        captioner, judge: folders of saved systems.
        tokenizer: ``tokenizer.json``, or the published checkpoint's folder that has it.

    Attributes:
        name: what tells these two models from others.

    Raises:
        InputError: a folder holds no such system, or the tokenizer is missing or of another vocabulary.
    """

    def __init__(self, captioner: Path, judge: Path, tokenizer: Path, writing: Writing | None = None) -> None:
        self.writing = writing or Writing()
        self.captioner = BLIPCaptioner.from_pretrained(captioner)
        self.judge = BLIPRetrieval.from_pretrained(judge)
        file = tokenizer / "tokenizer.json" if tokenizer.is_dir() else tokenizer
        try:
            self.words = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises nothing narrower
            raise InputError(f"{file}: no tokenizer there ({error}); give the checkpoint's tokenizer.json") from None
        assert self.captioner.config is not None and self.judge.config is not None
        writer, reader = (config["text_config"] for config in (self.captioner.config, self.judge.config))
        self.start, self.end = writer.get("bos_token_id", START), writer.get("sep_token_id", END)
        self.positions = int(reader.get("max_position_embeddings", TEXT["max_position_embeddings"]))
        sizes = [int(config.get("vocab_size", TEXT["vocab_size"])) for config in (writer, reader)]
        most = max(self.words.get_vocab_size(), self.start + 1, self.end + 1)
        if most > min(sizes):
            raise InputError(
                f"{file}: it has {most} tokens, but a model has {min(sizes)}; give the models' own tokenizer"
            )
        weights = [(folder / WEIGHTS).stat() for folder in (captioner, judge)]
        self.name = [
            [str(folder.resolve()), w.st_size, w.st_mtime_ns] for folder, w in zip((captioner, judge), weights)
        ]
        self.words.no_truncation()
        self.words.no_padding()

    @torch.no_grad()
    def __call__(
        self, pictures: Sequence[Image.Image], texts: Sequence[str], seed: int
    ) -> list[tuple[str, float, float]]:
        """A caption for each picture, and how likely its own text and the caption match it.

        Args:
            seed: of the captions' draws.

        Returns:
            (caption, p of the text, p of the caption) for each; 0 for an empty text.
        """
        captions = self.write(pictures, seed)
        states = self.judge.vision(self._pixels(pictures, self.judge))  # (B, 1 + P, D)
        of_text, of_caption = (self._match(list(each), states) for each in (texts, captions))
        return list(zip(captions, of_text, of_caption, strict=True))

    @torch.no_grad()
    def write(self, pictures: Sequence[Image.Image], seed: int) -> list[str]:
        """Captions by nucleus sampling."""
        cache = self.captioner.start(self._pixels(pictures, self.captioner))
        start = torch.full((len(pictures), 1), self.start)
        drawn = sample(
            self.captioner,
            start,
            cache,
            end=self.end,
            longest=self.writing.longest + 1,
            generator=torch.Generator().manual_seed(seed),
            top_p=self.writing.nucleus,
            filters=[MinimumLength(self.writing.shortest, self.end)],
        )
        return [" ".join(self.words.decode(row).split()) for row in drawn.rows()]

    def _match(self, texts: list[str], states: Tensor) -> list[float]:
        """The probability that each text matches its picture; states (B, 1 + P, D)."""
        longest = self.positions
        ids = [self.words.encode(text).ids for text in texts]
        ids = [row if len(row) <= longest else [*row[: longest - 1], row[-1]] for row in ids]
        tokens = torch.zeros(len(ids), max(map(len, ids), default=0) or 1, dtype=torch.int64)
        mask = torch.zeros(tokens.shape, dtype=torch.bool)
        for number, row in enumerate(ids):
            tokens[number, : len(row)], mask[number, : len(row)] = torch.tensor(row, dtype=torch.int64), True
        probability = self.judge.match(tokens, mask | ~mask.any(1, keepdim=True), states).softmax(-1)[:, 1]
        if probability.isnan().any():
            raise InputError("the filter's scores are not numbers; its weights are damaged or it has diverged")
        return [p if text else 0.0 for p, text in zip(probability.tolist(), texts, strict=True)]

    def _pixels(self, pictures: Sequence[Image.Image], system: BLIPCaptioner | BLIPRetrieval) -> Tensor:
        """(B, 3, S, S), normalised; squeezed to the square that the system reads, as BLIP does."""
        assert system.config is not None
        size = int(system.config["vision_config"].get("image_size", VISION["image_size"]))
        arrays = [np.asarray(p.resize((size, size), Image.Resampling.BICUBIC), np.float32) / 255 for p in pictures]
        pixels = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)  # (B, 3, S, S)
        mean, deviation = (torch.tensor(each)[:, None, None] for each in (MEAN, DEVIATION))
        return (pixels - mean) / deviation


def write_and_filter(
    pairs: Path | Sequence[Path], out: Path, models: CapFilt, progress: Callable[[int], object] | None = None
) -> dict[str, Any]:
    """Write JSON lines (key, image, text, origin "web" or "written", match) of all texts that fit their picture.

    An interrupted run goes on where it stopped: what it had is in ``OUT.partial``, one line a pair.

    Returns:
        ``read``, ``web`` and ``written`` texts kept, ``resumed_at``, and ``dropped``: reason → count.

    Raises:
        InputError: a list can't be read; ``out`` is as it was.
    """
    lists = [pairs] if isinstance(pairs, Path) else list(pairs)
    for path in lists:
        if not path.is_file():
            raise InputError(f"there is no file {path}")
    partial = out.with_name(out.name + ".partial")
    out.parent.mkdir(parents=True, exist_ok=True)
    of = [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in lists]
    header = json.dumps([of, models.name, asdict(models.writing)])
    resumed = read = _resume(partial, header, models.writing.batch)
    source = islice(read_pairs(lists), resumed, None)
    try:
        with partial.open("a", encoding="utf-8") as file:
            if not resumed:
                file.write(header + "\n")
            while block := list(islice(source, models.writing.batch)):
                done = _judge(block, models, seed=models.writing.seed * 1_000_003 + read)
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in done)
                file.flush()
                read += len(block)
                if progress:
                    progress(read)
    except InputError:
        partial.unlink()  # the list is at fault: nothing to go on with
        raise
    counts = _publish(partial, out, models.writing.threshold)
    partial.unlink()
    dropped = {reason: count for reason, count in counts.items() if reason not in ("web", "written")}
    return {"read": read, "web": counts["web"], "written": counts["written"], "resumed_at": resumed, "dropped": dropped}


def _resume(partial: Path, header: str, batch: int) -> int:
    """How many pairs an interrupted run of the same lists and models' settings has done: whole batches."""
    if not partial.is_file():
        return 0
    lines = partial.read_bytes().split(b"\n")
    whole = (len(lines) - 2) // batch * batch  # without the header and what stands after the last line's end
    if lines[0] != header.encode() or whole <= 0:
        partial.unlink()
        return 0
    with partial.open("r+b") as file:
        file.truncate(sum(len(line) + 1 for line in lines[: 1 + whole]))
    return whole


def _judge(pairs: Sequence[Pair], models: CapFilt, seed: int) -> list[dict[str, Any]]:
    """One row a pair: what was written and how likely both texts match, or why nothing could be said."""
    pictures: list[Image.Image] = []
    rows: list[dict[str, Any]] = []
    good: list[dict[str, Any]] = []
    for pair in pairs:
        row: dict[str, Any] = {"key": pair.key, "image": str(pair.folder.resolve() / pair.image), "text": pair.text}
        rows.append(row)
        if pair.fault:
            row["fault"] = pair.fault
            continue
        try:
            with Image.open(io.BytesIO(pair.data())) as opened:
                pictures.append(open_image(opened))
            good.append(row)
        except (UnreadableImage, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            row["fault"] = "no such picture" if "no such picture" in str(error) else "unreadable picture"
    if good:
        judged = models(pictures, [row["text"] for row in good], seed)
        for row, (caption, of_text, of_caption) in zip(good, judged, strict=True):
            row |= {"caption": caption, "web": of_text, "written": of_caption}
    return rows


def _publish(partial: Path, out: Path, threshold: float) -> Counter[str]:
    """Write what is kept; the file appears whole or not at all."""
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    whole = out.with_name(out.name + ".new")
    folder = out.parent.resolve()
    try:
        with partial.open(encoding="utf-8") as rows, whole.open("w", encoding="utf-8") as file:
            for line in islice(rows, 1, None):
                row = json.loads(line)
                fault = row.get("fault") or ("duplicate key" if row["key"] in seen else "")
                seen.add(row["key"])
                if fault:
                    counts[fault] += 1
                    continue
                image = os.path.relpath(row["image"], folder)
                for origin, text in (("web", row["text"]), ("written", row["caption"])):
                    if not text:
                        counts[f"{origin} text empty"] += 1
                    elif row[origin] < threshold:
                        counts[f"{origin} text does not match"] += 1
                    else:
                        counts[origin] += 1
                        kept = {"key": row["key"], "image": image, "text": text, "origin": origin}
                        file.write(json.dumps(kept | {"match": round(row[origin], 4)}, ensure_ascii=False) + "\n")
        os.replace(whole, out)
    finally:
        whole.unlink(missing_ok=True)
    return counts
