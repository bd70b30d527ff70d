"""A graph encoder with a decoder as one embedding model: entities' vectors are what message passing makes of them.

    model = EncodedModel(E, R, 128, train, encoder={"kind": "rgcn", "num_bases": 30}, decoder={"name": "distmult"})
    model.score_tails(heads, relations)        # the whole graph is encoded once, then scored as DistMult does

As in R-GCN (Schlichtkrull et al., 2018, section 4), CompGCN and SACN. Vectors are made at the first question of a step
and kept until their gradient has been asked for, or a parameter changes; a ranking makes them once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kg.embeddings.product import ProductModel
from kg.errors import InputError
from kg.gnn import GRAPH_STACKS
from kg.gnn.messages import full
from kg.gnn.stacks import TrainingGraph
from kg.registry import resolve

#: name → "module:Class"; models whose tables an encoder may fill: a query is multiplied with keys
DECODERS = {
    "distmult": "kg.embeddings.bilinear:DistMult",
    "complex": "kg.embeddings.bilinear:ComplEx",
    "conve": "kg.embeddings.neural:ConvE",
    "convtranse": "kg.embeddings.neural:ConvTransE",
}


class EncodedModel(ProductModel):
    """f(h, r, t) = decoder(x_h, z_r, x_t), (x, z) = encoder(x⁰, z⁰) over the training triples in both directions.

    Args:
        dimension: of all vectors, as the decoder counts (ComplEx: in complex numbers).
        train: (M, 3), the triples along which messages go.
        encoder: ``kind`` of ``GRAPH_STACKS``, and its arguments.
        decoder: ``name`` of ``DECODERS``, and its arguments.
        options: of ``KGEModel``; ``dropout`` is the decoder's.

    Raises:
        InputError: an encoder that transforms relations needs reciprocal ones, of the width of entities.
    """

    #: Whether the model is made with the training triples.
    reads_graph = True

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        dimension: int,
        train: np.ndarray,
        encoder: Mapping[str, Any],
        decoder: Mapping[str, Any],
        **options: Any,
    ) -> None:
        options.setdefault("initial", dimension**-0.5)
        made = resolve(DECODERS, decoder["name"], "decoder")
        arguments = {key: value for key, value in decoder.items() if key != "name"}
        inner: ProductModel = made(num_entities, num_relations, dimension, **arguments, **options)
        given = inner.entities, inner.relations
        super().__init__(num_entities, num_relations, 0, 0, reciprocal=inner.reciprocal, seed=options.get("seed", 0))
        for module in (self, inner):
            del module.entities, module.relations  # from here on they are what the encoder gives
        self.decoder, self.dropout, self.scores_heads = inner, inner.dropout, inner.scores_heads
        self.given = nn.ParameterList(given)
        stack = resolve(GRAPH_STACKS, encoder["kind"], "graph encoder")
        if stack.transforms_relations and not (self.reciprocal and given[0].shape[1] == given[1].shape[1]):
            raise InputError(
                f"the encoder {encoder['kind']} transforms relations and their inverses: set model.reciprocal to true"
            )
        arguments = {key: value for key, value in encoder.items() if key != "kind"}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.generator.initial_seed())
            self.encoder = stack(TrainingGraph(train, num_entities, num_relations), given[0].shape[1], **arguments)
        self._held: tuple[Any, Tensor, Tensor] | None = None

    # -- vectors -------------------------------------------------------------------------------------------------------

    def encoded(self) -> tuple[Tensor, Tensor]:
        """Return the vectors of entities and relations, (E, De), (R or 2R, Dr)."""
        changes = tuple(parameter._version for parameter in self.parameters())
        state = changes, self.training, torch.is_grad_enabled()
        if self._held is None or self._held[0] != state:
            x, z = (full(vectors) for vectors in self.encoder(*self.given))  # autocast may have left 16 bits
            for vectors in (x, z):
                if vectors.requires_grad and not vectors.is_leaf:
                    vectors.register_hook(self._forget)  # a graph can be gone back through once
            self._held = state, x, z
        return self._held[1], self._held[2]

    def _forget(self, gradient: Tensor) -> None:
        self._held = None

    def train(self, mode: bool = True) -> EncodedModel:
        """Switch dropout and batch statistics; vectors are made anew."""
        self._held = None
        super().train(mode)
        return self

    def __getattr__(self, name: str) -> Any:
        if name in ("entities", "relations") and "_held" in self.__dict__:
            return self.encoded()[0 if name == "entities" else 1]
        return super().__getattr__(name)

    def entity(self, numbers: Tensor) -> Tensor:
        return nn.functional.embedding(numbers, self.entities)

    def relation(self, numbers: Tensor) -> Tensor:
        return nn.functional.embedding(numbers, self.relations)

    # -- scores: the decoder's -----------------------------------------------------------------------------------------

    def score(self, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        scores = self.interact(self.entity(heads), self.relation(relations), self.entity(tails))
        bias = self.bias()
        return scores if bias is None else scores + bias[tails]

    def interact(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        return (self.tail_query(h, r) * self.tail_keys(t)).sum(-1)

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        return self.decoder.tail_query(h, r)

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        return self.decoder.head_query(r, t)

    def relation_query(self, h: Tensor, t: Tensor) -> Tensor:
        return self.decoder.relation_query(h, t)

    def tail_keys(self, e: Tensor) -> Tensor:
        return self.decoder.tail_keys(e)

    def head_keys(self, e: Tensor) -> Tensor:
        return self.decoder.head_keys(e)

    def bias(self) -> Tensor | None:
        return self.decoder.bias()

    def factors(self, h: Tensor, r: Tensor, t: Tensor) -> tuple[Tensor, ...]:
        return self.decoder.factors(h, r, t)
