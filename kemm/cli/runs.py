"""Commands that need an index or a model: ``index``, ``retrieve``, ``pretrain``, ``evaluate``, ``predict``, …"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from kemm.cli import screen
from kemm.cli.screen import Json
from kemm.cli.stores import Languages, Store
from kg.errors import InputError
from kg.names import require_unicode

Run = Annotated[Path, typer.Option("--run", help="Folder that `kemm pretrain` wrote")]
Image = Annotated[Path | None, typer.Option("--image", help="A picture, in any format that Pillow reads")]
Question = Annotated[str, typer.Option("--question", "-q", help="What to ask, in words")]
Settings = Annotated[
    Path, typer.Argument(help="A YAML of settings, such as configs/quickstart.yaml", show_default=False)
]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Replace one setting; may be given many times")
]
RunStore = Annotated[str | None, typer.Option("--store", help="Another store than the run's settings name")]
RunIndex = Annotated[Path | None, typer.Option("--index", help="Another index than the run's settings name")]

config_commands = typer.Typer(no_args_is_help=True, help="Settings files.")


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    for command in (index, retrieve, tune_tower, pretrain, evaluate, ablate, predict):
        app.command()(command)
    app.add_typer(config_commands, name="config")
    app.command()(quickstart)
    app.command()(serve)


def index(
    store: Store,
    out: Annotated[Path, typer.Option("--out", help="Folder to write the index to")],
    update: Annotated[bool, typer.Option("--update", help="Embed only what changed since the index was built")] = False,
    labels_only: Annotated[
        bool, typer.Option("--labels-only", help="Embed labels without descriptions, several times faster")
    ] = False,
    facts: Annotated[
        bool, typer.Option("--facts", help="Embed facts as well: a question alone finds its fact")
    ] = False,
    vision: Annotated[
        str | None,
        typer.Option("--vision", help="The picture tower, such as tuned:FOLDER of `kemm tune-tower`; it is remembered"),
    ] = None,
    json: Json = False,
) -> None:
    """Embed a store's texts and pictures and index them for retrieval."""
    with screen.work(json):
        from kemm.indexing import build

        result = build(store, out, update=update, vision=vision, labels_only=labels_only, facts=facts)
    screen.show(result, json)


def retrieve(
    store: Store,
    index: Annotated[Path, typer.Option("--index", help="Folder that `kemm index` wrote")],
    question: Question = "",
    image: Image = None,
    limit: Annotated[int, typer.Option("-k", min=1, help="Most facts")] = 32,
    retriever: Annotated[
        Path | None, typer.Option("--retriever", help="Folder that `kemm retriever train` wrote")
    ] = None,
    hops: Annotated[int | None, typer.Option("--hops", min=1, help="Longest path; by default as learned, or 2")] = None,
    language: Languages = [],  # noqa: B006 - typer hands over a fresh list
    json: Json = False,
) -> None:
    """Find the facts to answer a question with, best first."""
    _check_question(question, image, picture_suffices=True)
    with screen.work(json):
        from kemm.indexing import open_retriever
        from retrieval import Query

        evidence = open_retriever(store, index, learned=retriever, hops=hops, languages=language).retrieve(
            Query(text=question, image=image), k=limit
        )
    result: dict[str, Any] = {
        "evidence": [
            {**screen.fact(fact.statement, evidence.labels), "score": fact.score, "hop": fact.hop}
            for fact in evidence.facts
        ],
        "anchors": [
            {"entity": a.entity, "label": evidence.label(a.entity), "mention": a.mention, "score": a.score}
            for a in evidence.anchors
        ],
        "strange_picture": evidence.is_strange,
        "kg_version": evidence.kg_version,
    }

    def people() -> None:
        anchors = [(a["label"], a["mention"] or "(picture)", a["score"], a["entity"]) for a in result["anchors"]]
        if evidence.is_strange:
            screen.line("the picture shows none of the store's entities")
        screen.table(("about", "mention", "score", "entity"), anchors)
        rows = [(*fact["labels"], fact["score"], fact["source"]) for fact in result["evidence"]]
        screen.table(("head", "relation", "tail", "score", "source"), rows)
        screen.line(f"KG version {evidence.kg_version}")

    screen.show(result, json, people)


