"""Graph encoders: message passing over a batch of retrieved subgraphs, named in ``GNNS``."""

from __future__ import annotations

#: name → "module:Class"
GNNS = {"compgcn": "kg.gnn.compgcn:CompGCN"}
