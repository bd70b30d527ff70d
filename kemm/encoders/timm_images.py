"""Any image model of timm as a tower: its own input size, mean and deviation, its own class tokens and pooling."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from kemm.compat import mend_torchvision
from kemm.encoders.encoder import Features
from kemm.encoders.vision import Stage, VisionTower
from kg.errors import InputError

Pooling = Literal["own", "mean", "cls"]


class Timm(VisionTower):
    """A timm model by name.

    Args:
        model: a timm name, such as ``vit_small_patch16_224``; or ``hf-hub:NAME``, ``local-dir:FOLDER`` as timm has it.
        weights: "hub" fetches timm's published ones (or finds them in the local cache), a path reads a safetensors file
            in timm's layout, None leaves them random.
        pooling: "own", the model's, where that has the tokens' width, else their mean; "mean" of the tokens but class
            tokens; "cls", the first token.
        size: side of the input in pixels, where the model's own is not wanted and it takes others.

    Raises:
        InputError: there is no such model, its weights can't be had or are of another model, or it has no class token.
    """

    def __init__(
        self,
        model: str,
        weights: str | Path | None = "hub",
        pooling: Pooling = "own",
        size: int | None = None,
    ) -> None:
        super().__init__()
        mend_torchvision()
        import timm

        if ":" not in model and not timm.is_model(model):
            near = difflib.get_close_matches(model, timm.list_models(), n=3, cutoff=0.5)
            raise InputError(
                f"timm has no model '{model}'; "
                + (f"did you mean {' or '.join(near)}?" if near else "`timm.list_models()` lists them")
            )
        is_published = weights == "hub"
        options: dict[str, Any] = {"img_size": size} if size is not None else {}
        try:
            self.body = timm.create_model(model, pretrained=is_published, num_classes=0, **options)
        except Exception as error:  # the hub's client raises errors of several libraries
            what = f"weights of timm's '{model}' can't be fetched" if is_published else f"timm can't build '{model}'"
            says = str(error).strip().splitlines() or [type(error).__name__]
            hint = "; give weights=FILE, or None for random ones" if is_published else ""
            raise InputError(f"{what} ({says[0].split('. ')[0]}){hint}") from None
        if weights is not None and not is_published:
            from kemm.weights import load_into

            load_into(self.body, Path(weights), ignored=("head.", "fc.", "classifier."))
        data = timm.data.resolve_model_data_config(self.body)
        self.name = f"timm/{model}" + ("" if is_published else f"/{Path(weights).name if weights else 'random'}")
        self.size, self.width = size or int(data["input_size"][-1]), int(self.body.num_features)  # type: ignore[arg-type]
        self.num_prefix = int(getattr(self.body, "num_prefix_tokens", 0))  # type: ignore[arg-type]
        self.pooling: Pooling = pooling
        if pooling == "own" and getattr(self.body, "head_hidden_size", self.width) != self.width:
            self.pooling = "mean"
        if pooling == "cls" and not self.num_prefix:
            raise InputError(f"timm's '{model}' has no class token; choose pooling 'own' or 'mean'")
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(data["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(data["std"]).view(1, 3, 1, 1), persistent=False)
        self.eval()

    def _normalised(self, pixels: Tensor) -> Tensor:
        return (pixels.permute(0, 3, 1, 2).float() / 255.0 - self.mean) / self.std  # (B, 3, S, S)

    def _encode(self, pixels: Tensor) -> Tensor:
        """``(B, S, S, 3)`` uint8 → what the model gives before pooling."""
        return self.body.forward_features(self._normalised(pixels))  # type: ignore[operator]

    def stages(self) -> list[Stage]:
        """Of plain Vision Transformers; other models of timm have forwards of many forms."""
        from timm.models.vision_transformer import VisionTransformer

        body: Any = self.body
        if type(body) is not VisionTransformer:
            return []
        own = nn.ParameterList(weight for _, weight in body.named_parameters(recurse=False))  # class token, positions

        def embed(pixels: Tensor) -> Tensor:
            return body.norm_pre(body._pos_embed(body.patch_embed(self._normalised(pixels))))  # (B, L, D)

        blocks = [Stage(block, [block]) for block in body.blocks]
        head = Stage(lambda x: self._map(body.norm(x)), [body.norm])
        return [Stage(embed, [own, body.patch_embed, body.norm_pre]), *blocks, head]

    def _map(self, encoded: Tensor) -> Tensor:
        """Tokens or map, channels anywhere → ``(B, D, h, w)``."""
        if encoded.dim() == 3:  # (B, tokens, D) of a Transformer → its grid
            patches = encoded[:, self.num_prefix :]
            grid = getattr(getattr(self.body, "patch_embed", None), "grid_size", None)
            if grid is None or grid[0] * grid[1] != patches.shape[1]:
                grid = (round(patches.shape[1] ** 0.5),) * 2
            return patches.transpose(1, 2).unflatten(2, tuple(grid))
        is_last = str(getattr(self.body, "output_fmt", "NCHW")).endswith("NHWC")
        return encoded.permute(0, 3, 1, 2) if is_last else encoded

    def forward(self, pixels: Tensor) -> Tensor:
        return self._map(self._encode(pixels))

    def features(self, pixels: Tensor) -> Features:  # type: ignore[override]
        """Class tokens and patches of ``(B, size, size, 3)`` uint8 pixels."""
        encoded = self._encode(pixels)
        tokens = encoded if encoded.dim() == 3 else self._map(encoded).flatten(2).transpose(1, 2)  # (B, L, D)
        if self.pooling == "own":
            pooled = self.body.forward_head(encoded)  # type: ignore[operator]
        else:
            pooled = tokens[:, 0] if self.pooling == "cls" else tokens[:, self.num_prefix :].mean(1)
        return Features(tokens, pooled, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device))

    def depths(self) -> dict[str, int]:
        """As timm groups its layers, a stage's blocks one by one."""
        from timm.models import group_parameters

        if not hasattr(self.body, "group_matcher"):
            return super().depths()
        found = group_parameters(self.body, self.body.group_matcher(coarse=False), reverse=True)  # type: ignore[operator]
        return {f"body.{name}": int(depth) for name, depth in found.items()}