def tune_tower(
    config: Settings,
    out: Annotated[Path, typer.Option("--out", help="Folder for the tower; `model.vision: tuned:FOLDER` takes it")],
    blocks: Annotated[int, typer.Option("--blocks", min=1, help="How many of its last blocks learn")] = 2,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Times that every picture is seen")] = 12,
    views: Annotated[int, typer.Option("--views", min=0, help="Augmented views of each picture")] = 2,
    overrides: Overrides = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Tune a picture tower to a store's pictures of entities; index and pre-train with it afterwards."""
    with screen.work(json):
        from kemm.config import load
        from kemm.settings import Settings as RunSettings
        from kemm.tower_tuning import tune

        result = tune(load(config, RunSettings, overrides).settings, out, blocks, epochs, views)
    screen.show(result, json)


def pretrain(
    config: Settings,
    overrides: Overrides = [],  # noqa: B006 - typer hands over a fresh list
    resume: Annotated[bool, typer.Option(help="Go on from the run's last checkpoint")] = True,
    json: Json = False,
) -> None:
    """Pre-train a model as a settings file says; Ctrl-C stops after a checkpoint, the same command goes on.

    On several GPUs: torchrun --nproc_per_node N -m kemm pretrain CONFIG, a batch of the settings' size on each.
    """
    from kemm.config import load
    from kemm.settings import Settings as AllSettings

    settings = load(config, AllSettings, overrides).settings
    with screen.work(json):
        from kemm.pretrain import run

        result = run(settings, resume=resume)
    if result:  # of several processes the first speaks
        screen.show(result, json)


def evaluate(
    run: Run,
    questions: Annotated[Path, typer.Option("--questions", help="JSON lines: id, image, question, answers")],
    images: Annotated[Path | None, typer.Option("--images", help="Folder that the image paths are below")] = None,
    knowledge: Annotated[
        Literal["full", "none", "shuffled", "random", "oracle"],
        typer.Option("--knowledge", help="Which facts the model is given"),
    ] = "full",
    store: RunStore = None,
    index: RunIndex = None,
    json: Json = False,
) -> None:
    """Answer a file of questions and measure how many answers are right."""
    with screen.work(json):
        from kemm.evaluate import run as evaluate_run

        result = evaluate_run(run, questions, images, knowledge, store, index)

    def people() -> None:
        low, high = result["ci95"]
        screen.line(
            f"accuracy {result['accuracy']:.3f} (95 % interval {low:.3f} to {high:.3f}) on {result['n']:,} questions"
        )
        rows = [(kind, *_figures(part)) for kind, part in sorted(result["by_type"].items())]
        screen.table(("type", "accuracy", "n"), rows)

    screen.show(result, json, people)


def ablate(
    config: Settings,
    out: Annotated[Path, typer.Option("--out", help="Folder for results; what is finished there is not run again")],
    seeds: Annotated[list[int], typer.Option("--seed", help="May be given many times")] = [0],  # noqa: B006
    only: Annotated[
        list[str], typer.Option("--only", help="A variant, such as 'whole' or 'without mim'; may be given many times")
    ] = [],  # noqa: B006
    table: Annotated[
        Path | None, typer.Option("--table", help="Train nothing: write what --out holds into this Markdown page")
    ] = None,
    overrides: Overrides = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Train a run whole and without each of its parts, and measure what that does to the held-out questions."""
    from kemm.config import load
    from kemm.settings import Settings as AllSettings

    settings = load(config, AllSettings, overrides).settings
    with screen.work(json):
        from kemm.evaluate import ablation

        if table is not None:
            found = ablation.tabulate(settings.title or config.stem, out, table, str(config))
        else:
            found = ablation.run(settings, out, seeds, only)

    def people() -> None:
        rows = [
            (row["variant"], row["knowledge"], row["accuracy"], row.get("difference"), _interval(row), row["n"])
            for row in found
        ]
        screen.table(("variant", "knowledge", "accuracy", "difference", "95 %", "n"), rows)
        screen.line(f"{table or out / 'ablation.json'}")

    screen.show({"rows": found}, json, people)


def predict(
    run: Run,
    question: Question,
    image: Image = None,
    store: RunStore = None,
    index: RunIndex = None,
    json: Json = False,
) -> None:
    """Answer one question, with the facts that the answer rests on."""
    _check_question(question, image)
    with screen.work(json):
        from kemm.predict import Predictor

        result = Predictor.load(run, store=store, index=index).predict(image=image, question=question).as_dict()

    def people() -> None:
        screen.line(f"{result['answer']}   (confidence {result['confidence']:.2f})")
        if result["trace"].get("why"):
            screen.line(result["trace"]["why"])
        rows = [(c["head"], c["relation"], c["tail"], c["effect"], c["source"]) for c in result["citations"]]
        screen.table(("because", "", "", "effect", "source"), rows)

    screen.show(result, json, people)


@config_commands.command("show")
def config_show(config: Settings, overrides: Overrides = [], json: Json = False) -> None:  # noqa: B006
    """Print every setting and where it came from: a line of the file, --set, or the default."""
    from kemm.config import load
    from kemm.settings import Settings as AllSettings

    loaded = load(config, AllSettings, overrides)
    rows = list(loaded.rows())
    result = {
        "settings": loaded.settings.model_dump(mode="json"),
        "keys": [{"key": key, "value": value, "from": origin} for key, value, origin in rows],
    }
    shown = [(key, str(value), origin) for key, value, origin in rows]
    screen.show(result, json, lambda: screen.table(("key", "value", "from"), shown))


def quickstart(
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the store, the index, the model and the report")
    ] = Path("quickstart"),
    size: Annotated[Literal["full", "small"], typer.Option("--size", help="All of WordNet, or a piece of it")] = "full",
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again instead of going on where it stopped")] = False,
    json: Json = False,
) -> None:
    """Go the whole way once: ingest WordNet and countries, index, pre-train, evaluate, ask, correct a fact, ask."""
    with screen.work(json):
        from kemm.quickstart import run

        result = run(out, size=size, fresh=fresh)
    screen.show(result, json, lambda: screen.line(f"report: {out / 'report.html'}"))


def serve(
    run: Run,
    host: Annotated[str, typer.Option("--host", help="Address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on")] = 8000,
    store: RunStore = None,
    index: RunIndex = None,
) -> None:
    """Answer questions on a web page and through POST /predict, until Ctrl-C."""
    from importlib.util import find_spec

    missing = [name for name in ("fastapi", "uvicorn", "python_multipart") if find_spec(name) is None]
    if missing:
        raise InputError(f"`kemm serve` needs {', '.join(missing)}: pip install 'kemm[serve]'")
    import uvicorn

    from kemm.predict import Predictor
    from kemm.serve.app import create_app

    uvicorn.run(create_app(Predictor.load(run, store=store, index=index)), host=host, port=port, log_level="warning")


def _check_question(question: str, image: Path | None, picture_suffices: bool = False) -> None:
    """Refuse an empty question, and a picture that isn't there, before anything is loaded."""
    if not question.strip() and not (picture_suffices and image is not None):
        raise InputError("empty question: say what to ask with --question")
    require_unicode(question)
    if image is not None and not image.is_file():
        what = "a folder or device, not a readable picture; name a file" if image.exists() else "no such picture"
        raise InputError(f"{image}: {what}")


def _interval(row: dict[str, Any]) -> str:
    """The interval of a difference, where there is one."""
    return "{:+.3f} … {:+.3f}".format(*row["ci95"]) if "ci95" in row else ""


def _figures(part: Any) -> tuple[Any, Any]:
    """Accuracy and count of one type of question."""
    return (part.get("accuracy"), part.get("n")) if isinstance(part, dict) else (part, None)
