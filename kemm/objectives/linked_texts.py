"""What is to be learned of descriptions joined by links: TransE, paths, types; and of pictures that share something."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.data.ties import Links
from kemm.fuse.encoded import Encoded
from kemm.objectives.losses.entities import entity_typing
from kemm.objectives.losses.paths import follow, path_completion
from kemm.objectives.losses.triples import negative_sampling, transe_distance
from kemm.objectives.objective import Context, Objective


class Linked(Objective):
    """What these objectives share: rows that the graph joins, known by a modality's vector before fusion."""

    modality = "language"

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("links", self.modality)

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.entity = nn.Sequential(
            nn.LayerNorm(context.pooled[self.modality]), nn.Linear(context.pooled[self.modality], context.width)
        )
        self.relation = nn.Linear(context.text_width, context.width)

    def links(self, encoded: Encoded) -> Links:
        """Those of the batch.

        Raises:
            MissingModality: there are none.
        """
        samples = encoded.batch.samples
        return self.require(samples.links if samples is not None else None, " and ".join(self.needs))

    def entities(self, encoded: Encoded, links: Links) -> Tensor:
        """(L, D) of the rows that are joined."""
        return self.entity(encoded.pooled(self.modality, links.rows))

    def relations(self, links: Links) -> Tensor:
        """(R, D)."""
        return self.relation(links.relations * links.relations.shape[1] ** 0.5)


class DescriptionTransE(Linked):
    """TransE whose entities are what a text encoder makes of their descriptions (``description_transe``).

        L = −log σ(γ − ‖h + r − t‖_p) − 1/n Σ_i log σ(‖h + r − t′_i‖_p − γ),   h, t = W LN(text(description))

    KEPLER (Wang et al., 2021, arXiv:1911.06136), beside ``mlm`` on the same texts where the text tower, or words from
    scratch, train. There one end is replaced by any entity of the graph and p = 1 without a norm; here tails alone, by
    all other descriptions of the batch that the graph does not say, and ends are of unit length.
    """

    def distances(self, encoded: Encoded) -> tuple[Tensor, Links, Tensor]:
        """‖h + r − e‖ of every link and row (M, L), the links, and which links are of one step (M,)."""
        links = self.links(encoded)
        e = F.normalize(self.entities(encoded, links), dim=-1)
        moved = e[links.head] + self.relations(links)[links.steps[:, 0]]
        return transe_distance(moved[:, None], 0.0 * e[None], e[None], self.settings.norm), links, links.length == 1

    def forward(self, encoded: Encoded) -> Tensor:
        distance, links, single = self.distances(encoded)
        place = torch.arange(len(distance), device=distance.device)
        true = -distance[place, links.tail]
        wrong = ~links.right & (torch.arange(distance.shape[1], device=distance.device) != links.head[:, None])
        return negative_sampling(true[single], -distance[single], self.settings.margin, wrong[single])

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        """How often the nearest of the batch's descriptions is a true tail."""
        distance, links, single = self.distances(encoded)
        return _nearest(-distance[single], links.right[single])


class PathCompletion(Linked):
    """Where does a walk along given relations end? (``path_completion``)

        score = ⟨e_h ∘ Π_s r_s, e_k⟩,   L = mean over paths of −log softmax_k(score)[right]

    Guu et al. (2015, arXiv:1506.01094), with DistMult's product; there by a margin against one wrong end, here by
    cross-entropy over the batch's descriptions, all ends that the graph knows being right.
    """

    def reached(self, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor]:
        """Where paths lead (M, D), all ends (L, D), and which are right (M, L)."""
        links = self.links(encoded)
        e = self.entities(encoded, links)
        steps = self.relations(links)[links.steps.clamp(min=0)]  # (M, S, D)
        return follow(e[links.head], steps, links.steps >= 0, by_product=True), e / e.shape[1] ** 0.5, links.right

    def forward(self, encoded: Encoded) -> Tensor:
        return path_completion(*self.reached(encoded), by_product=True)

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        reached, ends, right = self.reached(encoded)
        return _nearest(reached @ ends.T, right)


