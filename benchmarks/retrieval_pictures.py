"""Photos → entities: Caltech-101's into WordNet and Grocery's into its catalogue; choices on a validation part, the
figures on the test part, once. Features are those of the frozen EfficientNet-lite0, of each photo once.

    zero-shot    no photo of any entity: ImageNet's classes that the entities are or have under them, and for the others
                 classifiers made up from hypernyms and glosses; for Grocery, the one iconic picture of each product
    1-shot       one training photo an entity, five draws
    trained      on all training photos: a linear head; kemm's objective ``entity_image`` alone for 400 steps
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.caltech101 import Photos, divided, photos
from benchmarks.picture_heads import entity_image_linker, linear_head
from benchmarks.retrieval_inputs import Arguments

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
DRAWS = 5
_DECAYS = (1e-4, 1e-3, 1e-2)
_TEXT_TOKENS = 24
_SHARP = 0.05  # cosines are divided by it, as `retrieval.pictures.nearest` does


def caltech(arguments: Arguments) -> dict[str, Any]:
    """Top-1 accuracy in percent among the 97 entities; the note says more."""
    if not (DATA / "caltech101").is_dir():
        return {"skipped": "no ../shared/data/caltech101"}
    seen = photos(DATA / "caltech101")
    features = _features(arguments, seen.files)
    how = arguments["how"]
    if how in ("classes", "among"):
        scores = np.log(_zero_shot(arguments, seen.entities, how == "among").chances(features) + 1e-6)
        return _figures([scores], seen)
    if how == "1-shot with zero-shot":
        prior = np.log(_zero_shot(arguments, seen.entities, True).chances(features) + 1e-4)
        return _figures([_best_sum(nearest, prior, seen) for nearest in _one_shot(features, seen)], seen)
    return _figures(_learned(features, seen, how), seen)


def grocery(arguments: Arguments) -> dict[str, Any]:
    """Top-1 accuracy in percent among the 81 products, on the data set's val photos."""
    if not (DATA / "grocery").is_dir():
        return {"skipped": "no ../shared/data/grocery"}
    seen, iconic = _grocery()
    features, how = _features(arguments, seen.files), arguments["how"]
    pictures = _features(arguments, iconic)
    if how == "iconic":
        return _figures([_cosines(features, pictures) / _SHARP], seen)
    if how == "iconic, centred":  # what all shop photos have in common, and what all iconic pictures have, taken away
        around = features[seen.part == "train"].mean(0)
        return _figures([_cosines(features - around, pictures - pictures.mean(0)) / _SHARP], seen)
    return _figures(_learned(features, seen, how), seen)


def none_of_these(arguments: Arguments) -> dict[str, Any]:
    """Photos of what the graph has not, in percent told to be none; half of Caltech-101's entities are in the graph.

    Confidence and threshold are fitted on validation photos of those and of a quarter that is absent; the photos of the
    test part are of the same entities and of the other absent quarter.
    """
    from retrieval.pictures.confidence import expected_calibration_error, fit
    from retrieval.pictures.nearest import NearestPictures, among

    if not (DATA / "caltech101").is_dir():
        return {"skipped": "no ../shared/data/caltech101"}
    seen = photos(DATA / "caltech101")
    features, how = _features(arguments, seen.files), arguments["how"]
    role = np.array(["known", "validation", "known", "test"])[
        np.random.default_rng(3).permutation(len(seen.entities)) % 4
    ]
    known = np.flatnonzero(role == "known")
    chosen = [seen.entities[e] for e in known]
    of = role[seen.shown]
    if how in ("classes", "among"):
        scorer: Any = _zero_shot(arguments, chosen, how == "among")
    else:
        rows = np.flatnonzero((seen.part == "train") & (of == "known"))
        targets = np.searchsorted(known, seen.shown[rows])
        if how == "1-shot":
            first = [np.flatnonzero(targets == e)[0] for e in range(len(known))]
            scorer = NearestPictures(among(chosen, features[rows][first]))
        else:
            scorer = _Scored(_head(how, features[rows], targets, len(known)), chosen)
    found, right, is_known = {}, {}, {}
    for part in ("validation", "test"):
        rows = np.flatnonzero((seen.part == part) & ((of == "known") | (of == part)))
        if how == "classes":  # nothing could link the known ones that have no class
            rows = rows[(of[rows] == part) | np.isin(seen.shown[rows], known[scorer.has_class])]
        found[part], is_known[part] = scorer.candidates(features[rows]), of[rows] == "known"
        shows = [seen.entities[e] for e in seen.shown[rows]]
        right[part] = np.array([one.entities[0] == entity for one, entity in zip(found[part], shows, strict=True)])
    confidence = fit(found["validation"], right["validation"], is_known["validation"])
    sure, here = confidence(found["test"]), is_known["test"]
    linked = sure >= confidence.threshold
    raw = np.array([one.chances[0] for one in found["test"]])
    before, after = (expected_calibration_error(p, right["test"]) for p in (raw, sure))
    return {
        "value": 100 * float((~linked[~here]).mean()),
        "note": f"of {(~here).sum()}; linked {100 * linked[here].mean():.1f} % of {here.sum()} known, rightly "
        f"{100 * right['test'][linked & here].mean():.1f} %; AUROC {_auroc(sure[here], sure[~here]):.3f}; "
        f"ECE {before:.3f} → {after:.3f}; {_weights(confidence)}",
    }


