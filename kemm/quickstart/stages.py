"""What each stage of the quick start does."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kemm.config import load
from kemm.progress import Progress
from kemm.quickstart.showcase import ONE_HOP, TWO_HOP, ask_and_correct
from kemm.settings import Settings
from kg.errors import InputError
from kg.records import Picture
from kg.store.graph import KnowledgeGraph

SETTINGS = Path(__file__).parents[2] / "configs" / "quickstart.yaml"
SMALL = (
    "train.steps=60",
    "train.pairs=16",
    "train.questions=32",
    "train.warmup=10",
    "questions.repeats=1",
    "questions.two_hop=100",
    "questions.yes_no=100",
    "questions.per_relation=40",
    "questions.test=120",
    "model.width=64",
    "model.layers=2",
)
PHOTOGRAPHS = {"train": 3, "val": 1}  # of each flag


class QuickStart:
    """The stages, by name; each leaves on disk what the next ones need.

    Args:
        out: the folder.
        size: ``full`` or ``small``.
        progress: for bars.
        overrides: settings as ``key=value``.
    """

    def __init__(self, out: Path, size: str, progress: Progress, overrides: tuple[str, ...] = ()) -> None:
        if not SETTINGS.is_file():
            raise InputError(f"{SETTINGS} is not there: run the quick start from a checkout (`make quickstart`)")
        self.out, self.size, self.progress = out, size, progress
        self.store = f"sqlite:///{out / 'kg.db'}"
        places = (f"data.store={self.store}", f"data.index={out / 'index'}", f"run={out / 'run'}")
        small = SMALL if size == "small" else ()
        self.settings = load(SETTINGS, Settings, [*places, *small, *overrides]).settings
        self._prepared: Any = None
        self._reader: Any = None

    def run(self, stage: str) -> dict[str, Any]:
        """Run one stage and return its figures."""
        stages: dict[str, Callable[[], dict[str, Any]]] = {
            "ingest": self.ingest,
            "index": self.index,
            "generate": self.generate,
            "pre-train": self.pretrain,
            "evaluate": self.evaluate,
            "ask": self.ask,
        }
        return stages[stage]()

    def ingest(self) -> dict[str, Any]:
        """WordNet and the countries into one store, flags and photographs of them beside it."""
        from kemm.data.photos import take_photographs
        from kg.ingest import load as ingest
        from kg.ingest.countries import flag_pictures
        from kg.ingest.wordnet import wordnet
        from kg.store import bulk

        (self.out / "kg.db").unlink(missing_ok=True)  # of a stage that was cut off
        with KnowledgeGraph.open(self.store) as graph:
            tick = self.progress("read WordNet", 117_659 if self.size == "full" else 2_000)
            if self.size == "full":
                ingest("wordnet", graph, source="WordNet 3.0")
            else:
                bulk.load(graph, wordnet(limit=2_000), source="WordNet 3.0")
            tick(117_659)
            ingest("countries", graph, source="countryinfo")
            absent: list[str] = []
            flags = flag_pictures(graph, self.out / "flags", absent)
            if self.size == "small":
                asked = [f for f in flags if f.path.removesuffix(".png") in (ONE_HOP[0], TWO_HOP[0])]
                flags = [*asked, *(f for f in flags if f not in asked)][:60]
            photos = take_photographs([Path(f.root) / f.path for f in flags], self.out / "photographs", PHOTOGRAPHS)
            of = {Path(f.root) / f.path: f.entity for f in flags}
            taken = [
                Picture(str(path.relative_to(self.out)), of[flat], split, str(self.out), source="photographs")
                for flat, made in photos.items()
                for path, split in made
            ]
            graph.add_pictures([*flags, *taken], source="flagpy")
            return {**graph.stats(), "flags": len(flags), "flags_without_country": absent}

    def index(self) -> dict[str, Any]:
        """Embed names and pictures; dense and lexical indexes, of which the lexical one has the glosses."""
        from kemm.indexing import build

        return build(self.store, self.out / "index", labels_only=True, progress=self.progress)

    def generate(self) -> dict[str, Any]:
        """Questions, captions and the facts for each question."""
        from collections import Counter

        _, data = self._data()
        kinds = Counter(f"{q.split} {q.type}" for q in data.questions)
        return {
            "questions": dict(sorted(kinds.items())),
            "captions": sum(map(len, data.captions.values())),
            "relations": {data.world.label(r): len(w.ask) for r, w in data.relations.items()},
        }

    def pretrain(self) -> dict[str, Any]:
        """Train, or go on training."""
        from kemm.pretrain import train

        world, data = self._data()
        return train(world, data, resume=True, progress=self.progress)

    def evaluate(self) -> dict[str, Any]:
        """Held-out questions under every condition of knowledge, and retrieval of flags and countries."""
        from kemm.data.questions import load_questions
        from kemm.evaluate.conditions import CONDITIONS
        from kemm.evaluate.cross_modal_retrieval import zero_shot
        from kemm.evaluate.knowledge_vqa import KnowledgeVQA

        reader = self._open()
        asked = [q for q in load_questions(self.settings.run / "questions.jsonl") if q.split == "test"]
        benchmark = KnowledgeVQA(asked)
        results = {c: benchmark.run(reader, c, self.progress) for c in CONDITIONS}
        return {
            "n": len(asked),
            "knowledge": {name: result.accuracy() for name, result in results.items()},
            "known": results["full"].as_dict()["known"],
            "by_type": _by(results, lambda r: r.question.type),
            "by_split": _by(results, lambda r: f"held-out {r.question.held_out[-1]}, held-out wordings"),
            "by_modality": _by(results, lambda r: "of a picture" if r.question.image else "in words"),
            "by_source": _by(results, lambda r: "WordNet" if "wordnet" in "".join(r.question.path) else "countries"),
            "retrieval": zero_shot(reader, "a picture of {x}"),
            "link_prediction": json.loads((self.settings.run / "run.json").read_text())["link_prediction"],
        }

    def ask(self) -> dict[str, Any]:
        """One question of a picture, one over two hops; then correct a fact, and ask again."""
        from kemm.indexing import build

        found = ask_and_correct(self._open(), self.out / "photographs" / "val")
        build(self.store, self.out / "index", update=True, progress=self.progress)  # of the edits
        return found

    def report(self, stages: dict[str, Any]) -> dict[str, Any]:
        """Write ``report.html`` and ``report.json``; return the latter."""
        import torch

        from kemm.report import write_report

        saved = json.loads((self.settings.run / "run.json").read_text())
        evaluation = dict(stages["evaluate"]["figures"])
        evaluation["calibration"] = {k: saved["calibration"][k] for k in ("bins", "threshold")}
        report = {
            "title": "kemm quick start",
            "subtitle": "WordNet, the countries of the world and their flags: ingested, pre-trained on, asked",
            "command": "kemm quickstart" + (" --size small" if self.size == "small" else ""),
            "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "environment": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "cpu": platform.processor() or platform.machine(),
                "cores": torch.get_num_threads(),
            },
            "stages": [
                {"name": name, "seconds": s["seconds"], "peak_mb": s["peak_mb"], "detail": _detail(name, s["figures"])}
                for name, s in stages.items()
            ],
            "graph": stages["ingest"]["figures"],
            "training": saved["training"],
            "evaluation": evaluation,
            "examples": stages["ask"]["figures"]["examples"],
            "edit": stages["ask"]["figures"]["edit"],
            "generated": stages["generate"]["figures"],
            "index": stages["index"]["figures"],
            "notes": [
                "Photographs are made from flags: perspective, light, blur, noise, a ground. Those tested on were "
                "neither trained on nor indexed; of a held-out country no picture was trained on.",
                "Test questions are in held-out wordings, about held-out facts or held-out countries. Confidence was "
                "calibrated on other held-out facts. The examples are fixed in the code, whatever is answered.",
            ],
        }
        write_report(report, self.out)
        return report

    def close(self) -> None:
        for world in {
            id(w): w for w in (self._prepared and self._prepared[0], self._reader and self._reader.world) if w
        }.values():
            world.close()

    def _data(self) -> Any:
        if self._prepared is None:
            from kemm.pretrain import prepare

            self._prepared = prepare(self.settings, self.progress)
        return self._prepared

    def _open(self) -> Any:
        if self._reader is None:
            from kemm.predict.reader import Reader

            world = self._prepared[0] if self._prepared is not None else None
            self._reader = Reader.load(self.settings.run, self.settings, world=world)
        return self._reader


def _by(results: dict[str, Any], key: Callable[[Any], str]) -> dict[str, dict[str, Any]]:
    groups = sorted({key(record) for record in results["full"].records})
    return {
        group: {name: result.accuracy(lambda r, g=group: key(r) == g) for name, result in results.items()}
        for group in groups
    }


def _detail(stage: str, figures: dict[str, Any]) -> str:
    """One line on what a stage made."""
    if stage == "ingest":
        return f"{figures['triples']:,} triples, {figures['pictures']:,} pictures"
    if stage == "index":
        return f"{figures['entities']:,} entities and {figures['pictures']:,} pictures embedded"
    if stage == "generate":
        return f"{sum(figures['questions'].values()):,} questions over {len(figures['relations'])} relations"
    if stage == "pre-train":
        return f"{figures['steps']:,} steps, {figures['parameters']:,} parameters"
    if stage == "evaluate":
        full, none = figures["knowledge"]["full"]["accuracy"], figures["knowledge"]["none"]["accuracy"]
        return f"accuracy {full:.3f} with knowledge, {none:.3f} without, on {figures['n']:,} held-out questions"
    if not figures["edit"]:
        return figures["examples"][0]["note"]
    return f"{figures['edit']['before']['answer']} → {figures['edit']['after']['answer']} after one edit"
