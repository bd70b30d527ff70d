"""Data: pictures, captions and questions, generated from a graph, and the batches made of them."""

from __future__ import annotations
