"""Fusion: how vision, language and knowledge tokens meet, named in ``FUSIONS``."""

from __future__ import annotations

#: name → "module:Class"
FUSIONS = {"multiway": "kemm.fuse.multiway:MultiwayTransformer"}
