"""The report: one page that needs nothing else, the same figures in it as in the dict, and drawings one can read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kemm.report import write_report
from kemm.report.formats import interval, number, percent, seconds, short_name, shorten, text_width, wrap
from kemm.report.plots import smooth
from kemm.report.subgraph import arrange
from kg.errors import InputError


def fact(head: str, relation: str, tail: str, score: float = 0.5, cited: bool = False, hop: int = 1) -> dict[str, Any]:
    return {"head": head, "relation": relation, "tail": tail, "score": score, "cited": cited, "hop": hop}


ITALY = [
    fact("Italy", "capital", "Rome", 0.9, cited=True),
    fact("Italy", "borders", "France", 0.4),
    fact("Italy", "borders", "Switzerland", 0.3),
    fact("France", "borders", "Switzerland", 0.2, hop=2),
    fact("France", "capital", "Paris", 0.1, hop=2),
]


@pytest.fixture
def full_report(tmp_path: Path) -> dict[str, Any]:
    flag = tmp_path / "italy.png"
    Image.new("RGB", (900, 600), (0, 146, 70)).save(flag)
    cite = {"head": "Italy", "relation": "capital", "tail": "Rome", "source": "countryinfo", "effect": 0.6125}
    figures = {
        name: {"accuracy": accuracy, "ci95": [accuracy - 0.031, accuracy + 0.027], "n": 1201}
        for name, accuracy in (
            ("full", 0.8734),
            ("none", 0.3125),
            ("shuffled", 0.309),
            ("random", 0.3),
            ("oracle", 0.9642),
        )
    }
    return {
        "title": "Quick start",
        "subtitle": "flags and facts",
        "command": "kemm quickstart --out here",
        "created": "2025-11-22T07:10:00+00:00",
        "environment": {"python": "3.11.9", "torch": "2.13.0", "cpu": "a laptop", "cores": 2},
        "stages": [
            {"name": "ingest", "seconds": 21.34, "peak_mb": 412.25, "detail": "two sources"},
            {"name": "pre-train", "seconds": 171.9, "peak_mb": 1942.0, "detail": ""},
        ],
        "graph": {
            "triples": 541377,
            "literals": 236802,
            "entities": 118031,
            "relations": 61,
            "pictures": 244,
            "version": 3,
            "sources": {"wordnet": 534120, "countryinfo": 7257},
        },
        "training": {
            "steps": 600,
            "seconds": 171.9,
            "samples_per_second": 111.7,
            "parameters": 28714240,
            "trainable": 5823488,
            "losses": {"itc": [[0, 4.0], [1, 3.0], [2, 2.0]], "mim": [[0, 1.25]]},
            "weights": {"itc": 1.0, "mim": 0.5},
        },
        "evaluation": {
            "n": 1203,
            "knowledge": figures,
            "by_type": {
                "capital": {"full": {"accuracy": 0.9125, "ci95": [0.88, 0.94], "n": 160}, "none": {"accuracy": 0.2}}
            },
            "by_split": {"held-out facts": {"accuracy": 0.8612, "ci95": [0.84, 0.88], "n": 402}},
            "retrieval": {"flag → country R@1": {"value": 0.4082, "n": 49, "chance": 0.0204}},
            "link_prediction": {"mrr": 0.34567, "hits@1": 0.251, "hits@10": 0.529, "n": 2718, "entities": 118032},
            "calibration": {"bins": [[0.25, 0.2, 40], [0.75, 0.8, 60]], "threshold": 0.32},
        },
        "examples": [
            {
                "image": str(flag),
                "question": "What is the capital of the country with this flag?",
                "answer": "Rome",
                "gold": ["Rome"],
                "confidence": 0.9431,
                "known": True,
                "citations": [cite],
                "facts": ITALY,
                "note": "one hop",
            }
        ],
        "edit": {
            "question": "And now?",
            "image": str(flag),
            "before": {"answer": "Rome", "confidence": 0.9432, "citations": [cite]},
            "change": ["- Italy capital Rome", "+ Italy capital Turin"],
            "after": {
                "answer": "Turin",
                "confidence": 0.9123,
                "citations": [cite | {"tail": "Turin", "source": "edit"}],
            },
            "version_before": 3,
            "version_after": 5,
        },
        "notes": ["Figures of one seed."],
    }


class Page(HTMLParser):
    """What a browser would see: the exact figures, the elements, and every address that something is loaded from."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.figures: dict[float, set[str]] = {}
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.headings: list[str] = []
        self.text = ""
        self._value: float | None = None
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self._value = float(given["value"] or "nan") if tag == "data" else None
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "srcset", "action", "data")]

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._value is not None:
            self.figures.setdefault(self._value, set()).add(data)
            self._value = None
        if self.tags[-1:] == ["h2"] and data.strip():
            self.headings.append(data.strip())