def open_wordnet(arguments: Arguments) -> dict[str, Any]:
    """First links into all of WordNet, in percent true: the thing itself, or a kind of thing that it is.

    A photo can be linked where a class tells anything of it: a hedgehog as a mammal says too little, an emu is a bird.
    """
    from retrieval.pictures.confidence import expected_calibration_error, fit
    from retrieval.pictures.is_a import IsA

    if not (DATA / "caltech101").is_dir():
        return {"skipped": "no ../shared/data/caltech101"}
    seen = photos(DATA / "caltech101")
    features, graph = _features(arguments, seen.files), _wordnet(arguments)
    classifier = _classifier(graph)
    kinds = IsA(graph, seen.entities)
    true = [{kinds.entities[n] for n in np.flatnonzero(line)} for line in kinds.under]
    telling = {entity for entity, says in zip(classifier.is_a.entities, classifier.is_telling, strict=True) if says}
    can = np.array([bool(kinds & telling) for kinds in true])
    found, right = {}, {}
    for part in ("validation", "test"):
        rows = np.flatnonzero(seen.part == part)
        found[part] = classifier.candidates(features[rows])
        pairs = zip(found[part], seen.shown[rows], strict=True)
        right[part] = np.array([one.entities[0] in true[entity] for one, entity in pairs])
    confidence = fit(found["validation"], right["validation"], can[seen.shown[seen.part == "validation"]])
    sure = confidence(found["test"])
    raw = np.array([one.chances[0] for one in found["test"]])
    before, after = (expected_calibration_error(p, right["test"]) for p in (raw, sure))
    information = dict(zip(classifier.is_a.entities, classifier.is_a.information, strict=True))
    says = np.mean([information[one.entities[0]] for one in found["test"]])
    itself = np.mean(
        [one.entities[0] == seen.entities[e] for one, e in zip(found["test"], seen.shown[rows], strict=True)]
    )
    linked, here = sure >= confidence.threshold, can[seen.shown[rows]]
    return {
        "value": 100 * float(right["test"][here].mean()),
        "note": f"of {here.sum()} that a class tells of; the very entity {100 * itself:.1f} %; information {says:.2f}; "
        f"linked {100 * linked[here].mean():.1f} %, of these true {100 * right['test'][linked & here].mean():.1f} %; "
        f"of {(~here).sum()} others refused {100 * (~linked[~here]).mean():.1f} %; "
        f"ECE {before:.3f} → {after:.3f}; {_weights(confidence)}",
    }


def collages(arguments: Arguments) -> dict[str, Any]:
    """Collages of two test photos of entities that have classes, in percent with both found, each in its half."""
    from PIL import Image

    from kemm.encoders.vision import EfficientNetLite0, open_image
    from kemm.picture_linking import ZERO_SHOT
    from retrieval.pictures.linker import PictureLinker

    if not (DATA / "caltech101").is_dir():
        return {"skipped": "no ../shared/data/caltech101"}
    seen, tower = photos(DATA / "caltech101"), EfficientNetLite0()
    classifier = _classifier(_wordnet(arguments))
    linker = PictureLinker(classifier, ZERO_SHOT)
    has_class = np.isin(seen.entities, classifier.is_a.entities)
    rows = np.flatnonzero((seen.part == "test") & has_class[seen.shown])
    rng = np.random.default_rng(0)
    both, single, alone, regions = 0, 0, 0, 0
    for _ in range(arguments["count"]):
        pair = rng.choice(rows, 2, replace=False)
        while len(set(seen.shown[pair])) < 2:
            pair = rng.choice(rows, 2, replace=False)
        parts = [open_image(seen.files[row]).resize((200, 200)) for row in pair]
        collage = Image.new("RGB", (400, 200))
        for number, part in enumerate(parts):
            collage.paste(part, (200 * number, 0))
        pooled = tower.frozen([tower.array(part) for part in parts]).mean((2, 3)).numpy()  # (2, D)
        named = [{link.entity for link in links} for links in linker.links(pooled, 16)]
        found = linker.regions(tower.scene(collage).numpy(), 16)
        regions += len(found)
        hits = []
        for number, row in enumerate(pair):
            entity = seen.entities[seen.shown[row]]
            alone += entity in named[number]
            holding = [region for region in found if entity in {link.entity for link in region.links}]
            hits.append(any(_within(region.box, number / 2, (number + 1) / 2) > 0.7 for region in holding))
        both, single = both + all(hits), single + sum(hits)
    count = arguments["count"]
    return {
        "value": 100 * both / count,
        "note": f"of {count}; one by one {50 * single / count:.1f} %, in its photo alone {50 * alone / count:.1f} %; "
        f"{regions / count:.1f} regions a collage",
    }


