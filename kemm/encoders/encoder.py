"""What every tower owes: one modality's input becomes tokens and one vector; how deep each weight of it lies."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from kg.errors import InputError


class Features(NamedTuple):
    """What a tower makes of B inputs.

    Attributes:
        tokens: ``(B, L, D)``: patches, words, regions, nodes; the tower's own class tokens first where it has some.
        pooled: ``(B, D)``: one vector for the whole.
        mask: ``(B, L)`` bool, true at real tokens.
    """

    tokens: Tensor
    pooled: Tensor
    mask: Tensor


class Encoder(nn.Module):
    """The contract of a tower.

    An input's features don't depend on the others in its batch, nor on what stands where its mask is false. Weights
    train where they require gradients: see ``freeze``.

    Attributes:
        name: identifies weights and preprocessing; part of every cache key.
        modality: "vision", "language", "audio", "video" or "knowledge".
        width: D.
    """

    name: str
    modality: str
    width: int
    _resting: tuple[nn.Module, ...] = ()

    def features(self, *inputs: Any) -> Features:
        """Encode a batch; each kind of tower says what of."""
        raise TypeError(f"{type(self).__name__} must define features")

    def forward(self, *inputs: Any) -> Any:
        """``features``, except where a tower says otherwise."""
        return self.features(*inputs)

    def depths(self) -> dict[str, int]:
        """How deep each parameter lies: 0 before the blocks, 1 … n in them, n + 1 after.

        The blocks are the longest list of modules in the tower.
        """
        lists = [(len(part), name) for name, part in self.named_modules() if isinstance(part, nn.ModuleList)]
        if not lists:
            return {name: 0 for name, _ in self.named_parameters()}
        count, blocks = max(lists, key=lambda entry: entry[0])
        depths, depth = {}, 0
        for name, _ in self.named_parameters():  # in the order in which they were registered
            if name.startswith(blocks + "."):
                depth = int(name.removeprefix(blocks + ".").partition(".")[0]) + 1
            elif depth:
                depth = count + 1
            depths[name] = depth
        return depths

    def freeze(self, train_last: int = 0) -> Self:
        """Train nothing but the last blocks, and what stands after them; 0 trains nothing at all.

        Parts without a weight that trains stay in evaluation mode (no dropout, batch statistics as they are), whatever
        ``train`` is told.

        Raises:
            InputError: there are fewer blocks than that.
        """
        depths = self.depths()
        count = num_blocks(depths)
        if train_last > count:
            raise InputError(
                f"{self.name} has {count} blocks; the last {train_last} can't be trained, give at most that"
            )
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(train_last > 0 and depths[name] > count - train_last)
        self._resting = tuple(part for part in self.modules() if not any(p.requires_grad for p in part.parameters()))
        return self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for part in self._resting:
            part.training = False
        return self


def num_blocks(depths: dict[str, int]) -> int:
    """n of ``Encoder.depths``: nothing lies deeper than n + 1, and nothing but what stands after the blocks so deep."""
    deepest = max(depths.values(), default=0)
    return max(0, deepest - 1)


def layer_groups(encoder: Encoder, decay: float, weight_decay: float = 0.0) -> list[dict[str, Any]]:
    """Groups for an optimizer in which lower layers learn more slowly (BEiT, arXiv:2106.08254, appendix).

        scale = decay^(n + 1 − depth)

    As in ``kemm.pretrain.optimizer``: the loop multiplies each group's learning rate by its ``scale``; norms, biases
    and single numbers are not decayed. Frozen weights are in no group.

    Args:
        decay: rate of a layer as a share of the next one's, 0 < decay ≤ 1; BEiT fine-tunes with 0.65 to 0.85.

    Raises:
        InputError: the decay is out of range.
    """
    if not 0 < decay <= 1:
        raise InputError(f"a layer-wise decay of {decay} can't be; give one above 0, at most 1 (1: all layers alike)")
    depths = encoder.depths()
    deepest = max(depths.values(), default=0)
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in encoder.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((depths[name], parameter.dim() > 1), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": weight_decay if is_decayed else 0.0, "scale": decay ** (deepest - depth)}
        for (depth, is_decayed), parameters in sorted(groups.items(), key=lambda entry: entry[0])
    ]


def mean_over(tokens: Tensor, mask: Tensor) -> Tensor:
    """The mean of the real tokens, (B, L, D) and (B, L) → (B, D); zeros where there is none."""
    weights = mask.unsqueeze(-1).to(tokens.dtype)
    return torch.where(mask.unsqueeze(-1), tokens, 0.0).sum(1) / weights.sum(1).clamp(min=1)
