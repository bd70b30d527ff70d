"""Cold entities: a vector for an entity that training never saw, from its facts, by one solve and without training.

Where a score is linear in the entity's vector, f = c + ⟨q, e⟩, a fact is a linear equation: q is read off as the
derivative, so it needs no code for each model. Trained entities say what vectors are like, e ~ N(μ, Σ), and what a
right answer scores, y with spread σ; then the likeliest e is the ridge (Gaussian process) solution

    e = μ + α Σ Qᵀ (Q Σ Qᵀ + σ² I)⁻¹ (y − c − Q μ)        Q (2n, De): each of n facts as tail's and as head's question

Facts say where an entity should score high and nothing where it should not, so with α = 1 new entities would push
themselves before others (on CoDEx-S ordinary facts' MRR fell from 0.41 to 0.30 with 5 % of entities cold). α is the
regression of trained entities' vectors on what the solve gives for them from a few of their facts.

With reciprocal relations a fact is two equations, since the model asks for its head by another relation. An entity with
texts, pictures or literals needs no solve in a model of several modalities: the gate leaves out the structure that is
missing (``in_training`` of ``kg.embeddings.fused``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from kg.embeddings.fused import FusedModel
from kg.embeddings.model import KGEModel
from kg.embeddings.triples import Array
from kg.errors import InputError


@dataclass(frozen=True)
class Prior:
    """What trained entities are like.

    Attributes:
        mean: μ, (De,).
        covariance: Σ, (De, De).
        right: what right answers score: mean of each relation and side, (2, R).
        noise: σ² of that.
        shrink: α.
    """

    mean: Tensor
    covariance: Tensor
    right: Tensor
    noise: float
    shrink: float = 1.0


@torch.no_grad()
def learn_prior(
    model: KGEModel, train: Array, *, most: int = 20000, sample: int = 200, facts: int = 10, seed: int = 0
) -> Prior:
    """Return what a trained model's entities and scores are like.

    Args:
        train: (N, 3), its training triples.
        most: triples that are looked at, drawn evenly.
        sample: entities from which α is learned, each solved for from so many ``facts`` of its own at most; 0: α = 1.
        seed: of their draw.

    Raises:
        InputError: the model is of several modalities: its vectors are no vectors to solve for.
    """
    _refuse_fused(model)
    model.eval()
    seen = np.unique(train[:, [0, 2]])
    vectors = model.entity(torch.from_numpy(seen.astype(np.int64))).double()  # (E', De)
    mean = vectors.mean(0)
    centred = vectors - mean
    covariance = centred.T @ centred / max(1, len(seen) - 1)
    rows = train[np.linspace(0, len(train) - 1, min(most, len(train))).astype(np.int64)].astype(np.int64)
    h, r, t = (torch.from_numpy(rows[:, column].copy()) for column in range(3))
    scores = torch.stack([model.score(h, r, t), _turned(model, h, r, t)]).double()  # (2, N)
    num = model.num_relations
    counts = torch.zeros(num).double().index_add_(0, r, torch.ones(len(r)).double())
    totals = torch.zeros(2, num).double().index_add_(1, r, scores)
    overall = scores.mean(1, keepdim=True)
    right = (totals + overall) / (counts + 1)  # a relation with few triples leans on all
    noise = float((scores - right[:, r]).square().mean())
    prior = Prior(mean, covariance, right, max(noise, 1e-9))
    random = np.random.default_rng(seed)
    product = length = 0.0
    for entity in random.choice(seen, min(sample, len(seen)), replace=False).tolist():
        own = train[(train[:, [0, 2]] == entity).any(axis=1)]
        solved = embed_cold(model, random.permutation(own)[:facts], entity, prior).double() - mean
        trained = model.entity(torch.tensor(entity)).double() - mean
        product, length = product + float(solved @ trained), length + float(solved @ solved)
    return replace(prior, shrink=min(1.0, max(0.0, product / length))) if length else prior


def embed_cold(model: KGEModel, facts: Array, entity: int, prior: Prior) -> Tensor:
    """Return a vector for an entity from facts about it, (De,); without facts it is the mean of all entities.

    Args:
        facts: (n, 3) of the model's numbers; ``entity`` stands as head or tail (or both: such a fact is left out), the
            other end and the relation are trained.
        entity: the number that stands for the new one in ``facts``; what the model holds there isn't read.
        prior: of ``learn_prior``.

    Raises:
        InputError: a fact isn't about the entity, or the model's score isn't linear in it (RotatE, ConvE …).
    """
    _refuse_fused(model)
    facts = np.asarray(facts, dtype=np.int64).reshape(-1, 3)
    is_head, is_tail = facts[:, 0] == entity, facts[:, 2] == entity
    if not (is_head | is_tail).all():
        raise InputError(f"{int((~(is_head | is_tail)).sum())} facts are not about entity {entity}")
    model.eval()
    rows, constants, wanted = [], [], []
    for as_head in (True, False):
        part = facts[(is_head if as_head else is_tail) & ~(is_head & is_tail)]
        if not len(part):
            continue
        relation = torch.from_numpy(part[:, 1].copy())
        other = model.entity(torch.from_numpy(part[:, 2 if as_head else 0].copy())).detach()
        for side in (0, 1) if model.reciprocal else (0,):
            r = model.relation(model.turned(relation) if side else relation).detach()
            is_first = as_head == (side == 0)  # the entity stands first in what is scored
            q, c = _linear_form(model, r, other, is_first)
            rows.append(q)
            constants.append(c)
            wanted.append(prior.right[side, relation])
    if not rows:
        return prior.mean.float()
    Q, y = torch.cat(rows).double(), torch.cat(wanted) - torch.cat(constants).double()
    spread = prior.covariance @ Q.T  # (De, n)
    kernel = Q @ spread + prior.noise * torch.eye(len(Q), dtype=Q.dtype)
    return (prior.mean + prior.shrink * (spread @ torch.linalg.solve(kernel, y - Q @ prior.mean))).float()


def _linear_form(model: KGEModel, r: Tensor, other: Tensor, is_first: bool) -> tuple[Tensor, Tensor]:
    """Return q (n, De) and c (n,) with which the scores are c + ⟨q, e⟩."""

    def scores(e: Tensor) -> Tensor:
        return model.interact(e, r, other) if is_first else model.interact(other, r, e)

    with torch.enable_grad():
        zero = torch.zeros_like(other, requires_grad=True)
        at_zero = scores(zero)
        (q,) = torch.autograd.grad(at_zero.sum(), zero, allow_unused=True)
    q = torch.zeros_like(other) if q is None else q
    with torch.no_grad():
        probe = torch.ones_like(other)
        if not torch.allclose(scores(probe), at_zero + (q * probe).sum(-1), rtol=1e-3, atol=1e-4):
            raise InputError(
                f"{type(model).__name__}'s score isn't linear in an entity: embed cold ones with a model that is, such "
                "as complex, distmult or tucker"
            )
    return q.detach(), at_zero.detach()


def _turned(model: KGEModel, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
    return model.score(t, model.turned(r), h) if model.reciprocal else model.score(h, r, t)


def _refuse_fused(model: KGEModel) -> None:
    if isinstance(model, FusedModel):
        raise InputError(
            f"{type(model).__name__} makes vectors from modalities: give the new entity's in `modalities` and False in "
            "`in_training` instead of solving for it"
        )
