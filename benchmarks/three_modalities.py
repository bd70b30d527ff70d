"""Picture, sound and name of the same things, all three learned together or two alone, with knowledge and without.

    python -m benchmarks.three_modalities --stamps /usr/share/tuxpaint/stamps --folder DIR

The things are Tux Paint's stamps outside ``symbols/`` with a picture, a sound and a meaning in WordNet
(``kemm.data.stamps``); a sound is what the thing sounds like or its name spoken in one of a dozen languages. Pictures
go through EfficientNet-lite0 and names through MiniLM, both frozen and computed once; sounds through a small
``SpeechConvolution``, learned from nothing; then each through a matrix into one space. Loss: InfoNCE of each pair of
modalities that is learned, one recording a thing and step.

Knowledge is what the graph says of the things: what each is a kind of and its definition, which follow the name
(K-LITE), and its names as they are spelled in the languages that are spoken. Where sounds and texts are learned with
knowledge, the ear also spells what it hears (CTC), and a sound and a text are compared by how probable any of the
thing's names is, among those of all things of the graph (``known_name_posterior``). Pictures and sounds are then
compared by the names that both may have, log Σ_k P(k | picture) P(k | sound).

Two questions are asked of each model. *New things*: 20 % of the things, split by what they are, each with all its
recordings (their mean); which of the pictures, names or sounds of new things belongs to it? The graph knows their
names; no picture or sound of them was learned from. *New recordings*: a sixth of the recordings of learned things is
never heard in training; which learned thing is it? Steps are chosen on validation things (10 %) by MRR of what the
model learns; test things and new recordings are ranked once, at the end.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.three_modalities_data import FRAMES, MELS, Things, prepare
from kemm.data.spelling import Alphabet
from kemm.data.stamps import FOLDER
from kemm.encoders.speech import SpeechConvolution
from kemm.objectives.losses.contrastive import info_nce
from kemm.objectives.losses.spelling import known_name_posterior, name_log_probabilities, spelling_loss

#: (learned, with knowledge, question, direction) → ranks (Q,) of each seed.
Results = dict[tuple[str, bool, str, str], list[np.ndarray]]
Way = tuple[str, str]
KINDS = ("image", "sound", "text")
PAIRS = tuple(itertools.combinations(KINDS, 2))
SPACE = 128
SIZES = {"width": 128, "layers": 6, "kernel": 15}
BATCH, STEPS, RATE = 64, 160, 1e-3  # of pairs, which know their things by heart after more
EAR_STEPS, EAR_RATE = 640, 2e-3  # letters are learned more slowly, after the pairs alone
LOOK_EVERY = 40
BACKGROUND = 200  # learned recordings that say what a name would get from any


class Towers(nn.Module):
    """Each modality's features → vectors of length 1 in one space, (B, 128); what is heard → letters.

    Args:
        learned: pairs of modalities.
        alphabet: of the names, where the ear learns to spell.
    """

    def __init__(self, learned: tuple[Way, ...], alphabet: Alphabet | None) -> None:
        super().__init__()
        self.learned, self.alphabet = learned, alphabet
        kinds = {kind for pair in learned for kind in pair}
        if "sound" in kinds:
            self.ear = SpeechConvolution(FRAMES, MELS, **SIZES)
        widths = {"image": 1280, "sound": SIZES["width"], "text": 384}
        self.into = nn.ModuleDict(
            {
                kind: nn.Sequential(nn.LayerNorm(widths[kind]), nn.Dropout(0.3), nn.Linear(widths[kind], SPACE))
                for kind in sorted(kinds)
            }
        )
        if alphabet:
            self.letters = nn.Sequential(nn.Dropout(0.2), nn.Linear(SIZES["width"], len(alphabet)))
        self.log_scale = nn.Parameter(torch.full((len(learned),), 2.66))  # ln 1/0.07

    def encode(self, kind: str, x: Tensor) -> Tensor:
        """Of pooled features, (B, D_kind)."""
        return F.normalize(self.into[kind](x), dim=-1)

    def scale(self, pair: Way) -> Tensor:
        return self.log_scale[self.learned.index(pair)].clamp(max=4.6).exp()

    def loss(self, batch: dict[str, Tensor], letters_alone: bool = False) -> Tensor:
        """The mean of the pairs' InfoNCE, and of letters; each modality is encoded once."""
        pooled, spelled = dict(batch), torch.zeros(())
        if "sound" in self.into:
            heard = self.ear.features(batch["sound"])
            pooled["sound"] = heard.pooled
            if self.alphabet:
                log_p = self.letters(heard.tokens).log_softmax(-1)
                spelled = spelling_loss(log_p, heard.mask.sum(1), batch["letters"], batch["lengths"])
        if letters_alone:
            return spelled
        vectors = {kind: self.encode(kind, pooled[kind]) for kind in self.into}
        losses = [info_nce(vectors[a] @ vectors[b].T * self.scale((a, b))) for a, b in self.learned]
        return torch.stack(losses).mean() + spelled

    def optimizers(self) -> list[tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]]:
        """Of the matrices first, then of the ear and its letters where there are some, each with its schedule."""
        ear = [parameter for name, parameter in self.named_parameters() if name.startswith(("ear.", "letters."))]
        rest = [parameter for name, parameter in self.named_parameters() if not name.startswith(("ear.", "letters."))]
        made = []
        for parameters, rate, steps in ((rest, RATE, STEPS), (ear, EAR_RATE, EAR_STEPS if self.alphabet else STEPS)):
            if parameters:
                optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.1)
                made.append(
                    (optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1))
                )
        return made


