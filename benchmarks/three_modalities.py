"""Picture, sound and name of the same things, all three learned together or two alone, with knowledge and without.

    python -m benchmarks.three_modalities --stamps /usr/share/tuxpaint/stamps --folder DIR

The things are Tux Paint's stamps outside ``symbols/`` with a picture, a sound and a meaning in WordNet
(``kemm.data.stamps``); a sound is what the thing sounds like or its name spoken in one of a dozen languages. Pictures
go through EfficientNet-lite0 and names through MiniLM, both frozen and computed once; sounds through a small
``SpectrogramTransformer``, learned from nothing; then each through a matrix into one space. Loss: InfoNCE of each pair
of modalities that is learned, one recording a thing and step. With knowledge the name is followed by what it is a kind
of and by its definition (K-LITE).

Two questions are asked of each model. *New things*: 20 % of the things, split by what they are, each with all its
recordings (their mean); which of the pictures, names or sounds of new things belongs to it? *New recordings*: a sixth
of the recordings of learned things is never heard in training; which learned thing is it? Steps are chosen on
validation things (10 %) by MRR of what the model learns; test things and new recordings are ranked once, at the end.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.data.pictures import FeatureBank
from kemm.data.stamp_facts import Nouns, knowledge_text, split_of
from kemm.data.stamps import FOLDER, read_stamps
from kemm.data.wordings import share
from kemm.encoders.audio import SpectrogramTransformer
from kemm.encoders.sound import read_wave
from kemm.encoders.text import MiniLM, TextEmbedder
from kemm.encoders.vision import EfficientNetLite0
from kemm.objectives.losses.contrastive import info_nce

#: (learned, with knowledge, question, direction) → ranks (Q,) of each seed.
Results = dict[tuple[str, bool, str, str], list[np.ndarray]]
KINDS = ("image", "sound", "text")
PAIRS = tuple(itertools.combinations(KINDS, 2))
FRAMES, MELS, SPACE = 192, 48, 128
RECORDINGS = 8  # most of one thing
SIZES = {"width": 64, "layers": 2, "heads": 4}
STEPS, LOOK_EVERY, BATCH, RATE = 160, 40, 128, 1e-3


class Things(NamedTuple):
    """What is known of N things: features of pictures (N, 1280) and texts (N, 384), S spectrograms (S, T, M)."""

    keys: list[str]
    split: np.ndarray  # (N,) of str
    image: Tensor
    text: dict[bool, Tensor]  # with knowledge or without
    sound: Tensor  # (S, T, M)
    owner: np.ndarray  # (S,) the thing of each recording
    is_new: np.ndarray  # (S,) never heard in training
    is_noise: np.ndarray  # (S,) what the thing sounds like, not its name


def prepare(stamps: Path, folder: Path) -> Things:
    """Read and encode, or take what an earlier run left in ``folder`` (remove it after a change of the stamps)."""
    kept = folder / "things.npz"
    if kept.is_file():
        saved = np.load(kept)
        text = {knows: torch.from_numpy(saved[f"text{int(knows)}"]) for knows in (False, True)}
        image, sound = torch.from_numpy(saved["image"]), torch.from_numpy(saved["sound"].astype(np.float32))
        rest = (saved[name] for name in ("owner", "is_new", "is_noise"))
        return Things(saved["keys"].tolist(), saved["split"], image, text, sound, *rest)
    nouns = Nouns()
    found = []
    names: set[str] = set()
    for thing in read_stamps(stamps):
        meaning = nouns.meaning(thing)
        usable = thing.picture and thing.sounds and meaning and thing.kinds[0] != "symbols"
        if usable and thing.name not in names:  # of two things with one name, nobody could tell which is meant
            names.add(thing.name)
            found.append((thing, meaning))
    folder.mkdir(parents=True, exist_ok=True)
    bank = FeatureBank(EfficientNetLite0(), folder / "pictures", 1)
    pictures = [str(thing.picture) for thing, _ in found]
    bank.compute(pictures, 1)
    embedder = TextEmbedder(MiniLM(), max_tokens=64)
    plain = [thing.name for thing, _ in found]
    texts = {
        False: torch.from_numpy(embedder.embed(plain)),
        True: torch.from_numpy(
            embedder.embed([f"{n}; {knowledge_text(m)}" for n, (_, m) in zip(plain, found, strict=True)])
        ),
    }
    chosen = [
        (owner, file, file == thing.sound)
        for owner, (thing, _) in enumerate(found)
        for file in sorted(thing.sounds, key=lambda f: (f != thing.sound, share(0, "recording", f.name)))[:RECORDINGS]
    ]
    things = Things(
        [thing.key for thing, _ in found],
        np.array([split_of(thing, meaning) for thing, meaning in found]),
        torch.from_numpy(np.stack([bank.get(file)[0] for file in pictures]).astype(np.float32)),
        texts,
        spectrograms([file for _, file, _ in chosen]),
        np.array([owner for owner, _, _ in chosen]),
        np.array([share(1, "new", str(file.relative_to(stamps))) < 1 / 6 for _, file, _ in chosen]),
        np.array([is_noise for _, _, is_noise in chosen]),
    )
    arrays = {name: getattr(things, name) for name in ("keys", "split", "image", "owner", "is_new", "is_noise")}
    half = things.sound.numpy().astype(np.float16)
    np.savez(kept, sound=half, **{f"text{int(knows)}": rows for knows, rows in texts.items()}, **arrays)
    return things


def spectrograms(files: list[Path]) -> Tensor:
    """Log-mel energies (S, T, M) of the start of each file, after the silence that it may begin with."""
    tower = SpectrogramTransformer(FRAMES, MELS, width=8, layers=1, heads=1)
    rows = []
    for file in files:
        wave = read_wave(file, longest=FRAMES / 100 + 0.5)
        loud = (wave.abs() > 0.02 * wave.abs().max()).nonzero()[:1, 0] if len(wave) else []
        rows.append(tower.prepare([wave[int(loud[0]) :] if len(loud) else wave])[0].half())
    return torch.stack(rows).float()


class Towers(nn.Module):
    """Each modality's features → vectors of length 1 in one space, (B, 128)."""

    def __init__(self, learned: tuple[tuple[str, str], ...]) -> None:
        super().__init__()
        self.learned = learned
        kinds = {kind for pair in learned for kind in pair}
        if "sound" in kinds:
            self.ear = SpectrogramTransformer(FRAMES // 2, MELS, stride=16, **SIZES)
        widths = {"image": 1280, "sound": SIZES["width"], "text": 384}
        self.into = nn.ModuleDict(
            {
                kind: nn.Sequential(nn.LayerNorm(widths[kind]), nn.Dropout(0.3), nn.Linear(widths[kind], SPACE))
                for kind in sorted(kinds)
            }
        )
        self.log_scale = nn.Parameter(torch.full((len(learned),), 2.66))  # ln 1/0.07

    def encode(self, kind: str, x: Tensor) -> Tensor:
        if kind == "sound":
            x = self.ear.features(x.unflatten(1, (-1, 2)).mean(2)).pooled  # 20 ms a step do, at half the cost
        return F.normalize(self.into[kind](x), dim=-1)

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """The mean of the pairs' InfoNCE; each modality is encoded once."""
        vectors = {kind: self.encode(kind, batch[kind]) for kind in self.into}
        scale = self.log_scale.clamp(max=4.6).exp()
        losses = [info_nce(vectors[a] @ vectors[b].T * scale[i]) for i, (a, b) in enumerate(self.learned)]
        return torch.stack(losses).mean()


def train(things: Things, learned: tuple[tuple[str, str], ...], knows: bool, seed: int) -> tuple[Towers, int]:
    """Learn the pairs; the weights are those of the step that validation things chose."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    model = Towers(learned)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS, pct_start=0.1)
    heard = {owner: np.flatnonzero((things.owner == owner) & ~things.is_new) for owner in set(things.owner.tolist())}
    pool = np.array([row for row in np.flatnonzero(things.split == "train") if len(heard.get(int(row), ()))])
    best, kept, at = -1.0, {}, 0
    for step in range(1, STEPS + 1):
        rows = random.choice(pool, BATCH, replace=False)
        batch = {"image": things.image[rows], "text": things.text[knows][rows]}
        if "sound" in model.into:
            sound = things.sound[[int(random.choice(heard[int(row)])) for row in rows]]
            batch["sound"] = sound.roll(int(random.integers(-8, 9)), 1)
        optimizer.zero_grad()
        model.loss(batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % LOOK_EVERY == 0:
            ranks = new_things(things, model, knows, "val")
            score = float(np.mean([(1 / r).mean() for r in ranks.values()]))
            if score > best:
                best, at = score, step
                kept = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)
    return model.eval(), at


@torch.no_grad()
def _ears(model: Towers, spectrograms: Tensor) -> Tensor:
    return torch.cat([model.encode("sound", part) for part in spectrograms.split(256)])


@torch.no_grad()
def new_things(things: Things, model: Towers, knows: bool, split: str) -> dict[tuple[str, str], np.ndarray]:
    """Direction → the rank of each thing of a split among them all, 1 the best; of equals, the mean."""
    was = model.training
    model.eval()
    rows = np.flatnonzero(things.split == split)
    vectors = {}
    for kind in model.into:
        if kind == "sound":
            recordings = np.flatnonzero(np.isin(things.owner, rows))
            each = _ears(model, things.sound[recordings])
            place = torch.from_numpy(np.searchsorted(rows, things.owner[recordings]))
            vectors[kind] = F.normalize(torch.zeros(len(rows), SPACE).index_add(0, place, each), dim=-1)
        else:
            vectors[kind] = model.encode(kind, (things.image if kind == "image" else things.text[knows])[rows])
    model.train(was)
    target = torch.arange(len(rows))
    return {(a, b): ranks(vectors[a] @ vectors[b].T, target) for pair in model.learned for a, b in (pair, pair[::-1])}


@torch.no_grad()
def new_recordings(things: Things, model: Towers, knows: bool) -> dict[tuple[str, str], np.ndarray]:
    """``sound → image`` and ``sound → text``: ranks of the learned thing whose recording it is."""
    rows = np.flatnonzero(things.split == "train")
    recordings = np.flatnonzero(things.is_new & np.isin(things.owner, rows))
    target = torch.from_numpy(np.searchsorted(rows, things.owner[recordings]))
    sounds = _ears(model, things.sound[recordings])
    found = {}
    for kind in {kind for pair in model.learned if "sound" in pair for kind in pair} - {"sound"}:
        others = model.encode(kind, (things.image if kind == "image" else things.text[knows])[rows])
        found["sound", kind] = ranks(sounds @ others.T, target)
    return found


def ranks(similarity: Tensor, target: Tensor) -> np.ndarray:
    """(Q, C) and (Q,) → the rank of each target (Q,)."""
    own = similarity.gather(1, target[:, None])
    above, equal = (similarity > own).sum(1), (similarity == own).sum(1)
    return (above + (equal + 1) / 2).double().numpy()


def figures(found: np.ndarray) -> dict[str, float]:
    return {"R@1": float((found <= 1).mean()), "R@5": float((found <= 5).mean()), "MRR": float((1 / found).mean())}


def chance(candidates: int) -> dict[str, float]:
    """What random order gives: 1/C, 5/C and Σ 1/r / C."""
    reciprocal = float((1 / np.arange(1, candidates + 1)).mean())
    return {"R@1": 1 / candidates, "R@5": min(1.0, 5 / candidates), "MRR": reciprocal}


def interval(difference: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % interval of paired differences (Q,), by 2,000 bootstrap draws over what was asked."""
    draws = np.random.default_rng(0).integers(0, len(difference), (2000, len(difference)))
    low, high = np.quantile(difference[draws].mean(1), (0.025, 0.975))
    return float(difference.mean()), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, default=FOLDER)
    parser.add_argument("--folder", type=Path, required=True, help="for features, and for ranks of finished runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--prepare", action="store_true", help="compute features and stop")
    options = parser.parse_args()
    torch.set_num_threads(1)
    things = prepare(options.stamps, options.folder)
    count = {split: int((things.split == split).sum()) for split in ("train", "val", "test")}
    print(count, f"{len(things.owner)} recordings, {int(things.is_noise.sum())} of what things sound like", flush=True)
    if options.prepare:
        return
    results: Results = {}
    for seed, (learned, knows) in itertools.product(
        range(options.seeds), itertools.product((PAIRS, *zip(PAIRS)), (False, True))
    ):
        if learned == (("image", "sound"),) and knows:  # no text in it to know more
            continue
        what = "all" if len(learned) > 1 else "–".join(learned[0])
        file = options.folder / f"{what}-{'knowledge' if knows else 'names'}-{seed}.json"
        if not file.is_file():
            start = time.process_time()
            model, step = train(things, learned, knows, seed)
            asked = {"new things": new_things(things, model, knows, "test")}
            asked["new recordings"] = new_recordings(things, model, knows) if "sound" in model.into else {}
            ranked = {name: {"→".join(way): r.tolist() for way, r in part.items()} for name, part in asked.items()}
            seconds = time.process_time() - start
            file.write_text(json.dumps({"step": step, "seconds": seconds, "ranks": ranked}))
            print(f"{file.stem}: step {step}, {seconds:.0f} s", flush=True)
        for question, part in json.loads(file.read_text())["ranks"].items():
            for way, found in part.items():
                results.setdefault((what, knows, question, way), []).append(np.array(found))
    report(results, {"new things": count["test"], "new recordings": count["train"]})


