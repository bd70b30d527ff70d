"""BERT: an encoder of text that learns to fill in masked words and to tell which sentence comes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse import masks
from kemm.fuse.cache import BlockCache
from kemm.fuse.heads import IGNORED, FirstTokenPooler, WordHead, word_loss
from kemm.fuse.inputs import WordInput
from kemm.fuse.transformer import Transformer
from kemm.systems.names import Names, Source
from kemm.systems.system import System, activation, refuse, with_losses


class TextEncoder(nn.Module):
    """BERT's encoder: words, positions and sentences, then blocks with norms after them. Many systems have it within.

    Args:
        config: keys as in a BERT checkpoint's ``config.json``.
        context_width: of what cross-attention reads, for the systems that have it.
        sentences: kinds of sentences, unless ``config`` says; 0: none.
        options: of `Transformer`, besides what ``config`` says.
    """

    def __init__(
        self, config: Mapping[str, Any], context_width: int | None = None, sentences: int = 2, **options: Any
    ) -> None:
        super().__init__()
        refuse(config, "BERT", position_embedding_type="absolute")
        width, eps = config["hidden_size"], config.get("layer_norm_eps", 1e-12)
        dropout = config.get("hidden_dropout_prob", 0.1)
        self.input = WordInput(
            config["vocab_size"],
            width,
            positions=config["max_position_embeddings"],
            sentences=config.get("type_vocab_size", sentences),
            eps=eps,
            dropout=dropout,
            padding=config.get("pad_token_id", 0),
        )
        self.transformer = Transformer(
            width,
            config["num_hidden_layers"],
            config["num_attention_heads"],
            context_width,
            hidden=config["intermediate_size"],
            order="post",
            eps=eps,
            activation=activation(config),
            dropout=dropout,
            attention_dropout=config.get("attention_probs_dropout_prob", 0.1),
            has_final_norm=False,
            **options,
        )

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        sentences: Tensor | None = None,
        *,
        is_causal: bool = False,
        cache: Sequence[BlockCache] | None = None,
        **reading: Any,
    ) -> Tensor:
        """Encode.

        Args:
            tokens: (B, L) ids.
            mask: (B, L) bool, true at real tokens; with a cache (B, L_k), those before them as well.
            sentences: (B, L), which of the two.
            is_causal: a token reads itself and what stands before it alone.
            cache, reading: see `Transformer.forward`.

        Returns:
            (B, L, D).
        """
        before = cache[0].attention.length if cache is not None else 0
        may = None if mask is None else masks.keys(mask.bool())
        if is_causal:
            earlier = masks.causal(tokens.shape[1], before + tokens.shape[1]).to(tokens.device)
            may = earlier if may is None else earlier & may
        return self.transformer(self.input(tokens, sentences, before), cache=cache, mask=may, **reading)


def encoder_names(ours: str, theirs: str) -> dict[str, Source]:
    """BERT's names of a text encoder: our prefix and theirs, each ending in a dot or empty."""
    layer, block = f"{theirs}encoder.layer.{{i}}.", f"{ours}transformer.blocks.{{i}}."
    return {
        f"{ours}input.word": f"{theirs}embeddings.word_embeddings",
        f"{ours}input.position.table": f"{theirs}embeddings.position_embeddings.weight",
        f"{ours}input.sentence": f"{theirs}embeddings.token_type_embeddings",
        f"{ours}input.norm": f"{theirs}embeddings.LayerNorm",
        f"{block}attention.qkv": (
            f"{layer}attention.self.query",
            f"{layer}attention.self.key",
            f"{layer}attention.self.value",
        ),
        f"{block}attention.out": f"{layer}attention.output.dense",
        f"{block}attention_residual.norm": f"{layer}attention.output.LayerNorm",
        f"{block}feed_forward.up": f"{layer}intermediate.dense",
        f"{block}feed_forward.down": f"{layer}output.dense",
        f"{block}feed_forward_residual.norm": f"{layer}output.LayerNorm",
    }


def word_head_names(ours: str, theirs: str, words: str) -> dict[str, Source]:
    """BERT's names of a head for masked words; ``words`` is their name of the word embeddings."""
    return {
        f"{ours}transform": f"{theirs}transform.dense",
        f"{ours}norm": f"{theirs}transform.LayerNorm",
        f"{ours}bias": f"{theirs}bias",
        f"{ours}words": words,
    }


class BERT(System):
    """BERT with both of its heads (Devlin et al., 2019, arXiv:1810.04805).

    L = L_mlm + L_nsp,   L_nsp = CE(W tanh(W_p x_0 + b_p) + b, y),   y = 0 where the second sentence follows
    """

    NAMES: ClassVar[Names] = {
        **encoder_names("text.", "bert."),
        "pooler.project": "bert.pooler.dense",
        **word_head_names("words.", "cls.predictions.", "bert.embeddings.word_embeddings"),
        "follows": "cls.seq_relationship",
    }
    IGNORED: ClassVar[tuple[str, ...]] = ("cls.predictions.decoder.*", "bert.embeddings.position_ids")

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        refuse(config, "BERT", tie_word_embeddings=True, is_decoder=False)
        self.text = TextEncoder(config)
        self.pooler = FirstTokenPooler(config["hidden_size"])
        self.words = WordHead(self.text.input.word, config.get("layer_norm_eps", 1e-12), activation(config))
        self.follows = nn.Linear(config["hidden_size"], 2)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(config)

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        sentences: Tensor | None = None,
        labels: Tensor | None = None,
        follows: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Encode, and predict.

        Args:
            tokens, mask, sentences: (B, L), see `TextEncoder.forward`.
            labels: (B, L), the words at masked places, ``IGNORED`` elsewhere.
            follows: (B,), 0 where the second sentence follows the first, 1 where it does not.

        Returns:
            ``states`` (B, L, D), ``pooled`` (B, D), ``words`` (B, L, V), ``follows`` (B, 2), and, as far as labels are
            given, ``mlm``, ``nsp`` and their sum ``loss``.
        """
        states = self.text(tokens, mask, sentences)
        pooled = self.pooler(states)
        found = {"states": states, "pooled": pooled, "words": self.words(states), "follows": self.follows(pooled)}
        losses = {}
        if labels is not None:
            losses["mlm"] = word_loss(found["words"], labels)
        if follows is not None:
            losses["nsp"] = functional.cross_entropy(found["follows"], follows, ignore_index=IGNORED)
        return with_losses(found, losses)
