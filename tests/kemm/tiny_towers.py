"""Two frozen towers small enough to check: words as random but fixed vectors, pictures as their colours."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.data.lexicon import Lexicon
from kemm.encoders.text import HuggingFaceText
from kemm.encoders.vision import Stage, VisionTower

PAD, MASK, START, END, FIRST_WORD = 0, 1, 2, 3, 4


class TinyText(HuggingFaceText):
    """A text tower of one table: a word's id is a hash of it, its state its row mixed with the mean of all rows.

    So two texts are as alike as the words they share, and a hidden word leaves a trace of nothing in its neighbours.
    """

    table: Tensor

    def __init__(self, width: int = 16, num_tokens: int = 997) -> None:
        nn.Module.__init__(self)  # no weights to load from a folder
        self.name, self.width, self.num_tokens = f"tiny-{width}", width, num_tokens
        self.mask_id, self.pad_id = MASK, PAD
        table = torch.randn(num_tokens, width, generator=torch.Generator().manual_seed(7))
        table[[PAD, START, END]] = 0.0
        self.register_buffer("table", table)
        self.num_encoded = 0  # texts, so that a test can see what was computed twice

    def tokenize(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        ids = []
        for text in texts:
            words = re.findall(r"\w+", text.lower())[: max_tokens - 2]
            hashes = [zlib.crc32(word.encode()) % (self.num_tokens - FIRST_WORD) for word in words]
            ids.append([START, *(FIRST_WORD + value for value in hashes), END])
        return ids

    def lexicon(self) -> Lexicon:
        is_special = torch.arange(self.num_tokens) < FIRST_WORD
        return Lexicon(MASK, is_special, torch.zeros_like(is_special))

    @torch.no_grad()
    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        self.num_encoded += len(ids)
        weights = mask.unsqueeze(-1).float()
        rows = self.table[ids] + 0.01  # a text without words has a direction too
        mean = (rows * weights).sum(1) / weights.sum(1)
        states = rows + 0.5 * mean[:, None]
        return states, mean

    @property
    def token_embeddings(self) -> Tensor:
        return self.table


class TinyVision(VisionTower):
    """A vision tower of no weights: red, green and blue of an 8 × 8 picture halved, and 21 fixed waves over them.

    So a linear layer can tell neighbouring colours apart.
    """

    name, width, size = "tiny-colours", 24, 8

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("waves", 5 * torch.randn(21, 3, generator=torch.Generator().manual_seed(7)))

    def forward(self, pixels: Tensor) -> Tensor:
        colours = F.avg_pool2d(pixels.permute(0, 3, 1, 2).float() / 255.0, 2)  # (B, 3, 4, 4)
        return torch.cat([colours, torch.cos(torch.einsum("wc,bcyx->bwyx", self.waves, colours))], dim=1)


class Blocks(VisionTower):
    """Five 1 × 1 convolutions over 8 × 8 pixels, a tanh after each: a stem, three blocks and a head."""

    name, width, size = "blocks", 6, 8

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.stem = nn.Conv2d(3, 6, 1)
        self.blocks = nn.ModuleList(nn.Conv2d(6, 6, 1) for _ in range(3))
        self.head = nn.Conv2d(6, 6, 1)
        self.num_stems = 0

    def _stem(self, pixels: Tensor) -> Tensor:
        self.num_stems += len(pixels)
        return torch.tanh(self.stem(pixels.permute(0, 3, 1, 2).float() / 255.0))

    def stages(self) -> list[Stage]:
        later = [self.blocks[0], self.blocks[1], self.blocks[2], self.head]
        return [Stage(self._stem, [self.stem]), *(Stage(nn.Sequential(one, nn.Tanh()), [one]) for one in later)]

    def forward(self, pixels: Tensor) -> Tensor:
        x = self._stem(pixels)
        for block in (*self.blocks, self.head):
            x = torch.tanh(block(x))
        return x


def paint(path: Path, colour: tuple[int, int, int], side: int = 12) -> str:
    """Write a picture of one colour, with a little fixed noise, and return its path."""
    from PIL import Image

    noise = np.random.default_rng(zlib.crc32(path.name.encode())).integers(-6, 7, size=(side, side, 3))
    pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return str(path)
