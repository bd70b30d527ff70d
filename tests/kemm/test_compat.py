"""torchvision imports beside a CPU-only torch, and a torchvision whose own operators load is left alone."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

if importlib.util.find_spec("torchvision") is None:
    pytest.skip("torchvision is not installed", allow_module_level=True)


def python(code: str) -> str:
    """What ``code`` prints in a fresh interpreter, where nothing has been imported yet."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_torchvision_imports_after_mending_even_if_an_earlier_import_died_half_way() -> None:
    printed = python(
        "try:\n    import torchvision\n"
        "except RuntimeError:\n    pass\n"
        "from kemm.compat import mend_torchvision\n"
        "mend_torchvision()\n"
        "import torchvision.transforms as transforms, torch\n"
        "print(tuple(transforms.Resize((4, 6))(torch.zeros(3, 8, 8)).shape))"
    )
    assert printed == "(3, 4, 6)"


def test_mending_twice_changes_nothing() -> None:
    printed = python(
        "from kemm.compat import mend_torchvision as mend\n"
        "first = mend(); print(first == mend())\n"
        "import torch; print(hasattr(torch.ops.torchvision, 'nms'))"
    )
    assert printed.split() == ["True", "True"]


def test_operators_that_exist_are_left_alone() -> None:
    printed = python(
        "import torch\n"
        "own = torch.library.Library('torchvision', 'DEF')\n"
        "own.define('nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')\n"
        "from kemm.compat import mend_torchvision\n"
        "print(mend_torchvision())"
    )
    assert printed == "False"
