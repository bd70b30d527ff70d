"""Pictures with patches hidden: MAE, BEiT."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.parity_case import Case, Pair
from benchmarks.parity_text import SMALL
from kemm.systems.beit import BEiT
from kemm.systems.mae import MAE


def mae(**options: Any) -> Pair:
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    config = ViTMAEConfig(
        **SMALL,
        image_size=32,
        patch_size=8,
        decoder_hidden_size=16,
        decoder_num_hidden_layers=2,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=24,
        **options,
    )
    pictures, noise = torch.randn(2, 3, 32, 32), torch.rand(2, 16)

    def reference(model: Any) -> dict[str, torch.Tensor]:
        found, states = model(pictures, noise), model.vit(pictures, noise).last_hidden_state
        return {"states": states, "patches": found.logits, "hidden": found.mask, "loss": found.loss}

    def ours(model: Any) -> dict[str, torch.Tensor]:
        found = model(pictures, noise)
        return {**found, "hidden": found["hidden"].float()}

    return Pair(ViTMAEForPreTraining(config), MAE.from_config(config.to_dict()), reference, ours, MAE.NAMES)


def beit(**options: Any) -> Pair:
    from transformers import BeitConfig, BeitForMaskedImageModeling

    config = BeitConfig(**SMALL, image_size=24, patch_size=8, vocab_size=20, use_mask_token=True, **options)
    pictures, masked, labels = torch.randn(2, 3, 24, 24), torch.rand(2, 9) < 0.5, torch.randint(20, (2, 9))

    # Under the head's norm: without a norm at the end, the states are large numbers
    def reference(model: Any) -> dict[str, torch.Tensor]:
        found, states = model(pictures, masked, labels[masked]), model.beit(pictures, masked).last_hidden_state
        return {"states": model.layernorm(states), "words": found.logits, "loss": found.loss}

    def ours(model: Any) -> dict[str, torch.Tensor]:
        found = model(pictures, masked, labels)
        return {**found, "states": model.norm(found["states"])}

    return Pair(
        BeitForMaskedImageModeling(config),
        BEiT.from_config(config.to_dict()),
        reference,
        ours,
        BEiT.NAMES,
        BEiT.IGNORED,
    )


CASES = (
    Case("mae", "transformers ViTMAEForPreTraining", mae),
    Case("mae", "transformers ViTMAEForPreTraining, patches evened", lambda: mae(norm_pix_loss=True)),
    Case("beit", "transformers BeitForMaskedImageModeling", lambda: beit(use_shared_relative_position_bias=True)),
    Case(
        "beit",
        "transformers BeitForMaskedImageModeling, a bias each layer",
        lambda: beit(use_relative_position_bias=True, use_absolute_position_embeddings=True, use_mean_pooling=False),
    ),
)