def numbers(value: Any) -> set[float]:
    if isinstance(value, dict):
        return set().union(*map(numbers, value.values()))
    if isinstance(value, list):
        return set().union(*map(numbers, value))
    return {float(value)} if isinstance(value, int | float) and not isinstance(value, bool) else set()


def test_a_full_report_shows_every_section_with_its_plots_and_pictures(
    full_report: dict[str, Any], tmp_path: Path
) -> None:
    page = Page(write_report(full_report, tmp_path / "out"))
    for heading in ("Answers and the facts they rest on", "A fact is corrected, the answer follows", "Evaluation"):
        assert heading in page.headings
    for heading in ("Pre-training", "Knowledge graph", "Stages", "Notes"):
        assert heading in page.headings
    # accuracy, by type, by split, retrieval, calibration, two losses, stages, example, before, after
    assert page.tags.count("svg") == 11
    assert page.tags.count("img") == 2
    for text in ("kemm quickstart --out here", "What is the capital", "Figures of one seed.", "+ Italy capital Turin"):
        assert text in page.text


def test_a_report_with_only_a_title_shows_only_the_title(tmp_path: Path) -> None:
    page = Page(write_report({"title": "Nothing yet"}, tmp_path))
    assert "Nothing yet" in page.text
    assert page.headings == []
    assert not {"svg", "table", "img", "section"} & set(page.tags)


def test_every_section_alone_renders_without_the_others(full_report: dict[str, Any], tmp_path: Path) -> None:
    for key in set(full_report) - {"title"}:
        page = Page(write_report({"title": "One", key: full_report[key]}, tmp_path / key))
        assert len(page.headings) == (0 if key in ("subtitle", "command", "created", "environment") else 1), key


def test_the_figures_of_the_page_are_those_of_the_dict(full_report: dict[str, Any], tmp_path: Path) -> None:
    page = Page(write_report(full_report, tmp_path))
    evaluation = json.loads(json.dumps(full_report["evaluation"]))
    for group in (evaluation["knowledge"], *evaluation["by_type"].values(), evaluation["by_split"]):
        for figures in group.values():
            bounds = figures.pop("ci95", None)  # written as one text
            assert bounds is None or interval(bounds) in page.text
    training = {key: value for key, value in full_report["training"].items() if key != "losses"}
    wanted = numbers([evaluation, training, full_report["graph"], full_report["stages"], 0.6125, 0.9431, 0.9123, 5])
    assert wanted - set(page.figures) == set()
    assert page.figures[0.8734] == {"87.3 %"}
    assert page.figures[541377] == {"541,377"}
    assert page.figures[171.9] == {"2 min 52 s"}
    assert "+56.1 points" in page.text  # 87.34 − 31.25


def test_the_json_is_the_same_dict_with_pictures_as_paths(full_report: dict[str, Any], tmp_path: Path) -> None:
    page = write_report(full_report, tmp_path / "out")
    assert json.loads((page.parent / "report.json").read_text(encoding="utf-8")) == full_report
    assert page.name == "report.html"


def test_a_value_that_json_lacks_becomes_null_and_a_dash_and_is_counted(tmp_path: Path) -> None:
    report = {
        "title": "Diverged",
        "training": {"steps": 3, "losses": {"itc": [(0, 2.0), (1, float("nan"))], "mlm": [(0, float("inf"))]}},
        "evaluation": {"knowledge": {"full": {"accuracy": float("nan"), "n": 0}}},
        "examples": [{"image": Path("gone.jpg"), "question": "?"}],
    }
    page = Page(write_report(report, tmp_path))
    assert "1 values not finite" in page.text
    assert "no finite value" in page.text
    assert "gone.jpg: can't be read as a picture" in page.text
    stored = json.loads((tmp_path / "report.json").read_text())
    assert stored["training"]["losses"] == {"itc": [[0, 2.0], [1, None]], "mlm": [[0, None]]}
    assert stored["examples"][0]["image"] == "gone.jpg"


