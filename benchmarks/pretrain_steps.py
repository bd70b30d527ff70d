"""Whole pre-training steps with ITC, ITM, MLM and MIM: ours, ours as it is usually done, and FLAVA's.

All take the same pictures and texts, of the lengths of real questions, with the same shares hidden.

``shared``: each encoding once. With ``drop: everywhere`` no forward sees a hidden patch (FLIP, arXiv:2212.00794; MAE,
arXiv:2111.06377), and matching judges the pairs that MLM and MIM read (FLAVA, arXiv:2112.04482). With ``drop: true``
ITC and ITM see whole pictures and texts, and MIM alone drops. Each pair stands beside two wrong ones (ALBEF), or with
``wrong: either`` beside one; FLAVA judges no more than the pair.

``apart``: a forward for each objective of the same model, as ALBEF and BLIP: ITC encodes both modalities, ITM fuses one
right and two wrong pairs, MLM a whole picture with words hidden, MIM a whole text with patches masked; all padded.

``flava``: transformers' FlavaForPreTraining, 12 + 12 + 6 layers as it comes: both towers on whole and on hidden inputs,
fusion of the hidden ones, one judgement a pair. Its targets of MIM are given, so its codebook is not run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks import model_steps
from benchmarks.frame import Arguments
from benchmarks.model_steps import HEADS, IMAGE, LAYERS, PATCH, VOCABULARY, WIDTH, WORDS, dtype, lengths, steps_in_turns

#: Of patches and of words, for all contenders; the first is MAE's and FLIP's.
HIDDEN_PATCHES, HIDDEN_WORDS, CODES, SPECIAL, MASK = 0.75, 0.15, 1024, 5, 4


def prepare(arguments: Arguments) -> None:
    model_steps.prepare(arguments | {"peer_path": ""})


def shared(arguments: Arguments) -> dict[str, Any]:
    """Ours: each encoding once."""
    task, batch = build_task(arguments["drop"], arguments.get("wrong", "both")), samples(arguments)
    return steps_in_turns(arguments, task, lambda: task(batch, torch.Generator().manual_seed(0))["total"])


def apart(arguments: Arguments) -> dict[str, Any]:
    """Ours, a forward for each objective, nothing dropped and all padded."""
    task, batch = build_task(False), samples(arguments)
    task.model.fuse = lambda *given: fuse_padded(task.model, *given)  # type: ignore[method-assign]

    def loss() -> Tensor:
        losses = losses_apart(task, batch, lambda: torch.Generator().manual_seed(0))
        return torch.stack(list(losses.values())).sum()

    return steps_in_turns(arguments, task, loss)


def flava(arguments: Arguments) -> dict[str, Any]:
    """transformers' own losses; two pairs of sixteen don't match."""
    from transformers import FlavaConfig, FlavaForPreTraining

    size = {
        "hidden_size": WIDTH,
        "num_attention_heads": HEADS,
        "intermediate_size": 4 * WIDTH,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    config = FlavaConfig(
        image_config={**size, "image_size": IMAGE, "patch_size": PATCH, "vocab_size": CODES, "mask_token": True},
        text_config={**size, "vocab_size": VOCABULARY, "max_position_embeddings": WORDS},
        multimodal_config={**size, "num_hidden_layers": 6},
        hidden_size=WIDTH,
        projection_dim=WIDTH,
        init_codebook=False,
    )
    model = FlavaForPreTraining(config)
    batch, patches = arguments["batch"], (IMAGE // PATCH) ** 2
    ids, real = texts(arguments)
    hidden_words = (torch.rand(ids.shape) < HIDDEN_WORDS) & real & (ids >= SPECIAL)
    hidden_patches = torch.rand(batch, patches).argsort(1) < round(HIDDEN_PATCHES * patches)
    pixels = (torch.randint(0, 256, (batch, 3, IMAGE, IMAGE)) / 127.5 - 1).to(dtype(arguments))
    codes = torch.randint(CODES, (batch, patches))
    matched = torch.arange(batch) % 8 > 0

    def loss() -> Tensor:
        found = model(
            input_ids=ids,
            input_ids_masked=ids.masked_fill(hidden_words, MASK),
            pixel_values=pixels,
            attention_mask=real.long(),
            bool_masked_pos=hidden_patches,
            mlm_labels=ids.masked_fill(~hidden_words, -100),
            mim_labels=codes.masked_fill(~hidden_patches, -100),
            itm_labels=matched.long(),
            return_loss=True,
        )
        assert all(getattr(found.loss_info, name) is not None for name in ("itm", "global_contrastive"))
        assert found.loss_info.mmm_text is not None and found.loss_info.mmm_image is not None
        return found.loss

    return steps_in_turns(arguments, model, loss)


def build_task(drop: bool | str, wrong: str = "both") -> Any:
    """The four objectives on a model from scratch; matching judges what is hidden where that is so everywhere."""
    from kemm.data.lexicon import Lexicon
    from kemm.objectives.objective import Context
    from kemm.pretrain.task import PretrainTask
    from kemm.settings import Settings

    towers = {"vision": {"mode": "scratch", "size": IMAGE, "patch": PATCH}, "language": {"mode": "scratch"}}
    settings = Settings.model_validate(
        {
            "model": {
                "width": WIDTH,
                "layers": LAYERS,
                "heads": HEADS,
                "text_tokens": WORDS - 1,
                "gnn_layers": 1,
                "dropout": 0.0,
                "towers": towers,
            },
            "objectives": {
                "itc": {},
                "itm": {"hidden": drop == "everywhere", "wrong": wrong},
                "mlm": {"rate": HIDDEN_WORDS},
                "mim": {"rate": HIDDEN_PATCHES, "target": "pixels", "drop": drop},
            },
        }
    )
    side, width = IMAGE // PATCH, settings.model.width
    context = Context(
        width=width,
        vision_width=8,
        text_width=8,
        pooled={"vision": width, "language": width, "knowledge": width},
        grids={"vision": (side, side)},
        word_width=width,
        lexicon=Lexicon(MASK, torch.arange(VOCABULARY) < SPECIAL, torch.zeros(VOCABULARY, dtype=torch.bool)),
        has_pixels=True,
        has_features=False,
    )
    return PretrainTask(settings, context)


def losses_apart(task: Any, batch: Any, generator: Callable[[], torch.Generator]) -> dict[str, Tensor]:
    """Each objective's loss from encodings of its own, nothing hidden but what it hides itself."""
    from kemm.fuse.encoded import Encoded
    from kemm.objectives.hiding import PatchHiding, Plan, WordHiding

    found = {}
    for name, part in task.parts().items():
        words = part.hides if isinstance(part.hides, WordHiding) else None
        patches = (part.hides,) if isinstance(part.hides, PatchHiding) else ()
        found[name] = part(Encoded(task.model, batch, generator(), Plan(words, patches), task.lexicon))
    return found


