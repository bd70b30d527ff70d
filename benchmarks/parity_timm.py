"""timm's towers: ViT, EVA, EVA-02."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.parity_case import Case, Pair
from kemm.systems.timm_towers import TimmTower

TINY = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4, "num_classes": 5}


def tower(is_eva: bool, **options: Any) -> Pair:
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    settings = {**TINY, "img_size": (24, 32), **options}
    pictures = torch.randn(2, 3, 24, 32)

    # Patches that are averaged before the norm are large numbers: compared under the norm that their mean is given
    def reference(model: Any) -> dict[str, torch.Tensor]:
        states = model.forward_features(pictures)
        pooled = model.forward_head(states, pre_logits=True)
        return {"states": model.fc_norm(states), "pooled": pooled, "logits": model(pictures)}

    def ours(model: Any) -> dict[str, torch.Tensor]:
        found = model(pictures)
        return {**found, "states": model.pooled_norm(found["states"])}

    return Pair(
        (Eva if is_eva else VisionTransformer)(**settings),
        TimmTower.from_config({"model_args": {**settings, "is_eva": is_eva}}),
        reference,
        ours,
        TimmTower.NAMES,
    )


EVA02 = {"swiglu_mlp": True, "use_rot_pos_emb": True, "ref_feat_shape": (2, 2), "mlp_ratio": 8 / 3}
CASES = (
    Case("timm", "timm VisionTransformer", lambda: tower(False)),
    Case("timm", "timm VisionTransformer, mean, LayerScale", lambda: tower(False, global_pool="avg", init_values=0.1)),
    Case("timm", "timm Eva, EVA", lambda: tower(True)),
    Case("timm", "timm Eva, EVA-02 tiny and small", lambda: tower(True, **EVA02)),
    Case("timm", "timm Eva, EVA-02 base and large", lambda: tower(True, **EVA02, qkv_fused=False, scale_mlp=True)),
    Case(
        "timm",
        "timm Eva, EVA-02 as CLIP's",
        lambda: tower(True, **EVA02, qkv_fused=False, scale_mlp=True, scale_attn_inner=True, global_pool="token"),
    ),
)
