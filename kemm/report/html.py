"""A run's figures → one HTML page that needs nothing else, and the same figures as JSON.

The page is ``page.html.j2``; everything it shows that isn't in the dict (pictures, plots, a gain) is made here.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape

from kemm.report import formats, pictures, plots
from kemm.report.subgraph import arrange
from kemm.report.subgraph_plot import draw_subgraph
from kg.errors import InputError, UnreadableImage

SECTIONS = (
    "title", "subtitle", "command", "created", "environment", "stages", "graph", "training", "evaluation", "examples",
    "edit", "notes",
)  # fmt: skip


def write_report(report: dict[str, Any], out: Path) -> Path:
    """Write ``out/report.html`` and ``out/report.json`` and return the path of the page.

    Every section but ``title`` may be missing. Pictures are paths; the page embeds them, the JSON keeps the paths.
    A figure that isn't finite becomes null, since JSON has no other word for it. Both files are replaced whole.

    Raises:
        InputError: there is no title, a value can't be written as JSON, or ``out`` can't be written to.
    """
    plain = _plain(report, "report")
    if not plain.get("title"):
        raise InputError("the report has no 'title': give it one")
    texts = {"report.json": json.dumps(plain, ensure_ascii=False, indent=2) + "\n", "report.html": render(plain)}
    out = Path(out)
    written: list[tuple[Path, Path]] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            temporary = out / f".{name}.{os.getpid()}.tmp"
            written.append((temporary, out / name))
            temporary.write_text(text, encoding="utf-8", errors="replace")
        for temporary, final in written:
            os.replace(temporary, final)
    except OSError as error:
        raise InputError(f"{out}: the report can't be written ({error.strerror or error})") from error
    finally:
        for temporary, _ in written:
            temporary.unlink(missing_ok=True)
    return out / "report.html"


def render(report: dict[str, Any]) -> str:
    """The page as text. ``report`` holds plain JSON values only."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "figure": _figure,
        "percent": lambda value: _figure(value, formats.percent),
        "seconds": lambda value: _figure(value, formats.seconds),
        "megabytes": lambda value: _figure(value, formats.megabytes),
        "interval": formats.interval,
        "name": formats.short_name,
    }
    return environment.get_template("page.html.j2").render(
        r=report,
        tiles=_tiles(report),
        stages=_stages(report.get("stages") or []),
        losses=_losses(report.get("training") or {}),
        evaluation=_evaluation(report.get("evaluation") or {}),
        examples=[_example(example, number) for number, example in enumerate(report.get("examples") or [], 1)],
        edit=_edit(report.get("edit") or {}),
        more={
            key: json.dumps(value, ensure_ascii=False, indent=2) for key, value in report.items() if key not in SECTIONS
        },
        conditions=formats.CONDITIONS,
        colour=formats.condition_colour,
    )


def _plain(value: Any, where: str) -> Any:
    """``value`` as JSON can hold it: tuples as lists, paths as text, numpy scalars as numbers, NaN and ±∞ as null."""
    if isinstance(value, dict):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{number}]") for number, item in enumerate(value)]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if callable(getattr(value, "item", None)) and getattr(value, "size", 1) == 1:
        return _plain(value.item(), where)
    raise InputError(
        f"{where}: a {type(value).__name__} can't be written to a report; give text, numbers, lists or dicts"
    )


def _figure(value: Any, write: Any = formats.number) -> Markup:
    """A figure as the eye wants it, with the exact one behind it: ``<data value="0.8734">87.3 %</data>``."""
    if isinstance(value, list):
        return Markup(", ").join(_figure(item, write) for item in value)
    if not formats.is_figure(value):
        return escape(formats.ABSENT if value is None or not isinstance(value, str) else value)
    return Markup('<data value="{}" title="{}">{}</data>').format(repr(value), repr(value), write(value))


def _picture(path: Any) -> dict[str, str] | None:
    """``{"uri"}`` or, for a picture that can't be read, ``{"error"}``: a report isn't lost for a picture."""
    if not path:
        return None
    try:
        return {"uri": pictures.data_uri(path)}
    except UnreadableImage as error:
        return {"error": str(error)}


def _tiles(report: dict[str, Any]) -> list[tuple[str, Markup, str]]:
    """The five figures a reader looks for first: (name, figure, what it means)."""
    tiles: list[tuple[str, Markup, str]] = []
    knowledge = (report.get("evaluation") or {}).get("knowledge") or {}
    full, none = knowledge.get("full") or {}, knowledge.get("none") or {}
    if formats.is_figure(full.get("accuracy")):
        spread = formats.interval(full.get("ci95"))
        tiles.append(
            ("accuracy with knowledge", _figure(full["accuracy"], formats.percent), spread and f"95 %: {spread}")
        )
        if formats.is_figure(none.get("accuracy")):
            gain = f"{(full['accuracy'] - none['accuracy']) * 100:+.1f}".replace("-", "−")
            tiles.append(
                (
                    "gained by knowledge",
                    Markup("{} points").format(gain),
                    f"{formats.percent(none['accuracy'])} without",
                )
            )
    graph, training, stages = report.get("graph") or {}, report.get("training") or {}, report.get("stages") or []
    if "triples" in graph:
        tiles.append(("facts", _figure(graph["triples"]), f"on {formats.number(graph.get('entities'))} entities"))
    if "parameters" in training:
        tiles.append(
            (
                "parameters",
                _figure(training["parameters"], _large),
                f"{_large(training.get('trainable'))} of them trained",
            )
        )
    times = [stage["seconds"] for stage in stages if formats.is_figure(stage.get("seconds"))]
    if times:
        peaks = [stage["peak_mb"] for stage in stages if formats.is_figure(stage.get("peak_mb"))]
        memory = f"at most {formats.megabytes(max(peaks))} of memory" if peaks else ""
        tiles.append(("the whole run", _figure(sum(times), formats.seconds), memory))
    return tiles


