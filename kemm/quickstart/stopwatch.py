"""Seconds and peak memory of a stretch of work, this process's own."""

from __future__ import annotations

import threading
import time
from typing import Any

import psutil


class Stopwatch:
    """Measure a ``with`` block: ``seconds``, and ``peak_mb`` of resident memory, sampled ten times a second."""

    seconds = 0.0
    peak_mb = 0.0

    def __enter__(self) -> Stopwatch:
        self._process, self._stop = psutil.Process(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._started = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._thread.join()
        self.seconds, self.peak_mb = round(time.perf_counter() - self._started, 2), round(self.peak_mb, 1)

    def _watch(self) -> None:
        while True:
            self.peak_mb = max(self.peak_mb, self._process.memory_info().rss / 1e6)
            if self._stop.wait(0.1):
                return
