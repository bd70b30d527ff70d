"""The multiway Transformer: one attention shared by all modalities, one feed-forward expert for each.

BEiT-3 as its paper describes it (Wang et al., 2022, arXiv:2208.10442), with knowledge as a third modality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MODALITIES = ("vision", "language", "knowledge")  # the order of the tokens in the fused sequence


class Attention(nn.Module):
    """Multi-head self-attention with an additive bias on the keys.

        Attention(Q, K, V) = softmax(QKᵀ / √d + b) V

    ``b`` carries the padding mask and, for knowledge, the log of the retriever's score, so that a fact is attended to
    in proportion to how likely it is to be wanted (REVEAL, Hu et al., 2023, arXiv:2212.05221, eq. 4).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        assert width % heads == 0, "heads must divide the width"
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # (B, H, L, d) each
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[:, None, None, :])
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class MultiwayBlock(nn.Module):
    """Pre-norm block: shared attention, then the expert of each token's modality."""

    def __init__(self, width: int, heads: int, experts: Sequence[str], dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.experts = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
                )
                for name in experts
            }
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor, lengths: Sequence[tuple[str, int]]) -> Tensor:
        x = x + self.dropout(self.attention(self.norm(x), bias))
        parts = x.split([length for _, length in lengths], dim=1)  # tokens stand sorted by modality
        mixed = [part + self.dropout(self.experts[name](part)) for (name, _), part in zip(lengths, parts, strict=True)]
        return torch.cat(mixed, dim=1) if len(mixed) > 1 else mixed[0]


class MultiwayTransformer(nn.Module):
    """Fuse the tokens of any subset of modalities.

    Args:
        width: D.
        layers: number of blocks.
        heads: H.
        dropout: on the residual branches.
        experts: names of the modalities.

    Without knowledge tokens it computes exactly what a vision–language model of the same weights does: the knowledge
    expert is not touched and no padding takes its place.
    """

    def __init__(
        self, width: int, layers: int, heads: int, dropout: float = 0.0, experts: Sequence[str] = MODALITIES
    ) -> None:
        super().__init__()
        self.order = tuple(experts)
        self.blocks = nn.ModuleList(MultiwayBlock(width, heads, experts, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(
        self, tokens: Mapping[str, Tensor], masks: Mapping[str, Tensor], biases: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Fuse.

        Args:
            tokens: modality → ``(B, L_m, D)``; an absent modality is simply not a key.
            masks: modality → ``(B, L_m)`` bool, true at real tokens.
            biases: modality → ``(B, L_m)`` float added to the attention logits of those keys.

        Returns:
            modality → ``(B, L_m, D)``, after the final norm.
        """
        present = [name for name in self.order if name in tokens]
        assert len(present) == len(tokens), f"no expert for {set(tokens) - set(self.order)}"
        lengths = [(name, tokens[name].shape[1]) for name in present]
        x = torch.cat([tokens[name] for name in present], dim=1)  # (B, L, D)
        bias = torch.cat(
            [
                torch.zeros_like(masks[name], dtype=x.dtype) if biases is None or name not in biases else biases[name]
                for name in present
            ],
            dim=1,
        )
        bias = bias.masked_fill(~torch.cat([masks[name] for name in present], dim=1), torch.finfo(x.dtype).min)
        for block in self.blocks:
            x = block(x, bias, lengths)
        return dict(zip(present, self.norm(x).split([length for _, length in lengths], dim=1), strict=True))