def _large(value: Any) -> str:
    """``5823488 → 5.8 M``."""
    if not formats.is_figure(value) or abs(value) < 1e6:
        return formats.number(value)
    return f"{value / 1e9:.2f} B" if abs(value) >= 1e9 else f"{value / 1e6:.1f} M"


def _stages(stages: list[dict[str, Any]]) -> dict[str, Any]:
    if not stages:
        return {}
    return {"plot": Markup(plots.stage_bars(stages)), "rows": stages}


def _losses(training: dict[str, Any]) -> list[dict[str, Any]]:
    """One entry an objective: its plot, its weight, and the mean of its first and last tenth."""
    weights = training.get("weights") or {}
    shown = []
    for name, points in (training.get("losses") or {}).items():
        values = [value for _, value in points if formats.is_figure(value)]
        if not values:
            shown.append({"name": name, "weight": weights.get(name), "count": 0, "lost": len(points)})
            continue
        tenth = max(1, len(values) // 10)
        first, last = sum(values[:tenth]) / tenth, sum(values[-tenth:]) / tenth
        plot = Markup(plots.loss_curve(formats.one_line(name), points))
        lost = len(points) - len(values)
        shown.append(
            {
                "name": name,
                "weight": weights.get(name),
                "count": len(values),
                "lost": lost,
                "first": first,
                "last": last,
                "plot": plot,
            }
        )
    return shown


def _conditions(figures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Condition → figures; a group that gives only one set of figures was measured with full knowledge."""
    return {"full": figures} if "accuracy" in figures else {key: value or {} for key, value in figures.items()}


def _evaluation(evaluation: dict[str, Any]) -> dict[str, Any]:
    view: dict[str, Any] = {}
    if knowledge := _conditions(evaluation.get("knowledge") or {}):
        view["knowledge"] = {
            "rows": knowledge,
            "plot": Markup(plots.accuracy_bars(knowledge, "Accuracy by knowledge given")),
        }
    for key, title in (("by_type", "Accuracy by kind of question"), ("by_split", "Accuracy on what was held out")):
        if evaluation.get(key):
            groups = {name: _conditions(figures or {}) for name, figures in evaluation[key].items()}
            columns = list(dict.fromkeys(condition for figures in groups.values() for condition in figures))
            plot = Markup(plots.paired_accuracy(groups, title))
            view[key] = {"title": title, "rows": groups, "columns": columns, "plot": plot}
    if retrieval := evaluation.get("retrieval"):
        view["retrieval"] = {"rows": retrieval, "plot": Markup(plots.retrieval_bars(retrieval, "Zero-shot retrieval"))}
    if evaluation.get("link_prediction"):
        view["link_prediction"] = evaluation["link_prediction"]
    calibration = evaluation.get("calibration") or {}
    if bins := [row for row in calibration.get("bins") or [] if all(map(formats.is_figure, row))]:
        total = sum(count for *_, count in bins) or 1
        error = sum(abs(confidence - accuracy) * count for confidence, accuracy, count in bins) / total
        plot = Markup(plots.calibration(bins, calibration.get("threshold")))
        view["calibration"] = {"bins": bins, "error": error, "threshold": calibration.get("threshold"), "plot": plot}
    return view


def _drawing(facts: Any, answer: Any, anchors: Any, title: str) -> dict[str, Any] | None:
    if not facts:
        return None
    drawing = arrange(facts, str(answer or ""), anchors or ())
    return {
        "svg": Markup(draw_subgraph(drawing, title)),
        "shown": drawing.num_shown,
        "omitted": drawing.num_omitted,
        "repeats": any(node.is_repeat for node in drawing.nodes.values()),
        "is_narrow": drawing.width <= 640,  # fits beside the answer on a wide screen
    }


def _example(example: dict[str, Any], number: int) -> dict[str, Any]:
    """An example with its picture embedded, its facts drawn, and whether its answer is one of the right ones."""
    gold = [formats.one_line(answer).casefold() for answer in example.get("gold") or []]
    is_right = example.get("correct")
    if is_right is None and gold:
        is_right = formats.one_line(example.get("answer", "")).casefold() in gold
    title = f"Example {number}: the facts retrieved for “{formats.one_line(example.get('question', ''))}”"
    drawn = _drawing(example.get("facts"), example.get("answer"), example.get("anchors"), title)
    return example | {"picture": _picture(example.get("image")), "is_right": is_right, "drawing": drawn}


def _edit(edit: dict[str, Any]) -> dict[str, Any]:
    """The answer before and after an edit, each with the facts that it rested on."""
    if not edit:
        return {}
    view = edit | {"picture": _picture(edit.get("image"))}
    for side in ("before", "after"):
        answer = edit.get(side) or {}
        facts = answer.get("facts") or [fact | {"cited": True} for fact in answer.get("citations") or []]
        view[side] = answer | {
            "drawing": _drawing(facts, answer.get("answer"), edit.get("anchors"), f"The facts {side} the edit")
        }
    return view
