"""Published systems, each a choice of kemm's parts, and the names that their released weights have: ``SYSTEMS``."""

from __future__ import annotations

#: name → "module:Class"
SYSTEMS = {"beit3": "kemm.systems.beit3:BEiT3"}