def report(results: Results, candidates: dict[str, int]) -> None:
    """Print both tables: means over the seeds with their spread, and what all three together bring."""
    columns = ("direction", "learned", "text", "n", "R@1", "R@5", "MRR", "least–most MRR", "all − pair, MRR [95 %]")
    for question, number in candidates.items():
        guess = ", ".join(f"{name} {value:.3f}" for name, value in chance(number).items())
        print(f"\n{question}, {number} candidates; chance {guess}\n")
        print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
        for way in dict.fromkeys(key[3] for key in results if key[2] == question):
            alone = "–".join(sorted(way.split("→")))
            for knows, what in itertools.product((False, True), (alone, "all")):
                if runs := results.get((what, knows, question, way)):
                    pair = results.get((alone, knows and "text" in alone, question, way)) if what == "all" else None
                    print(row_of(way, what, knows, runs, pair))


def row_of(way: str, what: str, knows: bool, runs: list[np.ndarray], pair: list[np.ndarray] | None) -> str:
    """One line of the table: a model's ranks by seed, and those of the pair alone beside it."""
    each = [figures(run) for run in runs]
    means = [f"{np.mean([one[name] for one in each]):.3f}" for name in each[0]]
    low, high = (edge(one["MRR"] for one in each) for edge in (min, max))
    gain = ""
    if pair:
        mean, least, most = interval(np.mean([1 / r for r in runs], 0) - np.mean([1 / r for r in pair], 0))
        gain = f"{mean:+.3f} [{least:+.3f}, {most:+.3f}]"
    text = "name + knowledge" if knows else "name"
    return f"| {' | '.join([way, what, text, str(len(runs[0])), *means, f'{low:.3f}–{high:.3f}', gain])} |"


if __name__ == "__main__":
    main()
