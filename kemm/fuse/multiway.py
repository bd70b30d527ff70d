"""The multiway Transformer: one attention over all modalities, experts for each.

BEiT-3 (Wang et al., 2022, arXiv:2208.10442) as its paper describes it, with feed-forward experts, or as it was
released, with experts of everything but the attention itself; VLMo (Bao et al., 2021, arXiv:2111.02358) with
``joint_layers``. Knowledge, and any other named modality, is one more expert.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Literal, Unpack, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from kemm.fuse.attention import Attention, logits
from kemm.fuse.block import Block, BlockOptions
from kemm.fuse.cache import Cache, MultiwayCache
from kemm.fuse.residual import Residual
from kemm.fuse.rows import Grid, join
from kemm.fuse.transformer import rising
from kg.errors import InputError

MODALITIES = ("vision", "language", "knowledge")  # the order of the tokens in the fused sequence
SHARED, JOINT = "shared", "joint"  # the part for all modalities; the expert for fused input in the top layers


class MultiwayBlock(nn.Module):
    """One attention over all tokens, then the expert of each token's modality.

    Its parts are those of `Block`, one for each name: attention for ``SHARED`` or for every modality, feed-forward for
    every modality and, in top layers, for ``JOINT``.
    """

    def __init__(
        self, width: int, heads: int, attention: Sequence[str], experts: Sequence[str], **options: Unpack[BlockOptions]
    ) -> None:
        super().__init__()
        self.attention, self.attention_residual = nn.ModuleDict(), nn.ModuleDict()
        self.feed_forward, self.feed_forward_residual = nn.ModuleDict(), nn.ModuleDict()
        for name in dict.fromkeys((*attention, *experts)):
            block = Block(width, heads, **options)
            if name in attention:
                self.attention[name], self.attention_residual[name] = block.attention, block.attention_residual
            if name in experts:
                self.feed_forward[name], self.feed_forward_residual[name] = (
                    block.feed_forward,
                    block.feed_forward_residual,
                )

    def forward(
        self,
        rows: list[Tensor],
        grid: Grid,
        bias: Tensor | None,
        rotary: nn.ModuleDict,
        cache: Cache | None = None,
    ) -> list[Tensor]:
        """Rows (N_m, D) of each modality of ``grid`` → the same."""
        rows = self._attend(rows, grid, bias, rotary, cache)
        if JOINT in self.feed_forward and len(rows) > 1:
            return grid.split(self._feed(JOINT, torch.cat(rows), grid.all_samples, grid.batch))
        parts = zip(grid.names, rows, grid.samples, strict=True)
        return [self._feed(name, part, samples, grid.batch) for name, part, samples in parts]

    def _attend(
        self,
        rows: list[Tensor],
        grid: Grid,
        bias: Tensor | None,
        rotary: nn.ModuleDict,
        cache: Cache | None,
    ) -> list[Tensor]:
        is_shared = SHARED in self.attention
        if is_shared:  # one product over the rows of all modalities
            names, samples, rows = [SHARED], [grid.all_samples], [join(rows)]
        else:
            names, samples = grid.names, grid.samples
        attention = [cast(Attention, self.attention[name]) for name in names]
        around = [cast(Residual, self.attention_residual[name]) for name in names]
        qkv = [a.project(r.enter(x)) for a, r, x in zip(attention, around, rows, strict=True)]  # (N_m, 3, H, d)
        if is_shared:
            qkv = grid.split(qkv[0])
        for number, name in enumerate(grid.names):
            if name in rotary:
                turned = rotary[name](qkv[number][:, :2].permute(1, 2, 0, 3), grid.positions[number])  # (2, H, N_m, d)
                qkv[number] = torch.cat([turned.permute(2, 0, 1, 3), qkv[number][:, 2:]], dim=1)
        q, k, v = grid.lay_out(qkv).unbind(0)  # (B, H, L, d) each
        if cache is not None:
            k, v = cache.extend(k, v)
        read = grid.take_up(attention[0].attend(q, k, v, None, bias))  # (N_m, H, d)
        if is_shared:
            read = [join(read)]
        each = zip(attention, around, rows, read, samples, strict=True)
        rows = [r.leave(x, a.finish(y), own, grid.batch) for a, r, x, y, own in each]
        return grid.split(rows[0]) if is_shared else rows

    def _feed(self, name: str, x: Tensor, samples: Tensor, batch: int) -> Tensor:
        around = cast(Residual, self.feed_forward_residual[name])
        return around.leave(x, self.feed_forward[name](around.enter(x)), samples, batch)


class MultiwayTransformer(nn.Module):
    """Fuse the tokens of any subset of modalities.

    Without knowledge tokens it computes exactly what a vision–language model of the same weights does: the knowledge
    expert is not touched and no padding takes its place. With one modality it is a plain `Transformer`.

    Tokens are kept as rows sorted by modality, so that each expert is one matrix product; attention alone sees them
    laid out by sample. Packed, there are no rows for padding.

    Args:
        width: D.
        layers: number of blocks.
        heads: H.
        modalities: names, in the order of the tokens in the fused sequence.
        experts: "ffn", each modality has its own feed-forward part with its norm (the paper; norms at the end shared);
            "all", its own projections to and from attention and all norms, too (the released code).
        joint_layers: top layers in which tokens of several modalities share one further expert (VLMo: 2 or 3).
        rotary: modality → what rotates its queries and keys by the position within the modality.
        relative: called with the modalities' names and lengths, gives (H, L, L) added to the logits of all layers; not
            for generating with a cache.
        is_checkpointed: forget what a block computed within and compute it again in the backward pass.
        options: see `Block`.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        modalities: Sequence[str] = MODALITIES,
        *,
        experts: Literal["ffn", "all"] = "ffn",
        joint_layers: int = 0,
        rotary: Mapping[str, nn.Module] | None = None,
        relative: nn.Module | None = None,
        is_checkpointed: bool = False,
        **options: Unpack[BlockOptions],
    ) -> None:
        super().__init__()
        if experts not in ("ffn", "all"):
            raise InputError(f"there are no experts of '{experts}' (there are: ffn, all)")
        self.order, self.experts, self.is_checkpointed = tuple(modalities), experts, is_checkpointed
        attention = (SHARED,) if experts == "ffn" else self.order
        self.blocks = nn.ModuleList()
        for layer, drop_path in enumerate(rising(options.get("drop_path", 0.0), layers)):
            options["drop_path"] = drop_path
            feed_forward = (*self.order, JOINT) if layer >= layers - joint_layers else self.order
            self.blocks.append(MultiwayBlock(width, heads, attention, feed_forward, **options))
        eps = options.get("eps", 1e-5)
        self.norm = nn.ModuleDict({name: nn.LayerNorm(width, eps=eps) for name in attention})
        self.rotary, self.relative = nn.ModuleDict(rotary or {}), relative

    def add_expert(self, name: str, like: str) -> None:
        """Give a further modality experts of its own, copies of another's; what was computed before stays, bit for bit.

        Raises:
            InputError: ``name`` has one already, or is no name for a part, or ``like`` has none.
        """
        if name in (*self.order, SHARED, JOINT) or not name.isidentifier():
            raise InputError(f"'{name}' cannot be a further modality: there are {', '.join(self.order)}")
        if like not in self.order:
            raise InputError(f"there is no modality '{like}' to start from (there are: {', '.join(self.order)})")
        for parts in self.modules():
            if isinstance(parts, nn.ModuleDict) and like in parts and parts is not self.rotary:
                parts[name] = copy.deepcopy(parts[like])
        self.order = (*self.order, name)

    def new_cache(self) -> MultiwayCache:
        """An empty cache for `forward`, to generate with."""
        return MultiwayCache([Cache() for _ in self.blocks])

    def forward(
        self,
        tokens: Mapping[str, Tensor],
        masks: Mapping[str, Tensor] | None = None,
        biases: Mapping[str, Tensor] | None = None,
        *,
        mask: Tensor | None = None,
        is_packed: bool = False,
        cache: MultiwayCache | None = None,
    ) -> dict[str, Tensor]:
        """Fuse.

        Args:
            tokens: modality → (B, L_m, D); an absent modality is simply not a key.
            masks: modality → (B, L_m) bool, true at real tokens; one not named has no padding.
            biases: modality → (B, L_m) float added to the attention logits of those keys: for knowledge, the log of the
                retriever's score, so that a fact is attended to in proportion to how likely it is to be wanted
                (REVEAL, Hu et al., 2023, arXiv:2212.05221, eq. 4).
            mask: (L, L) or (B, L, L), true where a query may read a key, L over all tokens (``kemm.fuse.masks``).
            is_packed: compute nothing for padding; its outputs are 0.
            cache: of `new_cache`, extended in place; tokens then follow those that it has seen, ``mask`` alone says
                which keys of both may be read, (L, L_k) or (B, L or 1, L_k).

        Returns:
            modality → (B, L_m, D), after the final norm.

        Raises:
            InputError: a modality has no expert, or shapes do not agree.
        """
        seen = cache.seen if cache is not None else {}
        grid = Grid({name: tokens[name] for name in self._present(tokens)}, masks, is_packed, seen)
        bias = grid.bias(biases)
        if self.relative is not None:
            own = self.relative(grid.lengths)[None]  # (1, H, L, L)
            bias = own if bias is None else own + bias
        bias = grid.moved_up(bias) if bias is not None else None
        bias = logits(grid.mask(mask), bias, grid.rows[0].dtype)
        rows = grid.rows
        for layer, block in enumerate(self.blocks):
            if self.is_checkpointed and self.training and cache is None:
                rows = checkpoint(block, rows, grid, bias, self.rotary, use_reentrant=False)
            else:
                rows = block(rows, grid, bias, self.rotary, cache.layers[layer] if cache is not None else None)
        if cache is not None:
            cache.seen = seen | {name: seen.get(name, 0) + length for name, length in grid.lengths.items()}
        norms = [self.norm[SHARED if SHARED in self.norm else name] for name in grid.names]
        return grid.give_back([norm(part) for norm, part in zip(norms, rows, strict=True)])

    def _present(self, tokens: Mapping[str, Tensor]) -> list[str]:
        unknown = set(tokens) - set(self.order)
        if unknown:
            raise InputError(f"there is no expert for '{min(unknown)}' (there are: {', '.join(self.order)})")
        if not tokens:
            raise InputError("there are no tokens of any modality to fuse")
        return [name for name in self.order if name in tokens]
