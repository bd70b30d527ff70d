"""Dataclasses of tensors that go to a device whole."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor


class Movable:
    """A dataclass of tensors that goes to a device whole."""

    def to(self, device: torch.device | str) -> Any:
        moved: dict[str, Any] = {}
        for item in fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            if isinstance(value, Tensor | Movable):
                moved[item.name] = value.to(device)
            elif isinstance(value, dict):
                moved[item.name] = {key: part.to(device) for key, part in value.items()}
        return replace(self, **moved)  # type: ignore[type-var]
