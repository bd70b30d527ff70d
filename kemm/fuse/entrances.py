"""How each modality comes into the fusion encoder: through a tower, frozen or tuned, or straight from the raw."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.data.samples import Part
from kemm.encoders.encoder import Encoder, mean_over
from kemm.encoders.regions import RegionTokens
from kemm.fuse.inputs import PatchInput, WordInput
from kemm.fuse.positions import check_positions
from kg.errors import InputError


class Held:
    """A frozen tower that is no part of the model: not saved, not copied, not trained."""

    def __init__(self, tower: Encoder) -> None:
        self.tower = tower

    def __deepcopy__(self, memo: dict[int, Any]) -> Held:
        return self


class Entrance(nn.Module):
    """What is given of a modality → states → tokens.

    Attributes:
        summaries: how many tokens stand before those of words, patches or frames.
        pooled_width: of one vector a thing before any fusion; 0 where there is no tower to make one.
        grid: rows and columns of patches, of a picture.
    """

    summaries = 1
    pooled_width = 0
    grid: tuple[int, int] = (0, 0)
    held: Held | None = None

    def __init__(self) -> None:
        super().__init__()
        self.tower: nn.Module | None = None  # not of the class: that would hide the part registered later

    def take_tower(self, tower: Encoder | None, is_tuned: bool) -> None:
        """A tuned tower is a part of the model, a frozen one is held beside it; none: cached states alone will do."""
        if tower is not None and is_tuned:
            self.tower = tower
        elif tower is not None:
            self.held = Held(tower)

    @property
    def is_frozen(self) -> bool:
        """Whether states don't depend on what is trained."""
        return self.pooled_width > 0 and self.tower is None

    def run(self, device: torch.device, *inputs: Tensor) -> Any:
        """What the tower makes of it.

        Raises:
            InputError: there is none, as in a model that was loaded by itself.
        """
        if self.tower is not None:
            return self.tower(*inputs)
        if self.held is None:
            raise InputError("this model stands on a frozen tower that it was not given; give cached states, or towers")
        with torch.no_grad():
            return self.held.tower.to(device)(*inputs)

    def read(self, part: Part, raw: Tensor | None = None) -> Tensor:
        """States of B things: the tower's, or the raw itself where there is none; ``raw`` replaces the part's."""
        raw = part.raw if raw is None else raw
        assert raw is not None
        return raw

    def mask(self, part: Part) -> Tensor:
        """(B, S + L) bool, true at the tokens of what is present."""
        raise TypeError(f"{type(self).__name__} must define mask")

    def pooled(self, states: Tensor, part: Part) -> Tensor:
        """(B, D_m), the mean state of real places."""
        real = part.mask if part.mask is not None else torch.ones(states.shape[:2], dtype=torch.bool).to(states.device)
        return mean_over(states, real)


