"""The measures of ``benchmarks/kg.py``, each in a process of its own:

    python -m benchmarks.kg_measures NAME JSON

A measure gets the paths it needs, returns ``{"value": …}`` in the unit that its row in ``kg.py`` states, and may add
``"note"``. Nothing is imported before it is asked for, so that a process holds only what its measure uses. Peers run
under any Python that has them, so nothing of theirs touches ``kg``.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

from benchmarks.kg_inputs import Skipped, peak

#: The first word of a measure's name → where it is.
MODULES = {
    "load": "kg_loading",
    "parse": "kg_loading",
    "disk": "kg_loading",
    "choose": "kg_walking",
    "hops": "kg_walking",
    "ppr": "kg_walking",
    "open": "kg_asking",
    "sparql": "kg_asking",
}


def main() -> None:
    """Run one measure and print its result as JSON, with the most memory that the process ever held, in MB."""
    name, paths = sys.argv[1], json.loads(sys.argv[2])
    try:
        result = getattr(import_module(f"benchmarks.{MODULES[name.split('_')[0]]}"), name)(paths)
    except (Skipped, ModuleNotFoundError) as error:
        result = {"skipped": str(error)}
    # A process starts with its parent's peak in this count, so that the parent must stay small.
    result["peak_mb"] = peak() / 2**20
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
