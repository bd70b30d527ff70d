"""Masked modelling of words, pictures and entities."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.fuse.model import Encoded
from kemm.objectives.losses.entities import masked_entity
from kemm.objectives.objective import Context, Objective


class MaskedLanguage(Objective):
    """Predict hidden words of a caption from the rest and the picture (``mlm``).

        L = CE(E g(W h_t) + b, w_t) over hidden t,   E: the text tower's own embedding table, frozen

    BERT's objective (Devlin et al., 2019, arXiv:1810.04805) with every chosen token masked (no 80/10/10), and the
    tower run on the masked caption, so that nothing of a hidden word reaches its neighbours.
    """

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.transform = nn.Sequential(
            nn.Linear(context.width, context.text_width), nn.GELU(), nn.LayerNorm(context.text_width)
        )
        self.table: Tensor
        table = context.token_embeddings.detach().float().clone()
        self.register_buffer("table", table, persistent=False)  # the tower's, so not in our checkpoints
        self.bias = nn.Parameter(torch.zeros(len(table)))

    def forward(self, encoded: Encoded) -> Tensor:
        pairs = self.require(encoded.batch.pairs, "picture–caption pairs")
        hidden = pairs.token_targets >= 0  # (B, T)
        states = self.transform(encoded.masked["language"][:, 1:][hidden])  # (hidden, D_t)
        if not len(states):
            return states.sum()
        return F.cross_entropy(F.linear(states, self.table, self.bias), pairs.token_targets[hidden])


class MaskedImage(Objective):
    """Predict the frozen tower's features of hidden patches from the rest and the caption (``mim``).

        L = 1 − cos(W h_p, LN(v_p)) over hidden p

    EVA's objective (Fang et al., 2023, arXiv:2211.07636) with this model's own vision tower as the teacher, and patches
    hidden at random instead of in blocks.
    """

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.head = nn.Linear(context.width, context.vision_width)

    def forward(self, encoded: Encoded) -> Tensor:
        pairs = self.require(encoded.batch.pairs, "picture–caption pairs")
        hidden = encoded.masked_patches  # (B, P)
        predicted = self.head(encoded.masked["vision"][hidden])  # (hidden, D_v)
        target = F.layer_norm(pairs.patches[hidden], predicted.shape[1:])
        return (1 - F.cosine_similarity(predicted, target, dim=-1)).mean()


class MaskedEntity(Objective):
    """Name hidden entities of the subgraph from question, picture and the other facts (``mem``).

        L = CE(⟨W h_f, x_v⟩ / τ) over facts f whose far end v is hidden, against all nodes of the batch

    Nodes with the same text are all positives. After ERNIE's denoising entity alignment (Zhang et al., 2019,
    arXiv:1905.07129): there entities are aligned to words, here they are named by text, so new ones have a target.
    """

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.head = nn.Linear(context.width, context.text_width)

    def forward(self, encoded: Encoded) -> Tensor:
        questions = self.require(encoded.batch.questions, "questions with facts")
        facts, hidden = questions.facts, encoded.masked_nodes
        zero = self.head.bias.sum() * 0.0
        if facts is None or hidden is None:
            return zero
        rows = hidden[facts.far].nonzero().squeeze(1)  # facts that lead to a hidden node
        if not len(rows):
            return zero
        tokens = encoded.asked["knowledge"].flatten(0, 1)[facts.slot[rows]]  # (hidden, D)
        predicted = F.normalize(self.head(tokens), dim=-1)
        same = facts.node_vectors[facts.far[rows]] @ facts.node_vectors.T > 0.999  # (hidden, N)
        return masked_entity(predicted, facts.node_vectors, same, self.settings.temperature)