def _weights(confidence: Any) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in vars(confidence).items())


def _within(box: tuple[float, float, float, float], left: float, right: float) -> float:
    return max(0.0, min(box[2], right) - max(box[0], left)) / (box[2] - box[0])


# ── ways to score ─────────────────────────────────────────────────────────────────────────────────────────────────────


class _Scored:
    """Logits over entities as a scorer of pictures."""

    def __init__(self, logits: Any, entities: list[str]) -> None:
        self.logits, self.entities = logits, entities

    def candidates(self, features: Any) -> list[Any]:
        from retrieval.pictures import Candidates
        from retrieval.pictures.classifier import softmax

        logits = self.logits(features)
        best = np.argsort(-logits, axis=1)[:, :5]
        chances = softmax(logits)
        return [
            Candidates(tuple(self.entities[e] for e in row), chances[b, row], float(logits[b, row[0]]))
            for b, row in enumerate(best)
        ]


def _head(how: str, features: Any, targets: Any, count: int, decay: float = 1e-3) -> Any:
    """features (B, D) → logits (B, count), learned from pictures."""
    if how == "linear head":
        return linear_head(features, targets, count, decay)
    known = np.stack([features[targets == e].mean(0) for e in range(count)])
    return entity_image_linker(features, targets, known)


def _learned(features: Any, seen: Photos, how: str) -> list[Any]:
    """Scores (n, E) of all photos, of each draw of one photo an entity, or of what was trained on all."""
    train = np.flatnonzero(seen.part == "train")
    if how == "1-shot":
        return _one_shot(features, seen)
    args = features[train], seen.shown[train], len(seen.entities)
    if how != "linear head":
        return [_head(how, *args)(features)]
    heads = [_head(how, *args, decay=decay)(features) for decay in _DECAYS]
    part = seen.part == "validation"
    return [max(heads, key=lambda scores: float((scores[part].argmax(1) == seen.shown[part]).mean()))]


def _one_shot(features: Any, seen: Photos) -> list[Any]:
    draws = []
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        rows = [
            rng.choice(np.flatnonzero((seen.part == "train") & (seen.shown == e))) for e in range(len(seen.entities))
        ]
        draws.append(_cosines(features, features[rows]) / _SHARP)
    return draws


def _best_sum(scores: Any, prior: Any, seen: Photos) -> Any:
    """w · scores + prior, with the w that is best on the validation part."""
    part = seen.part == "validation"
    sums = [weight * scores + prior for weight in (0.25, 0.5, 1.0, 2.0)]
    return max(sums, key=lambda total: float((total[part].argmax(1) == seen.shown[part]).mean()))


def _cosines(asked: Any, held: Any) -> Any:
    from retrieval.pictures.classifier import unit_rows

    return unit_rows(asked) @ unit_rows(held).T


def _classifier(graph: Any) -> Any:
    from kemm.encoders.imagenet import class_entities, class_weights
    from retrieval.pictures.classifier import EntityClassifier
    from retrieval.pictures.is_a import IsA

    return EntityClassifier(*class_weights(), IsA(graph, class_entities(graph)))


