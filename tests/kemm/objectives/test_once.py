"""With all objectives on at once, no tower runs twice on the same input, and nothing is fused twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from kemm.data.batch import Batch
from kemm.data.samples import Samples
from kemm.objectives import OBJECTIVES
from kemm.pretrain.task import PretrainTask
from kemm.settings import Settings
from tests.kemm import tiny_batch
from tests.kemm.test_task import alike
from tests.kemm.tiny_towers import TinyText

SIDE = 4
OPTIONS: dict[str, dict[str, Any]] = {
    "itc": {"alpha": 0.4, "queue": 8},
    "itm": {"negatives": "queue", "queue": 8},
    "mlm": {"alpha": 0.4},
    "next_sentence": {"links": True},
    "adversarial": {"of": {"mlm": {}}, "steps": 2},
}


class Colours(nn.Module):
    """Pixels (B, 4, 4, 3) → 2 × 2 patches of six numbers: (B, 6, 2, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.randn(tiny_batch.VISION_WIDTH, 3, generator=torch.Generator().manual_seed(7)))

    def forward(self, pixels: Tensor) -> Tensor:
        colours = nn.functional.avg_pool2d(pixels.permute(0, 3, 1, 2).float() / 255, SIDE // 2)
        return torch.einsum("wc,bcyx->bwyx", self.mix, colours)


def tuned(names: list[str]) -> PretrainTask:
    """All of these objectives on towers that are trained with the model, so that they run in every step."""
    torch.manual_seed(0)
    chosen = tiny_batch.settings([]).model_dump()
    chosen["model"]["towers"] |= {"vision": {"mode": "tuned"}, "language": {"mode": "tuned"}}
    chosen["objectives"] = {name: OPTIONS.get(name, {}) for name in names}
    towers: dict[str, Any] = {"vision": Colours(), "language": TinyText(tiny_batch.TEXT_WIDTH, tiny_batch.NUM_WORDS)}
    context = replace(tiny_batch.context(), towers=towers, has_pixels=True)
    return PretrainTask(Settings.model_validate(chosen), context)


def with_pixels(batch: Batch) -> Batch:
    """The same batch; pictures have pixels beside features."""
    generator = torch.Generator().manual_seed(1)

    def shown(samples: Samples) -> Samples:
        part = samples.parts["vision"]
        pixels = torch.randint(0, 256, (len(part.present), SIDE, SIDE, 3), generator=generator, dtype=torch.uint8)
        return replace(samples, parts={**samples.parts, "vision": replace(part, raw=pixels)})

    assert batch.samples is not None and batch.questions is not None
    questions = replace(batch.questions, samples=shown(batch.questions.samples))
    return replace(batch, samples=shown(batch.samples), questions=questions)


def test_with_all_objectives_on_nothing_is_computed_twice() -> None:
    task = tuned(list(OBJECTIVES)).train()
    runs: list[tuple[nn.Module, tuple[Tensor, ...]]] = []
    assert task.slow is not None
    for model in (task.model, task.slow.copy):
        for name in ("vision", "language"):
            model.entrance(name).tower.register_forward_hook(lambda tower, given, _: runs.append((tower, given)))
    fusions = [tiny_batch.count_fusions(model) for model in (task.model, task.slow.copy)]
    encoded = task.encode(with_pixels(tiny_batch.batch(is_told=True)), torch.Generator().manual_seed(0))
    for name in task.objectives:
        assert torch.isfinite(task.objectives[name](encoded)), name
    twice = [
        (type(tower).__name__, [tuple(each.shape) for each in given])
        for number, (tower, given) in enumerate(runs)
        for other, earlier in runs[:number]
        if tower is other and all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(given, earlier, strict=True))
    ]
    assert len(runs) > 4 and not twice
    for calls in fusions:
        assert calls and not [1 for n, one in enumerate(calls) for other in calls[:n] if alike(one, other)]
    of_towers = sum(count for name, count in encoded.calls.items() if name.endswith("tower"))
    of_towers += sum(count for name, count in encoded.slow.calls.items() if name.endswith("tower"))
    assert of_towers == len(runs)  # what Encoded counts is what ran
    assert encoded.calls["fusion"] == len(fusions[0])
