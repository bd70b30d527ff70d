"""kemm: knowledge-enhanced multimodal pre-training. Ingest knowledge graphs, pre-train, ask with citations."""

from __future__ import annotations

__version__ = "0.1.0"