def _zero_shot(arguments: Arguments, entities: list[str], with_made_up: bool) -> Any:
    """ImageNet's classifier over given synsets; ``with_made_up`` has one for those without a class too."""
    from kemm.encoders import build_encoder
    from kemm.encoders.imagenet import class_entities
    from kemm.encoders.text import TextEmbedder
    from retrieval.pictures.classifier import AmongEntities, tree_kernel
    from retrieval.pictures.is_a import IsA

    graph = _wordnet(arguments)
    classes = class_entities(graph)
    both = IsA(graph, [*classes, *entities])
    members = both.under[: len(classes)][:, [both.entities.index(entity) for entity in entities]]
    if not with_made_up:
        return AmongEntities(_classifier(graph), entities, members)
    told = [graph.describe(iri) for iri in [*classes, *entities]]
    texts = [f"{', '.join((one.label, *one.aliases))}: {one.description}" for one in told]
    vectors = TextEmbedder(build_encoder("minilm"), _TEXT_TOKENS).embed(texts)
    by_kind = tree_kernel(both.under, both.under[: len(classes)], both.information)
    likeness = (by_kind + vectors @ vectors[: len(classes)].T) / 2
    return AmongEntities(_classifier(graph), entities, members, (likeness[: len(classes)], likeness[len(classes) :]))


# ── figures, features and the graph ───────────────────────────────────────────────────────────────────────────────────


def _figures(draws: list[Any], seen: Photos) -> dict[str, Any]:
    """Accuracy and calibration on the test part, confidence fitted on the validation part; the mean over draws."""
    from retrieval.pictures.confidence import expected_calibration_error, fit

    test, rows = seen.part == "test", []
    for logits in draws:
        found, right = {}, {}
        for part in ("validation", "test"):
            of = seen.part == part
            found[part] = _Scored(lambda scores: scores, seen.entities).candidates(logits[of])
            right[part] = logits[of].argmax(1) == seen.shown[of]
        confidence = fit(found["validation"], right["validation"], np.ones(len(right["validation"]), dtype=bool))
        raw = np.array([one.chances[0] for one in found["test"]])
        ranks = (logits[test] > logits[test, seen.shown[test]][:, None]).sum(1)
        errors = [expected_calibration_error(sure, right["test"]) for sure in (raw, confidence(found["test"]))]
        rows.append([100 * (ranks < 1).mean(), 100 * (ranks < 5).mean(), *errors])
    mean = np.mean(rows, 0)
    spread = [f" ± {value:.1f}" if len(rows) > 1 else "" for value in np.std(rows, 0, ddof=min(1, len(rows) - 1))]
    note = f"{spread[0]} top-5 {mean[1]:.1f}{spread[1]}, n {test.sum()}; ECE {mean[2]:.3f} → {mean[3]:.3f}"
    return {"value": float(mean[0]), "note": note.strip()}


def _auroc(higher: Any, lower: Any) -> float:
    """The probability that one of ``higher`` is above one of ``lower``."""
    order = np.searchsorted(np.sort(lower), higher, "left") + np.searchsorted(np.sort(lower), higher, "right")
    return float(order.mean() / 2 / len(lower))


def _grocery() -> tuple[Photos, list[str]]:
    """Shop photos, the last tenth of each product's training ones for choices, and the products' iconic pictures.

    Photos were taken in runs: of two neighbours one would know the other.
    """
    root = DATA / "grocery"
    with (root / "images.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    taken = [row for row in rows if row["split"] in ("train", "val")]
    runs: dict[str, list[str]] = {}
    for row in taken:
        if row["split"] == "train":
            runs.setdefault(row["entity"], []).append(row["path"])
    last = {path for paths in runs.values() for path in sorted(paths)[-max(1, len(paths) // 10) :]}
    parts = ["test" if r["split"] == "val" else "validation" if r["path"] in last else "train" for r in taken]
    seen = divided([str(root / row["path"]) for row in taken], [row["entity"] for row in taken], parts)
    iconic = {row["entity"]: str(root / row["path"]) for row in rows if row["split"] == "iconic"}
    return seen, [iconic[entity] for entity in seen.entities]


def _features(arguments: Arguments, files: list[str]) -> Any:
    """Mean features (n, D) float32 of photos, each computed once and kept in a folder."""
    from kemm.data.pictures import FeatureBank
    from kemm.encoders.vision import EfficientNetLite0

    bank = FeatureBank(EfficientNetLite0(), Path(arguments["features"] or arguments["work"]) / "pictures", 1)
    bank.compute(files, 1)
    return np.stack([np.asarray(bank.get(file)[0], dtype=np.float32) for file in files])


def _wordnet(arguments: Arguments) -> Any:
    """A store of WordNet, made by the first that asks."""
    from kg import KnowledgeGraph
    from kg.ingest import load

    path = Path(arguments["work"]) / "wordnet.db"
    graph = KnowledgeGraph.open(f"sqlite:///{path}")
    if not graph.version:
        load("wordnet", into=graph, source="WordNet")
    return graph