def test_hostile_text_is_shown_and_never_run(full_report: dict[str, Any], tmp_path: Path) -> None:
    attack = "<script>alert(1)</script><img src=x onerror=alert(2)>\" ' ]]> --> $\\frac$ \x00"
    clean = Page(write_report(full_report, tmp_path / "clean"))

    def poison(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {(k if k in KEYS else attack + k): poison(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [poison(item, key) for item in value]
        return attack + value if isinstance(value, str) and key != "image" else value

    names = {"itc", "mim", "wordnet", "countryinfo", "capital", "held-out facts", "flag → country R@1"}
    KEYS = set(re.findall(r'"([^"]+)":', json.dumps(full_report, ensure_ascii=False))) - names
    page = Page(write_report(poison(full_report), tmp_path / "poisoned"))
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.text
    assert sorted(set(page.tags)) == sorted(set(clean.tags))
    assert page.tags.count("img") == clean.tags.count("img")


def test_the_page_loads_nothing_from_outside(full_report: dict[str, Any], tmp_path: Path) -> None:
    page = Page(write_report(full_report, tmp_path))
    assert page.addresses
    assert [a[:40] for a in page.addresses if not a.startswith(("#", "data:image/"))] == []
    assert not re.search(r"url\((?!#)|@import|https?:|//[a-z]+\.", page.source)
    assert {"link", "script", "iframe", "object"} & set(page.tags) == set()


def test_pictures_are_embedded_no_larger_than_320_pixels(full_report: dict[str, Any], tmp_path: Path) -> None:
    import base64
    import io

    page = Page(write_report(full_report, tmp_path))
    uris = [a for a in page.addresses if a.startswith("data:image/")]
    assert len(uris) == 2
    for uri in uris:
        with Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))) as image:
            assert image.size == (320, 213)
            assert image.convert("RGB").getpixel((5, 5)) == (0, 146, 70)  # a flat picture keeps its colours


