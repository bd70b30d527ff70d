"""One comparison of a system of ours with its reference: the same weights, the same input, the same numbers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kemm.systems.names import Names, translate
from kemm.systems.published import read_published

#: The largest difference of outputs and losses, and of gradients, that counts as equal, in float32.
OUTPUTS, GRADIENTS = 1e-5, 1e-4


@dataclass(frozen=True)
class Pair:
    """A reference with random weights and our system of the same configuration, not yet given them.

    Attributes:
        reference, ours: the modules.
        run_reference, run_ours: name → tensor, the same names from both. ``loss`` is differentiated if there is one,
            else a fixed random combination of all outputs.
        names, ignored: the system's table, as `kemm.systems.names.translate` takes them.
    """

    reference: nn.Module
    ours: nn.Module
    run_reference: Callable[[Any], Mapping[str, Tensor]]
    run_ours: Callable[[Any], Mapping[str, Tensor]]
    names: Names
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """What is compared: a system, its reference by package and class, and the building of both."""

    system: str
    reference: str
    build: Callable[[], Pair]


@dataclass(frozen=True)
class Agreement:
    """The largest absolute differences. A gradient's is divided by its own largest entry where that is above 1."""

    outputs: dict[str, float]
    gradients: float
    worst: str  # the parameter whose gradient differs most
    parameters: int

    @property
    def holds(self) -> bool:
        return max(self.outputs.values()) <= OUTPUTS and self.gradients <= GRADIENTS


def compare(case: Case, seed: int = 0) -> Agreement:
    """Build both, copy the weights by the table of names, run both in float32 without dropout, and differentiate."""
    torch.manual_seed(seed)
    pair = case.build()
    randomise(pair.reference, seed)
    reference, ours = pair.reference.float().eval(), pair.ours.float().eval()
    ours.load_state_dict(translate(published(reference), pair.names, ours.state_dict(), pair.ignored))
    wanted, found = pair.run_reference(reference), pair.run_ours(ours)
    assert wanted.keys() == found.keys(), f"{case.system}: {sorted(wanted)} against {sorted(found)}"
    outputs = {name: _difference(wanted[name], found[name]) for name in wanted}

    for outcome, module in ((wanted, reference), (found, ours)):
        module.zero_grad()
        _scalar(outcome, seed).backward()
    own = {name: _gradient(p) for name, p in ours.named_parameters()}
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.copy_(_gradient(parameter))
    translated = translate(published(reference), pair.names, own, ("*",))
    differences = {name: _difference(translated[name], own[name]) / _scale(translated[name]) for name in own}
    worst = max(differences, key=differences.__getitem__)
    return Agreement(outputs, differences[worst], worst, sum(p.numel() for p in ours.parameters()))


def published(reference: nn.Module) -> dict[str, Tensor]:
    """The weights under the names that a checkpoint of the reference has on disk, which may not be those in memory."""
    if not hasattr(reference, "save_pretrained"):
        return {name: value.clone() for name, value in reference.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        reference.save_pretrained(folder)
        return read_published(Path(folder))[1]


def randomise(module: nn.Module, seed: int) -> None:
    """Give every parameter random numbers: gates at zero would hide much."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("weight") and parameter.dim() == 1:
                parameter.copy_(1 + 0.1 * noise)  # a norm's gain
            else:
                parameter.copy_(noise * (0.3 if parameter.dim() < 2 else parameter.shape[-1] ** -0.5))


def _scalar(outcome: Mapping[str, Tensor], seed: int) -> Tensor:
    if "loss" in outcome:
        return outcome["loss"]
    generator = torch.Generator().manual_seed(seed + 1)
    parts = [(o.float() * torch.randn(o.shape, generator=generator)).mean() for _, o in sorted(outcome.items())]
    return torch.stack(parts).sum()


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _difference(wanted: Tensor, found: Tensor) -> float:
    assert wanted.shape == found.shape, f"{tuple(wanted.shape)} against {tuple(found.shape)}"
    return (wanted - found).abs().max().item() if wanted.numel() else 0.0


def _scale(gradient: Tensor) -> float:
    return max(1.0, gradient.abs().max().item())