class EntityTyping(Linked):
    """Of what types is the described thing? (``entity_typing``)

        L = mean over rows i and types c of BCE(σ(⟨W LN(x_i), W_c z_c⟩ / √D + b), y_ic)

    ERNIE's typing (Zhang et al., 2019, arXiv:1905.07129); types are known by their names, so a new one can be asked
    for. ``of: vision`` types pictures.
    """

    def __init__(self, settings: Any, context: Context) -> None:
        self.modality = settings.of
        super().__init__(settings, context)
        self.bias = nn.Parameter(torch.tensor(-2.0))  # most types are not one's own

    def logits(self, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor]:
        """(L, C), which are right, and of which rows something is known (L,)."""
        links = self.links(encoded)
        is_there = encoded.samples.present(self.modality)[links.rows] & links.types.any(1)
        x = self.entities(encoded, links)
        classes = self.relation(links.classes * links.classes.shape[1] ** 0.5)
        return x @ classes.T / x.shape[1] ** 0.5 + self.bias, links.types, is_there

    def forward(self, encoded: Encoded) -> Tensor:
        logits, types, is_there = self.logits(encoded)
        return entity_typing(logits[None], types[None], is_there[None])

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        """How often the likeliest type is right; ``chance`` always says the commonest."""
        logits, types, is_there = self.logits(encoded)
        if not bool(is_there.any()):
            return {}
        right = types[is_there]
        hits = right.gather(1, logits[is_there].argmax(1, keepdim=True))
        return {"accuracy": hits.float().mean().item(), "chance": right.float().mean(0).max().item()}


class PictureRelation(Linked):
    """What do two pictured things share? (``picture_relation``)

        L = mean over pairs i < j and relations r of BCE(σ(⟨v_i ∘ v_j, r⟩ / √D + w · r), whether r joins i and j)

    Relation prediction between pictures, scored as DistMult, with how common a relation is told from its text. A pair
    is joined by a fact, or by two that say the same of both (made by the same firm); most pairs share several.
    """

    modality = "vision"

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.common = nn.Linear(context.width, 1)

    def compared(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Logits (P, R) of P pairs of pictures, and which relations join them (P, R)."""
        links = self.links(encoded)
        rows = encoded.samples.present("vision")[links.rows].nonzero().squeeze(1)
        v = self.entities(encoded, links)[rows]  # (N, D)
        names = links.relations[: len(links.relations) // 2]  # without the inverses
        relations = self.relation(names * names.shape[1] ** 0.5)
        head, tail = torch.triu_indices(len(rows), len(rows), 1, device=rows.device)
        logits = (v[head] * v[tail]) @ relations.T / v.shape[1] ** 0.5 + self.common(relations)[:, 0]
        return logits, links.shared[rows[head], rows[tail]]

    def forward(self, encoded: Encoded) -> Tensor:
        logits, right = self.compared(encoded)
        if not len(logits):
            return logits.sum()
        return F.binary_cross_entropy_with_logits(logits.float(), right.float())

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        """How often yes or no is right, over pairs and relations; ``chance`` says of each relation what is commoner."""
        logits, right = self.compared(encoded)
        if not len(logits):
            return {}
        share = right.float().mean(0)
        hits = (logits > 0) == right
        return {"accuracy": hits.float().mean().item(), "chance": torch.maximum(share, 1 - share).mean().item()}


def _nearest(scores: Tensor, right: Tensor) -> dict[str, float]:
    """How often the best scored is right, and by chance."""
    if not len(scores):
        return {}
    hits = right.gather(1, scores.argmax(1, keepdim=True))
    return {"accuracy": hits.float().mean().item(), "chance": right.float().mean().item()}
