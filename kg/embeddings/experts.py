"""Experts of each modality chosen by the relation, and an ensemble of their scores: MoMoK.

Zhang et al., 2025 (arXiv:2405.16869), and the authors' code. For modality m (structure is one), expert k, relation r:

    e_m(r) = Σ_k g_mk V_mk (x_m − c_mk)              g_m = softmax((x_m G_m + noise) / σ(ψ_r))
    noise = ε ∘ (softplus(x_m N_m) + 0.01), ε ~ N(0, 1), in training                             (equations 2 to 4)
    e_joint = Σ_j Σ_m α_jm relu(W_jm e_m)            α_j = softmax over m of aᵀ relu(W_jm e_m), j = 1, 2      (5, 6)
    f(h, r, t) = Σ_m ⟨query_m(e_m(r), r_m), e_m(t)⟩ + ⟨query_joint(e_joint(r), r_joint), e_joint(t)⟩

Candidates are weighed without the relation (σ(ψ) = 1), as in the code. Where we differ: a missing modality has no part
in α and adds nothing to the score, for the authors it is a random vector; the loss is that of the summed score,
theirs the sum of four losses; r_joint is a vector of its own, theirs a fusion like the entities'; the modalities'
vectors stay as they are, theirs are tuned; experts are not pushed apart by an estimate of their mutual information,
which weighs 0.0001 there. Every interaction is the base model's, TuckER's there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kg.embeddings.fused import FusedModel, Seen
from kg.embeddings.product import ProductModel

_JOINT = 2  # parallel layers of the joint vector


class MixtureOfExperts(FusedModel):
    """MoMoK. Needs reciprocal relations, since the experts' weights see the relation of the given entity.

    Args:
        experts: K of each modality.
        options: see ``FusedModel``.
    """

    def __init__(
        self, num_entities: int, num_relations: int, dimension: int, *, experts: int = 3, **options: Any
    ) -> None:
        super().__init__(num_entities, num_relations, dimension, **options)
        self.scores_heads = False
        base, D = type(self.base), self.width
        ways = 1 + len(self.names)
        spread = float(self.entities.detach().std())
        widths = [D, *(int(width) for _, width in self.shapes)]
        self.experts = nn.ParameterList(  # V, (K, W, D)
            self.normal(experts, width, D, std=(1.0 if m == 0 else spread) * width ** (-0.5 if m == 0 else 0.5))
            for m, width in enumerate(widths)
        )
        self.centres = nn.ParameterList(torch.zeros(experts, width) for width in widths)  # c
        self.gates = nn.ParameterList(torch.zeros(width, experts) for width in widths)  # G
        self.noises = nn.ParameterList(torch.zeros(width, experts) for width in widths)  # N
        self.joint = nn.Parameter(self.normal(_JOINT, ways, D, D, std=D**-0.5))  # W
        self.attention = nn.Parameter(self.normal(D, std=D**-0.5))  # a
        rows = len(self.relations)
        std = float(self.relations.detach().std())
        self.of_modalities = nn.Parameter(self.normal(rows, ways * self.relation_width, std=std))  # r_1 … r_joint
        self.sharpness = nn.Parameter(torch.zeros(rows, 1))  # ψ
        inner = dict(options.get("base_options") or {})
        self.interactions = nn.ModuleList(self._interaction(base, dimension, inner, place) for place in range(ways))

    def _interaction(self, base: type[ProductModel], dimension: int, options: dict[str, Any], place: int) -> nn.Module:
        """A base model's interaction without its tables; the first is ``self.base``."""
        made = base(1, 1, dimension, reciprocal=True, seed=place + 1, **options)  # type: ignore[call-arg, arg-type]
        del made.entities, made.relations
        return made

    def relation(self, numbers: Tensor) -> Tensor:
        """Return [r_structure | r_1 … r_joint | ψ_r]."""
        return torch.cat([super().relation(numbers), self.of_modalities[numbers], self.sharpness[numbers]], -1)

    def factors(self, h: Tensor, r: Tensor, t: Tensor) -> tuple[Tensor, ...]:
        """Return structure's own: the other vectors are held by what they are made of."""
        (h_0, *_), (t_0, *_) = self.spread(h).parts, self.spread(t).parts
        return self.base.factors(h_0[..., 0, :], self.relation_part(r), t_0[..., 0, :])

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        dropped = self.fused_dropout
        *relations, _ = r.split([*[self.relation_width] * (len(self.interactions) + 1), 1], -1)
        vectors = self._vectors(self.spread(h), torch.sigmoid(r[..., -1:]))
        models = [self.base, *self.interactions]
        queries = [model.tail_query(dropped(e), dropped(own)) for model, e, own in zip(models, vectors, relations)]
        return torch.cat(queries, -1)

    def tail_keys(self, e: Tensor) -> Tensor:
        models = [self.base, *self.interactions]
        return torch.cat(
            [model.tail_keys(part) for model, part in zip(models, self._vectors(self.spread(e), None))], -1
        )

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        raise AssertionError("heads are asked for by reciprocal relations")

    def fuse_query(self, seen: Seen, r: Tensor) -> Tensor:
        return self._vectors(seen, torch.sigmoid(r[..., -1:]))[-1]

    def fuse_key(self, seen: Seen) -> Tensor:
        """Return the joint vector, (…, D)."""
        return self._vectors(seen, None)[-1]

    def _vectors(self, seen: Seen, sharpness: Tensor | None) -> list[Tensor]:
        """Return e_m of each modality and e_joint, (…, D) each; 0 where a modality is missing."""
        found, has = [], [known.any(-1, keepdim=True) for known in seen.known]  # (…, 1)
        for m, (part, known) in enumerate(zip(seen.parts, seen.known)):
            x = part[..., 0, :]
            if m:
                x = nn.functional.normalize((part * known[..., None]).sum(-2), dim=-1)  # (…, W)
            scale = 1.0 if m == 0 else len(self.gates[m]) ** -0.5  # see kg.embeddings.gate
            logits = x @ self.gates[m]  # (…, K)
            if self.training:
                logits = logits + torch.randn_like(logits) * (nn.functional.softplus(x @ self.noises[m]) + 0.01)
            weights = torch.softmax(logits if sharpness is None else logits / sharpness, -1)
            shifted = x[..., None, :] - self.centres[m]  # (…, K, W)
            # Σ_k g_k V_k (x − c_k), as one product: (…, K·W) by (K·W, D)
            mixed = (weights[..., None] * shifted).flatten(-2) @ self.experts[m].flatten(0, 1)
            found.append(torch.where(has[m], mixed * scale, 0.0))
        hidden = torch.relu(torch.einsum("...md,jmde->...jme", torch.stack(found, -2), self.joint))  # (…, 2, 1 + M, D)
        logits = (hidden @ self.attention).masked_fill(~torch.cat(has, -1)[..., None, :], -torch.inf)
        return [*found, (torch.softmax(logits, -1)[..., None] * hidden).sum((-3, -2))]
