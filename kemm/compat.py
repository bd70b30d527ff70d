"""Let torchvision be imported beside a torch that its compiled operators were not built for.

timm and transformers import torchvision. The torchvision of the package index is compiled for CUDA; with a CPU-only
torch its operator library can't be loaded, and the import then dies with "operator torchvision::nms does not exist",
because torchvision registers shape functions for ``nms`` and ``qnms`` whether the library was loaded or not. Once the
two operators have a schema, the registration succeeds and everything imports. They stay without a kernel: calling
``torchvision.ops.nms`` fails clearly, as it must; kemm never does.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

#: The operators that torchvision registers shape functions for without looking whether they were loaded.
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

# A schema lives as long as the torch.library.Library that declared it.
_declared: list[Any] = []


def mend_torchvision() -> bool:
    """Declare torchvision's missing operators; call this before timm, transformers or torchvision is imported.

    A no-op where torchvision's own operators load, where torchvision isn't installed, and from the second call on.

    Returns:
        Whether the operators are (now, or by an earlier call) the ones declared here.
    """
    if _declared or "torchvision" in sys.modules:
        return bool(_declared)
    import torch

    if _own_operators_load():
        return False
    # An import that died half-way leaves submodules behind that would be taken for whole ones.
    for name in [name for name in sys.modules if name.startswith("torchvision.")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    _declared.append(library)
    return True


def _own_operators_load() -> bool:
    """Load torchvision's operator library without running any of torchvision's Python; True too if there is none."""
    import torch

    spec = importlib.util.find_spec("torchvision")  # does not import a top-level package
    if spec is None or not spec.submodule_search_locations:
        return True
    libraries = [path for folder in spec.submodule_search_locations for path in Path(folder).glob("_C*")]
    for library in libraries:
        if library.suffix in {".so", ".pyd", ".dylib"}:
            try:
                torch.ops.load_library(str(library))  # torchvision loading it once more does nothing
            except OSError:
                continue
    return hasattr(torch.ops.torchvision, "nms")
