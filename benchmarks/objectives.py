"""Each objective alone: does it lower its own held-out loss, and does it beat chance, within two hundred steps?

    python -m benchmarks.objectives --data FOLDER --out runs/objectives            # all rows that are not done yet
    python -m benchmarks.objectives --data FOLDER --out runs/objectives itm wra    # these, anew

FOLDER has the Grocery Store data set as ``products.ttl``, ``images.tsv`` and the photos (Klasson et al., WACV 2019). A
model of width 96 with two layers is trained on one objective at a time; held out are dev photos of known products,
questions of the dev split, or descriptions of other entities. ``shop`` is Grocery with at most eight shop photos a
product, ``glosses`` the first 4,000 synsets of WordNet. Films with names are those photos seen through a window that
moves left, right, up, down, in or out; films to be put in order, and to tell the motion of, are photos that move so
over a plain ground, ever faster; spoken films show one product and then another, one of which is named while it is
seen. A tenth of them is held out. Sounds are Tux Paint's stamps (``--stamps``). Writes ``objectives.json``,
``objectives.md`` and ``objectives.html`` with the curves. The steps and sizes were set once,
and no setting was chosen by what comes out, but for films and for the rows of 200 steps: see LOG.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import objectives_report as report

ROOT = Path(__file__).resolve().parent.parent
PHOTOS = 8
SYNSETS = 4_000
FRAMES, SIDE = 6, 32  # of a film
MOTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1), "in": (0, 0), "out": (0, 0)}


class Row(NamedTuple):
    """A run: which objectives (the first is the one measured), in which world, what else differs."""

    objectives: Mapping[str, Mapping[str, Any]]
    world: str = "shop"
    train: Mapping[str, Any] = {}
    towers: Mapping[str, Any] = {}
    steps: int = 120
    table: str = "media.tsv"


TEXTS = {"pairs": 0, "texts": 32}
ASKED = {"pairs": 0, "questions": 32}
TOLD = {"pairs": 0, "knowledge": 32}
LINKED = {"pairs": 0, "links": 32}
PIXELS = {"vision": {"mode": "scratch", "size": 64, "patch": 16}}
SHOWN = {"pairs": 0, "pictures": 32}
FILMS = {"video": {"mode": "scratch", "size": SIDE, "patch": 8, "frames": FRAMES}}
SOUNDS = {"audio": {"mode": "scratch", "size": 48, "patch": 16, "frames": 192}}
REGIONS = {"regions": {"features": 1280, "classes": 43, "most": 9}}
TABLE = {"pairs": 0, "media": 24}
SEEN = {"between": ["video", "language"]}

ROWS: dict[str, Row] = {
    # contrast, matching, alignment, teachers
    "itc": Row({"itc": {}}),
    "itc, some positive (MIL-NCE)": Row({"itc": {"loss": "some", "retrieved": True}}),
    "itc, by class (UniCL)": Row({"itc": {"positives": "label"}}, train={"pairs": 0, "media": 24}),
    "itc, sigmoid (SigLIP)": Row({"itc": {"loss": "sigmoid", "temperature": 0.1}}),
    "itc, hardest negative (GPO)": Row({"itc": {"loss": "hinge"}}),
    "itc, token-wise (FILIP)": Row({"itc": {"token_wise": True}}),
    "itc, rewritten and retrieved (UNIMO)": Row({"itc": {"rewritten": True, "retrieved": True}}),
    "itc, slow copy and queue (ALBEF)": Row({"itc": {"alpha": 0.4, "queue": 64}}),
    "itm": Row({"itm": {}}, steps=200),
    "itm, past negatives": Row({"itm": {"negatives": "queue", "queue": 128}}, steps=200),
    "tag_matching, 2 ways (Oscar)": Row({"tag_matching": {"ways": 2}}),
    "tag_matching, 3 ways (VinVL)": Row({"tag_matching": {"ways": 3}}),
    "graph_matching, text": Row({"graph_matching": {}}, train=ASKED),
    "graph_matching, picture": Row({"graph_matching": {"between": "vision"}}, train=ASKED),
    "next_sentence (BERT)": Row({"next_sentence": {}}, "glosses", TEXTS, steps=200),
    "next_sentence, links (LinkBERT)": Row({"next_sentence": {"links": True}}, "glosses", TEXTS),
    "wra": Row({"wra": {"weight": 1.0}}),
    "grounding": Row({"grounding": {}}),
    "mlm, slow copy (ALBEF)": Row({"mlm": {"alpha": 0.4}}),
    "teacher": Row({"teacher": {}}, train={"pairs": 0, "pictures": 32}, towers=PIXELS),
    "adversarial itm (FreeLB)": Row({"adversarial": {"of": {"itm": {}}, "steps": 2}}),
    # masked
    "mlm": Row({"mlm": {}}, steps=200),
    "mlm, whole words, 80/10/10": Row({"mlm": {"units": "word", "masked": 0.8, "replaced": 0.1}}),
    "mlm, spans, 80/10/10 (SpanBERT)": Row({"mlm": {"units": "span", "masked": 0.8, "replaced": 0.1}}),
    "mim, features (EVA)": Row({"mim": {}}),
    "mim": Row({"mim": {"target": "codes"}}),
    "mim, learned codes (BEiT v2)": Row({"mim": {"target": "codes", "tokenizer": "vq_kd", "codes": 128}}),
    "mim, pixels (MAE)": Row({"mim": {"target": "pixels", "rate": 0.75, "drop": True}}, train=SHOWN, towers=PIXELS),
    "mim, gradients (MaskFeat)": Row({"mim": {"target": "hog"}}, train=SHOWN, towers=PIXELS, steps=200),
    "mim, of what a teacher attends to (UMT)": Row(
        {"mim": {"how": "unattended", "rate": 0.5, "drop": True, "said_of": "shown"}}, train=SHOWN, towers=PIXELS
    ),
    "masked_audio (Audio-MAE)": Row({"masked_audio": {}}, train=TABLE, towers=SOUNDS, table="sounds.tsv"),
    "masked_video (VideoMAE)": Row({"masked_video": {}}, train=TABLE, towers=FILMS, table="films.tsv"),
    "masked_regions, features (UNITER)": Row({"masked_regions": {}}, train=TABLE, towers=REGIONS, table="regions.tsv"),
    "masked_regions, classes": Row(
        {"masked_regions": {"target": "class"}}, train=TABLE, towers=REGIONS, table="regions.tsv"
    ),
    "modality_masking": Row({"modality_masking": {}}),
    # written
    "captioning": Row({"captioning": {}}),
    "captioning, first words given (SimVLM)": Row({"captioning": {"given": True}}),
    "captioning, through queries (BLIP-2)": Row({"captioning": {"queries": 8}}),
    "seq2seq, spans (T5, PaLI)": Row({"seq2seq": {"rate": 0.3}}),
    "seq2seq, from the start (UniLM)": Row({"seq2seq": {"source": "start"}}),
    "seq2seq, from tags": Row({"seq2seq": {"source": "tags"}}),
    # films
    "frame_order (HERO)": Row({"frame_order": {}}, train=TABLE, towers=FILMS, table="films.tsv", steps=200),
    "action, of films": Row({"action": {"classes": 6}}, train=TABLE, towers=FILMS, table="films.tsv", steps=200),
    "itc, films and names": Row({"itc": SEEN}, train=TABLE, towers=FILMS, table="named_films.tsv", steps=200),
    "itm, films and names": Row(
        {"itm": SEEN | {"wrong": "either"}}, train=TABLE, towers=FILMS, table="named_films.tsv", steps=200
    ),
    "video_subtitle (HERO)": Row(
        {"video_subtitle": {}}, train=TABLE, towers=FILMS, table="spoken_films.tsv", steps=200
    ),
    # knowledge
    "mem, of a thing's facts": Row({"mem": {"of": "samples"}}, train=TOLD),
    "masked_relation": Row({"masked_relation": {}}, train=TOLD),
    "subgraph_links, with mlm (DRAGON)": Row({"subgraph_links": {}, "mlm": {}}, train=TOLD),
    "description_transe, with mlm (KEPLER)": Row({"description_transe": {}, "mlm": {}}, train=LINKED),
    "description_transe, with mlm, from scratch": Row(
        {"description_transe": {}, "mlm": {}}, train=LINKED, towers={"language": {"mode": "scratch"}}
    ),
    "path_completion": Row({"path_completion": {}}, train=LINKED),
    "entity_typing": Row({"entity_typing": {}}, train=LINKED),
    "entity_typing, of pictures": Row({"entity_typing": {"of": "vision"}}, train=LINKED),
    "picture_relation": Row({"picture_relation": {}}, train=LINKED),
    "graph_text (Knowledge-CLIP)": Row({"graph_text": {}}, train=TOLD),
    "graph_image (Knowledge-CLIP)": Row({"graph_image": {}}, train=TOLD),
    "grounded_writing": Row({"grounded_writing": {}}, train=TOLD),
    "denoising_alignment (ERNIE)": Row({"denoising_alignment": {}}, train=TOLD),
    "entity_linking (KnowBert)": Row({"entity_linking": {}}, train=TOLD),
    "mlm, scene-graph words (ERNIE-ViL)": Row({"mlm": {"units": "scene", "rate": 0.3}}, train=TOLD),
    "mlm, by structure (ROSITA)": Row({"mlm": {"units": "structure", "rate": 0.15}}, train=TOLD),
    "mlm, entities (ERNIE of Baidu)": Row({"mlm": {"units": "entity"}}, train=TOLD),
    "mem": Row({"mem": {}}, train=ASKED),
    "answering": Row({"answering": {}}, train=ASKED),
    "reader_distillation, by attention": Row({"reader_distillation": {}}, train=ASKED),
    "joint_retrieval (RA-VQA)": Row({"joint_retrieval": {}}, train=ASKED),
    "link_prediction": Row({"link_prediction": {"batch": 128}}, train={"pairs": 0}),
    "entity_text": Row({"entity_text": {}}, "glosses", {"pairs": 0}),
    "entity_image": Row({"entity_image": {}}, train={"pairs": 0}),
}


def few(rows: list[list[str]], photos: int = PHOTOS) -> list[list[str]]:
    """Of (path, entity, class, split) the iconic pictures, and at most ``photos`` shop photos a product."""
    kept: dict[str, int] = {}
    chosen = []
    for row in rows:
        kept[row[1]] = kept.get(row[1], 0) + (row[3] == "train")
        if row[3] == "iconic" or (row[3] == "train" and kept[row[1]] <= photos):
            chosen.append(row)
    return chosen


def build_world(name: str, data: Path, out: Path) -> None:
    """A store and an index of it in ``out``, once."""
    from kemm.indexing import build
    from kg import KnowledgeGraph, Picture
    from kg.ingest import load
    from kg.ingest.wordnet import wordnet
    from kg.store import bulk

    out.mkdir(parents=True, exist_ok=True)
    store = f"sqlite:///{out / 'kg.db'}"
    chosen: list[list[str]] = []
    if name == "shop":
        chosen = few([line.split("\t") for line in (data / "images.tsv").read_text().splitlines()[1:]])
        make_tables(data, [row for row in chosen if row[3] == "train"], out)
    if not (out / "index" / "manifest.json").is_file():
        (out / "kg.db").unlink(missing_ok=True)
        with KnowledgeGraph.open(store) as graph:
            if name == "shop":
                load(data / "products.ttl", graph, source="catalogue")
                graph.add_pictures(
                    [Picture(path, iri, split, str(data)) for path, iri, _, split in chosen], "catalogue"
                )
            else:
                bulk.load(graph, wordnet(limit=SYNSETS), source="WordNet 3.0")
        build(store, out / "index", labels_only=True, progress=_quiet)


def make_tables(data: Path, photos: list[list[str]], out: Path) -> None:
    """``media.tsv`` of photos with names and classes; of films of them, once, three tables."""
    lines = ["picture\ttext\tlabel"]
    for path, iri, coarse, _ in photos:
        lines.append(f"{data / path}\t{iri.rpartition('product_')[2].replace('_', ' ')}\t{coarse}")
    (out / "media.tsv").write_text("\n".join(lines) + "\n")
    if not (out / "spoken_films.tsv").is_file():
        make_films(data, photos, out)


def make_films(data: Path, photos: list[list[str]], out: Path) -> None:
    """Films of each photo, the motions by turns: ``films.tsv`` says how it moves over a plain ground,
    ``named_films.tsv`` what is seen through a moving window, ``spoken_films.tsv`` which of two photos is named when."""
    from PIL import Image

    (out / "films").mkdir(exist_ok=True)
    moved, named, spoken = ["frames\tlabel"], ["frames\ttext\tlabel"], ["frames\ttext\tspoken"]
    done = [(at / (FRAMES - 1)) ** 2 for at in range(FRAMES)]
    shown: list[tuple[str, list[Image.Image]]] = []
    for number, (path, iri, _, _) in enumerate(photos):
        motion = list(MOTIONS)[number % len(MOTIONS)]
        with Image.open(data / path) as opened:
            photo = opened.convert("RGB").resize((2 * SIDE, 2 * SIDE))
        name = iri.rpartition("product_")[2].replace("_", " ")
        seen = [photo.resize((SIDE, SIDE), box=window(motion, share)) for share in done]
        shown.append((name, seen))
        named.append(f"{_keep(seen, out, f'{number:04}')}\t{name}\t{name}")
        moved.append(f"{_keep([on_ground(photo, motion, share) for share in done], out, f'{number:04}m')}\t{motion}")
        other, first = shown[number * 37 % len(shown)]
        if other != name:
            file = _keep([*first[: FRAMES // 2], *seen[FRAMES // 2 :]], out, f"{number:04}s")
            is_first = number % 4 < 2  # not as the motions go
            spoken.append(f"{file}\t{other if is_first else name}\t{'0-0.5' if is_first else '0.5-1'}")
    for table, lines in (("films", moved), ("named_films", named), ("spoken_films", spoken)):
        (out / f"{table}.tsv").write_text("\n".join(lines) + "\n")


def _keep(frames: list[Any], out: Path, name: str) -> str:
    """Write a film; its path from ``out``."""
    file = f"films/{name}.webp"
    frames[0].save(out / file, save_all=True, append_images=frames[1:], duration=100, quality=90)
    return file


def on_ground(photo: Any, motion: str, done: float) -> Any:
    """A photo of half a film's side on grey, where it has moved to; or growing and shrinking in the middle."""
    from PIL import Image

    across, along = MOTIONS[motion]
    grown = {"in": 0.3 + 0.7 * done, "out": 1.0 - 0.7 * done}.get(motion, 0.5)
    side = round(grown * SIDE)
    room = (SIDE - side) / 2
    frame = Image.new("RGB", (SIDE, SIDE), (128, 128, 128))
    frame.paste(
        photo.resize((side, side)),
        (round(room * (1 + across * (2 * done - 1))), round(room * (1 + along * (2 * done - 1)))),
    )
    return frame