def fuse_padded(
    model: Any, tokens: dict[str, Tensor], masks: dict[str, Tensor], biases: Any = None, mask: Tensor | None = None
) -> Any:
    """``KEMM.fuse`` with rows for padding, as everywhere else."""
    return model.fusion(dict(tokens), dict(masks), dict(biases or {}), mask=mask)


def samples(arguments: Arguments) -> Any:
    """A batch of pictures and texts."""
    from kemm.data.batch import Batch
    from kemm.data.samples import Part, Samples

    ids, real = texts(arguments)
    there = torch.ones(len(ids), dtype=torch.bool)
    pixels = torch.randint(0, 256, (len(ids), IMAGE, IMAGE, 3), dtype=torch.uint8)
    parts = {"vision": Part(there, pixels), "language": Part(there, ids[:, 1:], mask=real[:, 1:])}
    return Batch(Samples(parts, torch.arange(len(ids))))


def texts(arguments: Arguments) -> tuple[Tensor, Tensor]:
    """(B, 32) ids, the first a summary's, and which are real; as long as real questions."""
    real = torch.arange(WORDS) < lengths(arguments["batch"])[:, None]
    ids = torch.randint(SPECIAL, VOCABULARY, real.shape)
    ids[:, 0] = 1
    return ids.masked_fill(~real, 0), real
