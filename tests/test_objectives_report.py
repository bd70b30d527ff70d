"""The page and the table of objectives that were each trained alone."""

from __future__ import annotations

import re
from typing import Any

from benchmarks.objectives_report import page, table

FOUND: dict[str, Any] = {
    "learns <well>": {
        "curves": {
            "loss": [[0, 2.0], [60, 1.0], [120, 0.5]],
            "accuracy": [[0, 0.1], [60, 0.4], [120, 0.9]],
            "chance": [[0, 0.25], [60, 0.25], [120, 0.25]],
            "codes_used": [[0, 3.0], [60, 3.0], [120, 4.0]],
        },
        "seconds": 7.4,
        "steps": 120,
    },
    "says the mean": {
        "curves": {"loss": [[0, 2.0], [200, 0.7]], "loss_of_the_mean": [[0, 0.6], [200, 0.6]]},
        "seconds": 3.0,
        "steps": 200,
    },
}


def test_the_table_has_the_first_and_last_held_out_figures() -> None:
    rows = table(FOUND).splitlines()[2:]
    assert rows == [
        "| learns <well> | 120 | 2.000 | 0.500 | 0.900 | 0.250 | 7 |",
        "| says the mean | 200 | 2.000 | 0.700 | – | loss of the mean 0.600 | 3 |",
    ]


def test_what_ends_no_better_than_chance_or_the_mean_is_marked_and_nothing_else() -> None:
    good, bad = page(FOUND).split("<section>")[1:]
    assert "<figcaption class=bad>loss 2.000 → <b>0.700</b>" in bad and "class=bad" not in good


def test_curves_are_drawn_over_what_they_are_to_beat_and_stay_in_their_frame() -> None:
    good = page(FOUND).split("<section>")[1]
    assert good.count("<figure>") == 2 and "codes used 3.000 → 4.000" in good and "learns &lt;well&gt;" in good
    width, height = map(int, re.findall(r"<svg width=(\d+) height=(\d+)", good)[0])
    drawn = [
        tuple(map(float, place.split(","))) for line in re.findall(r"points='([^']+)'", good) for place in line.split()
    ]
    assert len(drawn) == 9 and all(0 <= x <= width and 0 <= y <= height for x, y in drawn)
    loss = re.findall(r"<polyline points='([^']+)'", good)[0].split()
    assert [place.split(",")[1] for place in loss] == ["2.0", "48.7", "72.0"]  # 1.0 is two thirds of the way down