def window(motion: str, done: float) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what is seen of a photo of 2 · ``SIDE`` pixels, ``done`` from 0 to 1."""
    size, (across, along) = 1.2 * SIDE, MOTIONS[motion]
    if motion in ("in", "out"):
        size = (2.0 - done if motion == "in" else 1.0 + done) * SIDE
    room = SIDE - size / 2  # between the window in the middle and an edge
    left, top = room * (1 + across * (2 * done - 1)), room * (1 + along * (2 * done - 1))
    return left, top, left + size, top + size


def make_regions(data: Path, out: Path, photos: int = 4, side: int = 3) -> None:
    """``regions.tsv``, once: ``side``² crops of up to ``photos`` photos a product, with what the frozen tower says of
    each and the product's class in place of a detector's."""
    import numpy as np

    from kemm.encoders.vision import EfficientNetLite0, PictureEmbedder, open_image

    if (out / "regions.tsv").is_file():
        return
    all_rows = [line.split("\t") for line in (data / "images.tsv").read_text().splitlines()[1:]]
    chosen = [row for row in few(all_rows, photos) if row[3] == "train"]
    known = np.eye(len(names := sorted({row[2] for row in all_rows if row[2]})), dtype=np.float32)
    places = [(x / side, y / side, (x + 1) / side, (y + 1) / side) for y in range(side) for x in range(side)]
    (out / "regions").mkdir(exist_ok=True)
    encoder, lines = PictureEmbedder(EfficientNetLite0()), ["regions"]
    for number, (path, _, coarse, _) in enumerate(chosen):
        photo = open_image(data / path)
        size = np.array([*photo.size, *photo.size])
        crops = [photo.crop(tuple((size * place).round().astype(int).tolist())) for place in places]
        classes = known[names.index(coarse)][None].repeat(len(places), 0)
        file = f"regions/{number:04}.npz"
        features = encoder.embed(crops) * encoder.dimension**0.5  # of length one before
        np.savez(out / file, features=features, boxes=np.array(places, np.float32), classes=classes)
        lines.append(file)
    (out / "regions.tsv").write_text("\n".join(lines) + "\n")


def make_sounds(stamps: Path, out: Path) -> None:
    """``sounds.tsv``: what stamps sound like, or else their names spoken in English, and these names as texts."""
    from kemm.data.stamps import read_stamps

    lines = ["sound\ttext"]
    for thing in read_stamps(stamps):
        sound = thing.sound or thing.spoken.get("en")
        if sound is not None:
            lines.append(f"{sound}\t{thing.name}")
    (out / "sounds.tsv").write_text("\n".join(lines) + "\n")


def settings_of(row: Row, out: Path, steps: int | None = None) -> Any:
    """The settings of a row's run."""
    from kemm.config import load
    from kemm.settings import Settings

    shop = load(ROOT / "configs" / "grocery.yaml", Settings)
    chosen = shop.settings.model_dump() if row.world == "shop" else {}
    world, steps = out / row.world, steps or row.steps
    chosen |= {
        "run": world / "run",
        "data": {"store": f"sqlite:///{world / 'kg.db'}", "index": world / "index", "views": 0},
        "model": {"width": 96, "layers": 2, "heads": 4, "gnn_layers": 1, "facts": 16, "text_tokens": 24, "grid": 4},
        "objectives": row.objectives,
        "train": {"steps": steps, "pairs": 24, "questions": 0, "held_out_every": max(1, steps // 4), "warmup": 10}
        | dict(row.train),
    }
    chosen["model"]["towers"] = row.towers
    if chosen["train"].get("media"):
        chosen["data"]["media"] = world / row.table
    if row.world == "glosses":
        chosen["questions"] = {"held_out_entities": 0.0}
    return Settings.model_validate(chosen)


def measure(row: Row, out: Path, steps: int | None = None) -> dict[str, Any]:
    """Train one row and tell its held-out curves."""
    from kemm.pretrain import prepare
    from kemm.pretrain.build import build_task
    from kemm.pretrain.loop import fit

    settings = settings_of(row, out, steps)
    world, data = prepare(settings, _quiet)
    try:
        task = build_task(settings, world, data.vocabulary)
        task.check(data.batch.kinds)
        started = time.process_time()
        found = fit(
            task, data.batch, settings.train, settings.run / "none", resume=False, held_out=data.batch.held_out(4)
        )
        curves = found["held_out"][next(iter(row.objectives))]
        return {"curves": curves, "seconds": round(time.process_time() - started, 1), "steps": settings.train.steps}
    finally:
        world.close()


def _quiet(what: str, total: int) -> Any:
    return lambda n=1, note="": None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/objectives"))
    parser.add_argument("--steps", type=int, help="of every row; by default 120, or 200 of slower ones")
    parser.add_argument("--stamps", type=Path, default=Path("/usr/share/tuxpaint/stamps"), help="for sounds")
    given = parser.parse_args()
    for name in given.rows:
        if name not in ROWS:
            parser.error(f"there is no row '{name}'; choose some of: {'; '.join(ROWS)}")
    given.out.mkdir(parents=True, exist_ok=True)
    kept = given.out / "objectives.json"
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {}
    for name in given.rows or [name for name in ROWS if name not in found]:
        row = ROWS[name]
        build_world(row.world, given.data.resolve(), given.out / row.world)
        if row.table == "sounds.tsv":
            make_sounds(given.stamps, given.out / row.world)
        if row.table == "regions.tsv":
            make_regions(given.data.resolve(), given.out / row.world)
        found[name] = measure(row, given.out, given.steps)
        ordered = {name: found[name] for name in ROWS if name in found}
        kept.write_text(json.dumps(ordered, indent=1))
        (given.out / "objectives.md").write_text(report.table(ordered))
        (given.out / "objectives.html").write_text(report.page(ordered))
        print(report.table({name: found[name]}).splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