def train(things: Things, learned: tuple[Way, ...], knows: bool, seed: int) -> tuple[Asked, int]:
    """Learn the pairs; the weights are those of the step that validation things chose."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    spells = knows and ("sound", "text") in learned
    usable = (things.split[things.owner] == "train") & ~things.is_new
    alphabet = Alphabet.of([name for name, use in zip(things.said, usable, strict=True) if use]) if spells else None
    model = Towers(learned, alphabet)
    optimizers = model.optimizers()
    heard = {owner: np.flatnonzero((things.owner == owner) & usable) for owner in set(things.owner[usable].tolist())}
    pool = np.array(sorted(heard))
    spelled = alphabet.encode(things.said) if alphabet else ()
    asked = Asked(things, model, knows, random.choice(np.flatnonzero(usable), BACKGROUND, replace=False))
    best, kept, at = -1.0, {}, 0
    for step in range(1, (EAR_STEPS if spells else STEPS) + 1):
        rows = random.choice(pool, BATCH, replace=False)
        batch = {"image": things.image[rows], "text": things.text[knows][rows]}
        if "sound" in model.into:
            chosen = [int(random.choice(heard[int(row)])) for row in rows]
            batch["sound"] = with_gaps(things.sound[chosen], random)
            batch |= {name: value[chosen] for name, value in zip(("letters", "lengths"), spelled, strict=False)}
        model.zero_grad()
        model.loss(batch, letters_alone=step > STEPS).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in optimizers[1:] if step > STEPS else optimizers:
            optimizer.step()
            schedule.step()
        if step % LOOK_EVERY == 0 and (step <= STEPS or step % STEPS == 0):
            ranks = asked.new_things("val")
            model.train()
            score = float(np.mean([(1 / r).mean() for r in ranks.values()]))
            if score > best:
                best, at = score, step
                kept = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)
    model.eval()
    return asked, at


def with_gaps(sound: Tensor, random: np.random.Generator) -> Tensor:
    """Two spans of time and two of frequency set to the mean (SpecAugment, arXiv:1904.08779), (B, T, M)."""
    sound = sound.clone()
    for row in sound:
        for axis, most, size in ((0, 20, len(row) // 2), (0, 20, len(row) // 2), (1, 8, MELS), (1, 8, MELS)):
            width = int(random.integers(0, most))
            row.narrow(axis, int(random.integers(0, size - width)), width).zero_()
    return sound


class Asked:
    """What a model says of things and recordings.

    Args:
        background: recordings that a name's fit is compared with.
    """

    def __init__(self, things: Things, model: Towers, knows: bool, background: np.ndarray) -> None:
        self.things, self.model, self.knows, self.background = things, model, knows, background

    @torch.no_grad()
    def new_things(self, split: str) -> dict[Way, np.ndarray]:
        """Direction → the rank of each thing of a split among them all, 1 the best; of equals, the mean."""
        rows = np.flatnonzero(self.things.split == split)
        recordings = np.flatnonzero(np.isin(self.things.owner, rows))
        found = self._similarity(rows, recordings, np.searchsorted(rows, self.things.owner[recordings]))
        target = torch.arange(len(rows))
        return {way: ranks(similarity, target) for way, similarity in found.items()}

    @torch.no_grad()
    def new_recordings(self) -> dict[Way, np.ndarray]:
        """``sound → image`` and ``sound → text``: ranks of the learned thing whose recording it is."""
        if "sound" not in self.model.into:
            return {}
        rows = np.flatnonzero(self.things.split == "train")
        recordings = np.flatnonzero(self.things.is_new & np.isin(self.things.owner, rows))
        target = torch.from_numpy(np.searchsorted(rows, self.things.owner[recordings]))
        found = self._similarity(rows, recordings, np.arange(len(recordings)))
        return {way: ranks(similarity, target) for way, similarity in found.items() if way[0] == "sound"}

    def _similarity(self, rows: np.ndarray, recordings: np.ndarray, place: np.ndarray) -> dict[Way, Tensor]:
        """Of things and of sounds, each the mean of the recordings with its place: direction → (Q, C)."""
        model = self.model.eval()
        given = {"image": self.things.image, "text": self.things.text[self.knows]}
        vectors = {kind: model.encode(kind, x[rows]) for kind, x in given.items() if kind in model.into}
        if "sound" in model.into:
            pooled, fits = self._fits(recordings)
            vectors["sound"] = F.normalize(mean_by(place, model.encode("sound", pooled)), dim=-1)
        found = {(a, b): vectors[a] @ vectors[b].T for a, b in model.learned}
        if model.alphabet:
            each = known_name_posterior(fits, self._fits(self.background)[1])
            said = mean_by(place, each).log_softmax(1)  # (Q, N), of each thing of the graph
            found["sound", "text"] = said[:, rows]
            if "image" in model.into:
                alike = vectors["image"] @ model.encode("text", given["text"]).T
                shown = (alike * model.scale(("image", "text"))).log_softmax(1)  # (C, N)
                found["image", "sound"] = (shown[:, None] + said).logsumexp(2)
        return found | {(b, a): similarity.T for (a, b), similarity in found.items()}

    def _fits(self, recordings: np.ndarray) -> tuple[Tensor, Tensor]:
        """Pooled states (R, D), and the log-probability (R, N) of the most probable name of each thing."""
        model = self.model
        names = [name for of in self.things.names for name in of]
        owner = torch.tensor([number for number, of in enumerate(self.things.names) for _ in of])
        pooled, fits = [], []
        for part in self.things.sound[recordings].split(64):
            heard = model.ear.features(part)
            pooled.append(heard.pooled)
            best = torch.full((len(part), len(self.things.keys)), -torch.inf)
            if model.alphabet:
                log_p = model.letters(heard.tokens).log_softmax(-1)
                each = name_log_probabilities(log_p, heard.mask.sum(1), *model.alphabet.encode(names))
                best.scatter_reduce_(1, owner.expand(len(part), -1), each, "amax")
            fits.append(best)
        return torch.cat(pooled), torch.cat(fits)


def mean_by(place: np.ndarray, values: Tensor) -> Tensor:
    """The means (Q, D) of the rows (R, D) with each place (R,), 0 … Q − 1."""
    where = torch.from_numpy(place)
    total = torch.zeros(int(where.max()) + 1, values.shape[1]).index_add(0, where, values)
    return total / torch.bincount(where)[:, None]


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
    print(count, f"{len(things.owner)} recordings, {things.said.count('')} of which say no name", flush=True)
    if options.prepare:
        return
    results: Results = {}
    for seed, learned, knows in itertools.product(range(options.seeds), (PAIRS, *zip(PAIRS)), (False, True)):
        if knows and learned == (("image", "sound"),):  # no text in it to know more
            continue
        what = "all" if len(learned) > 1 else "–".join(learned[0])
        for question, part in ranked(things, learned, knows, seed, options.folder, what).items():
            for way, one in part.items():
                results.setdefault((what, knows, question, way), []).append(np.array(one))
    report(results, {"new things": count["test"], "new recordings": count["train"]})


def ranked(
    things: Things, learned: tuple[Way, ...], knows: bool, seed: int, folder: Path, what: str
) -> dict[str, dict[str, list[float]]]:
    """Question → direction → ranks, of a model that is trained now, or was by a finished run."""
    file = folder / f"{what}-{'knowledge' if knows else 'names'}-{seed}.json"
    if not file.is_file():
        start = time.process_time()
        asked, step = train(things, learned, knows, seed)
        found = {"new things": asked.new_things("test"), "new recordings": asked.new_recordings()}
        ranks = {name: {"→".join(way): r.tolist() for way, r in part.items()} for name, part in found.items()}
        seconds = time.process_time() - start
        file.write_text(json.dumps({"step": step, "seconds": seconds, "ranks": ranks}))
        print(f"{file.stem}: step {step}, {seconds:.0f} s", flush=True)
    kept: dict[str, dict[str, list[float]]] = json.loads(file.read_text())["ranks"]
    return kept


def report(results: Results, candidates: dict[str, int]) -> None:
    """Print both tables: means over the seeds with their spread, and what all three together bring."""
    columns = ("direction", "learned", "text", "n", "R@1", "R@5", "MRR", "least–most MRR")
    columns += ("all − pair by name, MRR [95 %]", "all − pair of the same text, MRR [95 %]")
    for question, number in candidates.items():
        guess = ", ".join(f"{name} {value:.3f}" for name, value in chance(number).items())
        print(f"\n{question}, {number} candidates; chance {guess}\n")
        print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
        for way in dict.fromkeys(key[3] for key in results if key[2] == question):
            alone = "–".join(sorted(way.split("→")))
            for knows, what in itertools.product((False, True), (alone, "all")):
                if runs := results.get((what, knows, question, way)):
                    pairs = [results.get((alone, same, question, way)) for same in (False, knows)]
                    print(row_of(way, what, knows, runs, pairs if what == "all" else []))


def row_of(way: str, what: str, knows: bool, runs: list[np.ndarray], pairs: Sequence[list[np.ndarray] | None]) -> str:
    """One line of the table: a model's ranks by seed, and those of pairs alone beside it."""
    each = [figures(run) for run in runs]
    means = [f"{np.mean([one[name] for one in each]):.3f}" for name in each[0]]
    low, high = (edge(one["MRR"] for one in each) for edge in (min, max))
    gains = [] if pairs else ["", ""]
    for pair in pairs:
        mean, least, most = interval(np.mean([1 / r for r in runs], 0) - np.mean([1 / r for r in pair or runs], 0))
        gains.append(f"{mean:+.3f} [{least:+.3f}, {most:+.3f}]" if pair else "")
    text = "name + knowledge" if knows else "name"
    return f"| {' | '.join([way, what, text, str(len(runs[0])), *means, f'{low:.3f}–{high:.3f}', *gains])} |"


if __name__ == "__main__":
    main()