class TowerPictures(Entrance):
    """Patch features of a tower → vision tokens: LN, projection, learned positions."""

    summaries = 0

    def __init__(self, features: int, grid: int, width: int, tower: Encoder | None, is_tuned: bool) -> None:
        super().__init__()
        self.pooled_width, self.grid = features, (grid, grid)
        self.norm = nn.LayerNorm(features)
        self.project = nn.Linear(features, width)
        self.position = nn.Parameter(torch.randn(grid * grid, width) * 0.02)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.take_tower(tower, is_tuned)

    def read(self, part: Part, raw: Tensor | None = None) -> Tensor:
        if part.states is not None and self.tower is None:
            return part.states
        pixels = super().read(part, raw)
        tower: Any = self.tower
        is_lower = tower is not None and pixels.is_floating_point()  # what enters the first trained block
        found = tower.upper(pixels) if is_lower else self.run(pixels.device, pixels)  # (B, D_m, h, w)
        return F.adaptive_avg_pool2d(found.float(), self.grid).flatten(2).transpose(1, 2)  # (B, P, D_m)

    def forward(self, states: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(B, P, D_m) → (B, P, D); ``hidden`` (B, P) bool hides patches."""
        tokens = self.project(self.norm(states))
        if hidden is not None:
            tokens = torch.where(hidden[..., None], self.mask_token, tokens)
        return tokens + self.position

    def mask(self, part: Part) -> Tensor:
        return part.present[:, None].expand(-1, len(self.position))


class TowerWords(Entrance):
    """Token states of a tower → language tokens, a summary token first."""

    def __init__(self, features: int, longest: int, width: int, tower: Any, is_tuned: bool) -> None:
        super().__init__()
        self.pooled_width = features
        self.project = nn.Linear(features, width)
        self.norm = nn.LayerNorm(width)
        self.position = nn.Parameter(torch.randn(longest + 1, width) * 0.02)
        self.summary = nn.Parameter(torch.randn(width) * 0.02)
        self.write = nn.Linear(features, width)  # of words to be written, which must not know what follows
        self.take_tower(tower, is_tuned)

    def read(self, part: Part, raw: Tensor | None = None) -> Tensor:
        if raw is None and part.states is not None and self.tower is None:
            return part.states
        assert part.mask is not None
        ids = super().read(part, raw)
        return self.run(ids.device, ids, part.mask)[0].float()

    def forward(self, states: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(B, T, D_m) → (B, 1 + T, D)."""
        tokens = self.norm(self.project(states))
        tokens = torch.cat([self.summary.to(tokens).expand(len(tokens), 1, -1), tokens], dim=1)
        return tokens + self.position[: tokens.shape[1]]

    def mask(self, part: Part) -> Tensor:
        assert part.mask is not None
        return F.pad(part.mask, (1, 0), value=True) & part.present[:, None]

    @property
    def table(self) -> Tensor:
        """(V, D_m), the tower's words."""
        tower: Any = self.tower if self.tower is not None else self.held.tower if self.held is not None else None
        if tower is None:
            raise InputError("this model stands on a frozen tower that it was not given: its words are not known")
        return tower.token_embeddings

    def words(self, ids: Tensor, offset: int = 0) -> Tensor:
        """(B, T) → (B, T, D): each word for itself, for a causal mask; the table itself learns nothing by it.

        Args:
            offset: the place of the first word, when some stand before it.
        """
        check_positions(offset + ids.shape[1], len(self.position) - 1)
        table = self.table.detach()
        vectors = F.layer_norm(table[ids.to(table.device)].float(), table.shape[1:]).to(ids.device)
        return self.norm(self.write(vectors)) + self.position[1 + offset : 1 + offset + ids.shape[1]]


class ScratchPictures(Entrance):
    """Pixels → patches by one linear map each, a class token first."""

    def __init__(self, size: int, patch: int, width: int) -> None:
        super().__init__()
        self.patches = PatchInput(size, patch, width)
        self.grid = self.patches.grid
        self.mask_token = nn.Parameter(torch.zeros(width))

    def forward(self, states: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(B, S, S, 3) uint8 → (B, 1 + P, D)."""
        pixels = states.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        return self.patches(pixels, hidden, self.mask_token)

    def mask(self, part: Part) -> Tensor:
        return part.present[:, None].expand(-1, 1 + self.grid[0] * self.grid[1])


class ScratchWords(Entrance):
    """Ids → a vector each with its place, a summary token first."""

    def __init__(self, num_words: int, longest: int, width: int) -> None:
        super().__init__()
        self.embed = WordInput(num_words, width, positions=longest, eps=1e-5)
        nn.init.normal_(self.embed.word.weight, std=0.02)
        self.summary = nn.Parameter(torch.randn(width) * 0.02)

    def forward(self, states: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(B, T) ids → (B, 1 + T, D)."""
        tokens = self.embed(states)
        return torch.cat([self.summary.to(tokens).expand(len(tokens), 1, -1), tokens], dim=1)

    def mask(self, part: Part) -> Tensor:
        assert part.mask is not None
        return F.pad(part.mask, (1, 0), value=True) & part.present[:, None]

    @property
    def table(self) -> Tensor:
        """(V, D)."""
        return self.embed.word.weight

    def words(self, ids: Tensor, offset: int = 0) -> Tensor:
        """(B, T) → (B, T, D): each word for itself, the first at the place ``offset``."""
        return self.embed(ids, offset=offset)


class ScratchSound(Entrance):
    """A log-mel spectrogram → patches, a class token first, as AST (Gong et al., 2021, arXiv:2104.01778)."""

    def __init__(self, bands: int, frames: int, patch: int, width: int) -> None:
        super().__init__()
        self.patches = PatchInput((bands, frames), patch, width, channels=1)
        self.grid = self.patches.grid
        self.mask_token = nn.Parameter(torch.zeros(width))

    def forward(self, states: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(B, F, M) → (B, 1 + P, D)."""
        return self.patches(states.transpose(1, 2)[:, None], hidden, self.mask_token)

    def mask(self, part: Part) -> Tensor:
        return part.present[:, None].expand(-1, 1 + self.grid[0] * self.grid[1])


class ScratchVideo(Entrance):
    """Frames → patches of each, a class token first; a place in time is added to a place in the frame."""

    def __init__(self, size: int, patch: int, frames: int, width: int) -> None:
        super().__init__()
        self.patches = PatchInput(size, patch, width, classes=0)
        self.frame = nn.Parameter(torch.zeros(frames, width))
        self.summary = nn.Parameter(torch.randn(width) * 0.02)
        self.grid = self.patches.grid
        self.mask_token = nn.Parameter(torch.zeros(width))

    def forward(self, states: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(B, F, S, S, 3) uint8 → (B, 1 + F·P, D), frame by frame; ``hidden`` (B, F·P)."""
        batch, frames = states.shape[:2]
        if frames > len(self.frame):
            raise InputError(f"{frames} frames, but the model has places for {len(self.frame)}: take some of them")
        pixels = states.flatten(0, 1).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        flat = hidden.unflatten(1, (frames, -1)).flatten(0, 1) if hidden is not None else None
        tokens = self.patches(pixels, flat, self.mask_token).unflatten(0, (batch, frames)) + self.frame[:frames, None]
        return torch.cat([self.summary.to(tokens).expand(batch, 1, -1), tokens.flatten(1, 2)], dim=1)

    def mask(self, part: Part) -> Tensor:
        assert part.raw is not None
        frames = part.raw.shape[1]
        real = part.mask if part.mask is not None else part.present[:, None].expand(-1, frames)
        patches = real.repeat_interleave(self.grid[0] * self.grid[1], dim=1)
        return F.pad(patches, (1, 0), value=True) & part.present[:, None]


class GivenRegions(Entrance):
    """Regions that a detector has found → tokens, a summary token first; see ``kemm.encoders.regions``."""

    def __init__(self, features: int, most: int, width: int) -> None:
        super().__init__()
        self.features, self.grid = features, (most, 1)
        self.embed = RegionTokens(features, width)
        self.summary = nn.Parameter(torch.randn(width) * 0.02)

    def forward(self, states: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(B, R, D_f + 4 + C) → (B, 1 + R, D); of ``hidden`` ones (B, R) the features are zeros, the boxes stay."""
        found, boxes = states[..., : self.features], states[..., self.features : self.features + 4]
        if hidden is not None:
            found = found.masked_fill(hidden[..., None], 0.0)
        whole = torch.ones(len(states), 2, device=states.device)  # boxes are shares of the picture
        tokens = self.embed.features(found, boxes, whole, torch.ones_like(states[..., 0], dtype=torch.bool)).tokens
        return torch.cat([self.summary.to(tokens).expand(len(tokens), 1, -1), tokens], dim=1)

    def mask(self, part: Part) -> Tensor:
        assert part.mask is not None
        return F.pad(part.mask, (1, 0), value=True) & part.present[:, None]
