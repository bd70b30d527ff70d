"""Progress goes to standard error, and where there is no terminal only long stretches of work say a line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kemm import progress
from kemm.progress import bars, silent


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """``wait(seconds)`` lets time pass without waiting."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    return passes


def test_a_long_stretch_says_one_line_when_it_ends(
    wait: Callable[[float], None], capfd: pytest.CaptureFixture[str]
) -> None:
    with bars() as shown:  # a test has no terminal
        tick = shown("encode pictures", 1200)
        tick(700)
        wait(3.5)
        assert capfd.readouterr().err == ""
        tick(500, "done")
        tick(0)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "encode pictures: 1,200 in 3.5 s done\n")


def test_what_takes_under_two_seconds_says_nothing(
    wait: Callable[[float], None], capfd: pytest.CaptureFixture[str]
) -> None:
    with bars() as shown:
        tick = shown("encode texts", 2)
        wait(1.9)
        tick(2)
        shown("nothing to do", 0)(0)
    assert capfd.readouterr() == ("", "")


def test_silence_takes_the_same_calls(capfd: pytest.CaptureFixture[str]) -> None:
    tick = silent("anything", 3)
    tick()
    tick(2, "note")
    assert capfd.readouterr() == ("", "")
