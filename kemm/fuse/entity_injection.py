"""Entities put into a text encoder between its layers: ERNIE's way (THU) and KnowBert's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse.attention import Attention
from kemm.fuse.block import Block


class ErnieLayer(nn.Module):
    """Words and entities each read their own kind; then a word and the entity that it begins are mixed.

        w̃ = self(w),  ẽ = self(e),   h_j = σ(W_t w̃_j + W_e ẽ_k + b),   w_j = LN(w̃_j + W_t' h_j + b_t),
        e_k = LN(ẽ_k + W_e' h_j + b_e);   a word without an entity: h_j = σ(W_t w̃_j + b)

    σ is GELU; k is the entity that begins at word j (Zhang et al., 2019, arXiv:1905.07129, eq. 3–6).

    Args:
        width, heads: of the words.
        entity_width, entity_heads: of the entities (TransE's vectors).
        hidden: width of h; 4 D unless given.
        eps: of the norms.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        entity_width: int,
        entity_heads: int,
        hidden: int | None = None,
        eps: float = 1e-12,
    ) -> None:
        super().__init__()
        self.words = Attention(width, heads)
        self.words_norm = nn.LayerNorm(width, eps=eps)
        self.entities = Attention(entity_width, entity_heads)
        self.entities_norm = nn.LayerNorm(entity_width, eps=eps)
        hidden = hidden or 4 * width
        self.word_in, self.entity_in = nn.Linear(width, hidden), nn.Linear(entity_width, hidden, bias=False)
        self.word_out, self.entity_out = nn.Linear(hidden, width), nn.Linear(hidden, entity_width)
        self.word_out_norm = nn.LayerNorm(width, eps=eps)
        self.entity_out_norm = nn.LayerNorm(entity_width, eps=eps)

    def forward(
        self,
        words: Tensor,
        entities: Tensor,
        aligned: Tensor,
        mask: Tensor | None = None,
        entity_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Fuse.

        Args:
            words: (B, T, D).
            entities: (B, K, D_e).
            aligned: (B, K) the word at which each entity begins; negative: at none (padding).
            mask, entity_mask: (B, T) and (B, K) bool, true at what is real.

        Returns:
            words and entities.
        """
        keys, entity_keys = (m if m is None else m[:, None] for m in (mask, entity_mask))
        w = self.words_norm(words + self.words(words, mask=keys))
        e = self.entities_norm(entities + self.entities(entities, mask=entity_keys))
        begins = aligned[:, None, :] == torch.arange(words.shape[1], device=words.device)[:, None]  # (B, T, K)
        h = functional.gelu(self.word_in(w) + begins.to(w.dtype) @ self.entity_in(e))  # (B, T, hidden)
        w = self.word_out_norm(w + self.word_out(h))
        own = h.gather(1, aligned.clamp(min=0)[..., None].expand(-1, -1, h.shape[-1]))  # (B, K, hidden)
        fused = self.entity_out_norm(e + self.entity_out(own))
        return w, torch.where((aligned >= 0)[..., None], fused, e)


class KnowledgeAttention(nn.Module):
    """KnowBert: mentions choose among their candidates, and words read what was chosen.

        s = pool(W_1 h),   S = block(s),   ψ_mk = MLP(p_mk, S_m · e_mk),   ẽ_m = Σ_{k: ψ_mk > δ} softmax(ψ_m)_k e_mk,
        h' = h + W_2 block(W_1 h reads S + ẽ)

    W_2 starts as W_1's pseudo-inverse (Peters et al., 2019, arXiv:1909.04164, §3.3).

    Args:
        width: D of the words.
        entity_width: D_e.
        heads: of the two attentions at width D_e.
        threshold: δ; candidates that score less are not read.
    """

    def __init__(self, width: int, entity_width: int, heads: int, threshold: float = 0.0) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, entity_width), nn.Linear(entity_width, width)
        with torch.no_grad():
            self.up.weight.copy_(torch.linalg.pinv(self.down.weight))
        self.pool = nn.Linear(entity_width, 1)
        self.spans = Block(entity_width, heads, order="post")
        self.score = nn.Sequential(nn.Linear(2, 100), nn.ReLU(), nn.Linear(100, 1))
        self.nothing = nn.Parameter(torch.randn(entity_width) * 0.02)  # read by a mention of which no candidate will do
        self.read = Block(entity_width, heads, context_width=entity_width, has_self=False, order="post")
        self.threshold = threshold

    def forward(
        self,
        words: Tensor,
        spans: Tensor,
        candidates: Tensor,
        priors: Tensor,
        candidate_mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Fuse.

        Args:
            words: (B, T, D).
            spans: (B, M, 2) first and last word of each mention; −1: there is none.
            candidates: (B, M, K, D_e) vectors; ``priors`` (B, M, K) their p(entity | mention).
            candidate_mask: (B, M, K) bool, true at real candidates.

        Returns:
            words (B, T, D), and the scores ψ (B, M, K), −∞ where there is no candidate: the linking loss is of them.
        """
        h = self.down(words)  # (B, T, D_e)
        real = spans[..., 0] >= 0  # (B, M)
        place = torch.arange(words.shape[1], device=words.device)
        inside = (place >= spans[..., :1]) & (place <= spans[..., 1:]) & real[..., None]  # (B, M, T)
        weights = self.pool(h).transpose(1, 2).masked_fill(~inside, torch.finfo(h.dtype).min).softmax(dim=-1)
        s = self.spans(weights @ h, mask=real[:, None])  # (B, M, D_e)
        similar = (s[:, :, None] * candidates).sum(dim=-1)  # (B, M, K)
        psi = self.score(torch.stack([priors.to(h.dtype), similar], dim=-1))[..., 0]
        psi = psi.masked_fill(~candidate_mask, -torch.inf)
        kept = psi > self.threshold
        chosen = psi.masked_fill(~kept, torch.finfo(h.dtype).min).softmax(dim=-1) * kept
        entity = torch.where(kept.any(dim=-1)[..., None], (chosen[..., None] * candidates).sum(dim=2), self.nothing)
        any_mention = real.any(dim=-1)[:, None, None]
        read = self.read(h, s + entity, context_mask=real[:, None])
        return words + torch.where(any_mention, self.up(read), 0.0), psi
