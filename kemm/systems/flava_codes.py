"""DALL·E's tokenizer of pictures, whose codes FLAVA learns to predict where patches are hidden."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.systems.names import Either, Names
from kemm.systems.system import System, refuse
from kg.errors import InputError

#: What a checkpoint's config.json may leave unsaid.
DEFAULTS = {"num_groups": 4, "input_channels": 3, "num_blocks_per_group": 2, "hidden_size": 256, "vocab_size": 8192}
GROUPS = 4


class ResidualConvolutions(nn.Module):
    """y = W_0 x + g F(x), F: four convolutions, each after a ReLU; W_0 only where the number of channels changes."""

    def __init__(self, width: int, out: int, gain: float) -> None:
        super().__init__()
        self.gain, inner = gain, out // 4
        self.enter = nn.Conv2d(width, out, 1) if width != out else nn.Identity()
        sizes = pairwise((width, inner, inner, inner))
        self.path = nn.ModuleDict({str(n): nn.Conv2d(a, b, 3, padding=1) for n, (a, b) in enumerate(sizes, 1)})
        self.path["4"] = nn.Conv2d(inner, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, rows, columns) → (B, C', rows, columns)."""
        y = x
        for convolution in self.path.values():
            y = convolution(functional.relu(y))
        return self.enter(x) + self.gain * y


_OURS, _THEIRS = "groups.{g}.{b}.", "blocks.group_{g}.group.block_{b}."
_PARTS = {
    "input": "blocks.input",
    f"{_OURS}enter": f"{_THEIRS}id_path",
    f"{_OURS}path.{{n}}": f"{_THEIRS}res_path.path.conv_{{n}}",
    "output": "blocks.output.conv",
}


class FLAVACodes(System):
    """The discrete VAE's encoder of DALL·E (Ramesh et al., 2021, arXiv:2102.12092), as FLAVA was trained with it.

        z = W ReLU(f(x)),   the code of a place: argmax_k z_k

    f: a convolution, then four groups of residual convolutions, the picture halved after each of the first three. It
    is read from a checkpoint of its own or from FLAVA's.
    """

    NAMES: ClassVar[Names] = {ours: Either(theirs, f"image_codebook.{theirs}") for ours, theirs in _PARTS.items()}
    IGNORED: ClassVar[tuple[str, ...]] = (
        "flava.*",
        *(f"{head}_head.*" for head in ("mim", "mlm", "itm", "mmm_image", "mmm_text", "global_contrastive")),
    )

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, count = config["hidden_size"], config["num_blocks_per_group"]
        gain = 1 / (GROUPS * count) ** 2
        self.input = nn.Conv2d(config["input_channels"], width, 7, padding=3)
        widths = [width * factor for factor in (1, 1, 2, 4, 8)]
        self.groups = nn.ModuleDict()
        for group, (before, after) in enumerate(pairwise(widths), 1):
            sizes = [before, *(after for _ in range(count - 1))]
            blocks = {str(b): ResidualConvolutions(size, after, gain) for b, size in enumerate(sizes, 1)}
            self.groups[str(group)] = nn.ModuleDict(blocks)
        self.output = nn.Conv2d(widths[-1], config["vocab_size"], 1)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        own = config.get("image_codebook_config") or {} if config.get("model_type") == "flava" else config
        refuse(own, "FLAVA's tokenizer", num_groups=GROUPS)
        return cls({**DEFAULTS, **own})

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Tokenize (B, 3, rows, columns), sides multiples of 8, pixels in 0.1 … 0.9.

        DALL·E maps pixels p of 0 … 1 to 0.8 p + 0.1 before.

        Returns:
            ``logits`` (B, V, rows / 8, columns / 8) and ``codes`` (B, P), the places row by row.

        Raises:
            InputError: the pictures have other channels or sides.
        """
        rows, columns = pictures.shape[-2:]
        if pictures.dim() != 4 or pictures.shape[1] != self.input.in_channels or rows % 8 or columns % 8:
            raise InputError(
                f"pictures of shape {tuple(pictures.shape)} can't be tokenized: (B, {self.input.in_channels}, rows, "
                "columns) is wanted, with sides that are multiples of 8"
            )
        x = self.input(pictures)
        for name, group in self.groups.items():
            assert isinstance(group, nn.ModuleDict)
            for block in group.values():
                x = block(x)
            if name != str(GROUPS):
                x = functional.max_pool2d(x, 2)
        logits = self.output(functional.relu(x))
        return {"logits": logits, "codes": logits.argmax(dim=1).flatten(1)}

    @torch.no_grad()
    def codes(self, pictures: Tensor) -> Tensor:
        """(B, 3, 8 · rows, 8 · columns) → (B, rows · columns), what `kemm.systems.flava.FLAVA` takes as ``codes``."""
        return self(pictures)["codes"]
