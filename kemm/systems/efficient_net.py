"""EfficientNet: a convolutional encoder of pictures, as ALIGN's was published."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse.feed_forward import ACTIVATIONS
from kemm.systems.names import Source
from kemm.systems.system import activation
from kg.errors import InputError

#: What a checkpoint's config.json may leave unsaid: EfficientNet-B7.
DEFAULTS = {
    "num_channels": 3,
    "width_coefficient": 2.0,
    "depth_coefficient": 3.1,
    "depth_divisor": 8,
    "kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
    "in_channels": [32, 16, 24, 40, 80, 112, 192],
    "out_channels": [16, 24, 40, 80, 112, 192, 320],
    "depthwise_padding": [],
    "strides": [1, 2, 2, 2, 1, 2, 1],
    "num_block_repeats": [1, 2, 2, 3, 3, 4, 1],
    "expand_ratios": [1, 6, 6, 6, 6, 6, 6],
    "squeeze_expansion_ratio": 0.25,
    "hidden_act": "swish",
    "hidden_dim": 2560,
    "batch_norm_eps": 0.001,
    "batch_norm_momentum": 0.99,
    "drop_connect_rate": 0.2,
}


class Convolution(nn.Module):
    """A convolution without bias, then BatchNorm."""

    def __init__(self, inner: nn.Conv2d, eps: float, momentum: float = 0.1) -> None:
        super().__init__()
        self.convolve = inner
        self.norm = nn.BatchNorm2d(inner.out_channels, eps=eps, momentum=momentum)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, rows, columns) → the same with other numbers."""
        return self.norm(self.convolve(x))


class InvertedBottleneck(nn.Module):
    """MBConv: wider, each channel by itself, channels weighed, narrower; added to its input where both are alike.

        y = BN(W_2 (z ⊙ σ(U_2 a(U_1 mean z)))),   z = a(BN(K * a(BN(W_1 x))))

    Args:
        width, out: channels.
        expand: how many times wider; 1: no W_1.
        kernel, stride: of K.
        is_shifted: at stride 2, pad one less on the left and above, as TensorFlow does for even sides.
        squeezed: channels of U_1.
        is_first: of its group: not added to its input.
        drop: share dropped before it is added, in training.
    """

    def __init__(
        self,
        width: int,
        out: int,
        expand: int,
        kernel: int,
        stride: int,
        *,
        is_shifted: bool,
        squeezed: int,
        is_first: bool,
        drop: float,
        act: str,
        eps: float,
        momentum: float,
    ) -> None:
        super().__init__()
        inner = width * expand
        self.act, self.is_added = ACTIVATIONS[act], stride == 1 and not is_first
        self.widen = Convolution(nn.Conv2d(width, inner, 1, bias=False), eps) if expand != 1 else None
        # Padded by ``_pad`` at stride 2
        own = nn.Conv2d(inner, inner, kernel, stride, 0 if stride == 2 else kernel // 2, groups=inner, bias=False)
        self.depthwise = Convolution(own, eps, momentum)
        less = kernel // 2 - 1 if is_shifted else kernel // 2
        self.padding = (less, kernel // 2, less, kernel // 2) if stride == 2 else None
        self.squeeze, self.excite = nn.Conv2d(inner, squeezed, 1), nn.Conv2d(squeezed, inner, 1)
        self.narrow = Convolution(nn.Conv2d(inner, out, 1, bias=False), eps, momentum)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, rows, columns) → (B, C', rows / stride, columns / stride)."""
        z = x if self.widen is None else self.act(self.widen(x))
        z = z if self.padding is None else functional.pad(z, self.padding)
        z = self.act(self.depthwise(z))
        z = z * self.excite(self.act(self.squeeze(z.mean((2, 3), keepdim=True)))).sigmoid()
        y = self.narrow(z)
        return x + self.drop(y) if self.is_added else y


class EfficientNet(nn.Module):
    """A convolution at stride 2, then inverted bottlenecks (Tan and Le, 2019, arXiv:1905.11946); no last convolution.

    Args:
        config: keys as in ``vision_config`` of an ALIGN checkpoint's ``config.json``.

    Attributes:
        width: channels at the end.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        config = {**DEFAULTS, **config}
        act, eps, momentum = activation(config), config["batch_norm_eps"], config["batch_norm_momentum"]
        stem = nn.Conv2d(config["num_channels"], scaled(32, config), 3, 2, bias=False)
        self.stem, self.act = Convolution(stem, eps, momentum), ACTIVATIONS[act]
        depth = config["depth_coefficient"]
        repeats = [math.ceil(depth * n) for n in config["num_block_repeats"]]
        self.blocks = nn.ModuleList()
        for group, repeat in enumerate(repeats):
            width, out = (scaled(config[f"{side}_channels"][group], config) for side in ("in", "out"))
            for number in range(repeat):
                self.blocks.append(
                    InvertedBottleneck(
                        out if number else width,
                        out,
                        config["expand_ratios"][group],
                        config["kernel_sizes"][group],
                        1 if number else config["strides"][group],
                        is_shifted=len(self.blocks) not in config["depthwise_padding"],
                        squeezed=max(1, int((out if number else width) * config["squeeze_expansion_ratio"])),
                        is_first=number == 0,
                        drop=config["drop_connect_rate"] * len(self.blocks) / sum(repeats),
                        act=act,
                        eps=eps,
                        momentum=momentum,
                    )
                )
        self.width, self.smallest = out, 2 * math.prod(config["strides"])  # pixels that become one place

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, rows, columns) normalised pixels → (B, C, rows / 32, columns / 32).

        Raises:
            InputError: a picture is smaller than one place.
        """
        rows, columns = pictures.shape[-2:]
        if min(rows, columns) < self.smallest:
            raise InputError(
                f"a picture of {rows} × {columns} pixels is too small: give at least {self.smallest} a side"
            )
        x = self.act(self.stem(functional.pad(pictures, (0, 1, 0, 1))))
        for block in self.blocks:
            x = block(x)
        return x


def scaled(channels: int, config: Mapping[str, Any]) -> int:
    """Channels times the width's factor, rounded to a multiple of the divisor, but not down by more than a tenth."""
    wanted, step = channels * config["width_coefficient"], config["depth_divisor"]
    rounded = max(step, int(wanted + step / 2) // step * step)
    return rounded + step if rounded < 0.9 * wanted else rounded


def efficient_net_names(ours: str, theirs: str) -> dict[str, Source]:
    """Hugging Face's names of an EfficientNet: our prefix and theirs, each ending in a dot or empty."""
    block, layer = f"{ours}blocks.{{i}}.", f"{theirs}encoder.blocks.{{i}}."
    convolutions = {
        f"{ours}stem": (f"{theirs}embeddings.convolution", f"{theirs}embeddings.batchnorm"),
        f"{block}widen": (f"{layer}expansion.expand_conv", f"{layer}expansion.expand_bn"),
        f"{block}depthwise": (f"{layer}depthwise_conv.depthwise_conv", f"{layer}depthwise_conv.depthwise_norm"),
        f"{block}narrow": (f"{layer}projection.project_conv", f"{layer}projection.project_bn"),
    }
    names: dict[str, Source] = {
        f"{block}squeeze": f"{layer}squeeze_excite.reduce",
        f"{block}excite": f"{layer}squeeze_excite.expand",
    }
    for own, (convolution, norm) in convolutions.items():
        names |= {f"{own}.convolve": convolution, f"{own}.norm": norm}
        names |= {f"{own}.norm.{part}": f"{norm}.{part}" for part in _STATISTICS}
    return names


_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
