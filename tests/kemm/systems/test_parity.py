"""The same numbers from the same weights as the reference implementation, for every system."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.parity import cases
from benchmarks.parity_case import Case, compare
from kemm.systems.saved import import_weights

#: References with files in the Hugging Face layout: not timm's, open_clip's and torchscale's, nor a Q-Former alone.
HUGGING_FACE = [
    case for case in cases() if "QFormer" not in case.reference and case.reference.startswith("transformers ")
]


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.system}: {case.reference}")
def test_the_same_weights_give_the_same_numbers_and_gradients(case: Case):
    try:
        found = compare(case)
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    assert max(found.outputs.values()) <= 1e-5, found.outputs
    assert found.gradients <= 1e-4, found.worst


@pytest.mark.parametrize("case", HUGGING_FACE, ids=lambda case: f"{case.system}: {case.reference}")
def test_what_the_reference_saves_is_imported_saved_and_loaded_as_it_was(case: Case, tmp_path: Path):
    pair = case.build()
    pair.reference.save_pretrained(tmp_path / "published")
    import_weights(case.system, tmp_path / "published", tmp_path / "ours")
    loaded = type(pair.ours).from_pretrained(tmp_path / "ours")
    wanted = type(pair.ours).from_published(tmp_path / "published").state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in loaded.state_dict().items())