def test_faults_of_the_caller_leave_the_old_report_as_it_was(tmp_path: Path) -> None:
    write_report({"title": "Old"}, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"report.html", "report.json"}
    with pytest.raises(InputError, match="no 'title'"):
        write_report({"notes": ["untitled"]}, tmp_path)
    with pytest.raises(InputError, match=r"report\.notes\[0\]: a set can't be written"):
        write_report({"title": "New", "notes": [{1}]}, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    blocked = tmp_path / "report.json"
    with pytest.raises(InputError, match="can't be written"):
        write_report({"title": "New"}, blocked)


def test_the_same_report_gives_the_same_bytes(full_report: dict[str, Any], tmp_path: Path) -> None:
    first, second = write_report(full_report, tmp_path / "a"), write_report(full_report, tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()


def test_sixty_facts_draw_twenty_and_name_the_forty_left_out(tmp_path: Path) -> None:
    facts = [fact("Europe", "has member", f"Country {i}", i / 60, cited=i == 3) for i in range(60)]
    drawing = arrange(facts)
    assert (drawing.num_shown, drawing.num_omitted, len(drawing.edges)) == (20, 40, 20)
    assert {"Country 3", "Country 59", "Country 41"} < set(drawing.nodes)  # the cited one and the nineteen best
    assert "Country 40" not in drawing.nodes
    page = Page(write_report({"title": "Many", "examples": [{"question": "Who?", "facts": facts}]}, tmp_path))
    assert "20 facts drawn, 40 more left out" in page.text


def test_a_cited_fact_two_hops_away_keeps_the_fact_that_leads_to_it() -> None:
    facts = [fact("Italy", "borders", f"Country {i}", 0.9) for i in range(30)]
    facts += [fact("Italy", "borders", "Malta", 0.01), fact("Malta", "capital", "Valletta", 0.02, cited=True, hop=2)]
    drawing = arrange(facts, answer="valletta")
    assert ("Italy", "Malta") in {(edge.near, edge.far) for edge in drawing.edges}
    assert drawing.nodes["Valletta"].role == "answer"
    assert [key for key, node in drawing.nodes.items() if node.role == "anchor"] == ["Italy"]


def test_columns_follow_the_hops_and_a_fact_within_a_column_repeats_its_end() -> None:
    drawing = arrange(ITALY)
    at = {node.lines[0]: node.x for node in drawing.nodes.values() if not node.is_repeat}
    assert at["Italy"] < at["France"] == at["Rome"] == at["Switzerland"] < at["Paris"]
    repeats = [node for node in drawing.nodes.values() if node.is_repeat]
    assert [(node.lines, node.x) for node in repeats] == [(["Switzerland"], at["Paris"])]
    assert [edge.label for edge in drawing.edges if edge.is_cited] == ["capital"]


def test_arrowheads_point_at_the_tail_even_when_the_walk_goes_backwards() -> None:
    drawing = arrange([fact("Rome", "part of", "Italy")], anchors=["Italy"])
    assert [(edge.near, edge.far, edge.points_far) for edge in drawing.edges] == [("Italy", "Rome", False)]


@pytest.mark.parametrize("num_facts", [1, 7, 20, 60])
def test_boxes_and_relation_names_never_overlap(num_facts: int) -> None:
    facts = [
        fact(
            f"Entity {i // 4}",
            f"is a rather wordy relation {i % 3}",
            f"Entity {i * 7 % 23 + 1} with a long long name",
            i / 60,
        )
        for i in range(num_facts)
    ]
    drawing = arrange(facts)
    boxes = [(n.x, n.y - n.height / 2, n.x + n.width, n.y + n.height / 2) for n in drawing.nodes.values()]
    boxes += [(e.end[0] - text_width(e.label, 11) - 16, e.end[1] - 7, e.end[0], e.end[1] + 7) for e in drawing.edges]
    for i, (left, top, right, bottom) in enumerate(boxes):
        assert left >= 0 and top >= 0 and right <= drawing.width and bottom <= drawing.height
        for l2, t2, r2, b2 in boxes[:i]:
            assert right <= l2 or r2 <= left or bottom <= t2 or b2 <= top


def test_equal_numbers_are_different_boxes_and_a_repeated_fact_is_one() -> None:
    facts = [fact("Milk", "sugar", "5"), fact("Milk", "protein", "5"), fact("Milk", "sugar", "5", cited=True)]
    drawing = arrange(facts)
    assert [node.lines for node in drawing.nodes.values()] == [["Milk"], ["5"], ["5"]]
    assert [(edge.label, edge.is_cited) for edge in drawing.edges] == [("sugar", True), ("protein", False)]


def test_odd_facts_are_drawn_too() -> None:
    assert arrange([]).num_shown == 0
    loop = arrange([fact("A", "same as", "A"), fact("B", "is", "日本 $x$"), fact("", "", "")], anchors=["A", "nowhere"])
    assert loop.num_shown == 3
    assert sum(node.role == "anchor" for node in loop.nodes.values()) == 3  # facts that hang on nothing start anew


def test_numbers_are_written_as_people_read_them() -> None:
    assert [number(v) for v in (117659, 0.034561, 1234.56, 3.0, None)] == ["117,659", "0.0346", "1,234.6", "3", "–"]
    assert [percent(v) for v in (0.8734, 1, 0, 0.0004, 0.9999, 0.99999, None)] == [
        "87.3 %",
        "100 %",
        "0 %",
        "0.04 %",
        "99.99 %",
        "> 99.99 %",
        "–",
    ]
    assert [seconds(v) for v in (3.214, 45.3, 125, 3599.9, 5000)] == [
        "3.21 s",
        "45.3 s",
        "2 min 5 s",
        "1 h 0 min",
        "1 h 23 min",
    ]
    assert interval([0.84, 0.9021]) == "84.0–90.2 %"


def test_names_are_cut_and_read_from_iris() -> None:
    assert short_name("https://schema.org/countryOfOrigin") == "country of origin"
    assert short_name("http://example.org/thing#Oat_Milk") == "Oat Milk"
    assert short_name("see http://example.org for more") == "see http://example.org for more"
    assert shorten("a republic in southern Europe", 16) == "a republic in…"
    assert wrap("a republic in southern Europe on the peninsula", 18, 2) == ["a republic in", "southern Europe…"]


def test_the_running_mean_does_not_lag() -> None:
    assert smooth([0.0, 1.0, 2.0, 3.0, 4.0], reach=2) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert smooth([0.0, 3.0, 0.0], reach=5) == [0.0, 1.0, 0.0]


def test_importing_the_report_does_not_import_matplotlib() -> None:
    code = "import sys, kemm.report; print(sorted({'matplotlib', 'jinja2', 'networkx', 'PIL'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"
