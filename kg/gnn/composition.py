"""CompGCN as published, summed before it is multiplied: messages are linear, so no edge has a message of its own."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from kg.gnn.messages import full, sum_products, sum_rows
from kg.gnn.plan import EdgePlan

Composition = Literal["sub", "mult", "corr"]


class CompositionLayer(nn.Module):
    """h'_v = tanh(BN(⅓ (W_in Σ n_e φ(h_u, z_r) + W_out Σ n_e φ(h_u, z_r⁻¹) + W_loop φ(h_v, z_loop)) + b)).

    Relations go on as z' = W_rel z.

    CompGCN (Vashishth et al., 2020, arXiv:1911.03082, equations 2 to 5), n_e = 1/√(d(u) d(v)) in each direction.
    φ is a − b, a ∘ b or the circular correlation a ⋆ b. As W is linear, Σ W φ = W Σ φ; and Σ φ is a sum of differences,
    of products, or of products of Fourier coefficients (conj F(a) ∘ F(b)).

    Args:
        in_width, out_width: of node and relation vectors.
        composition: φ.
        dropout: of what comes along edges.
    """

    def __init__(self, in_width: int, out_width: int, composition: Composition = "mult", dropout: float = 0.0) -> None:
        super().__init__()
        self.composition = composition
        self.along, self.against, self.loop, self.relation = (
            nn.Linear(in_width, out_width, bias=False) for _ in range(4)
        )
        self.loop_vector = nn.Parameter(torch.randn(1, in_width) * in_width**-0.5)
        self.bias = nn.Parameter(torch.zeros(out_width))
        self.norm = nn.BatchNorm1d(out_width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, z: Tensor, forwards: EdgePlan, backwards: EdgePlan) -> tuple[Tensor, Tensor]:
        """Encode nodes and relations.

        Args:
            x: (N, in).
            z: (2R, in), relations and then their inverses.
            forwards: the edges (u, r, v), r < R.
            backwards: the same turned round, (v, r, u), r < R: z of r + R is taken.
        """
        half = len(z) // 2
        into = self.along(self.gather(x, z[:half], forwards))
        out = self.against(self.gather(x, z[half:], backwards))
        itself = self.loop(compose(x, self.loop_vector, self.composition))
        summed = (self.dropout(into) + self.dropout(out) + itself) / 3 + self.bias
        return torch.tanh(self.norm(summed)), self.relation(z)

    def gather(self, x: Tensor, z: Tensor, plan: EdgePlan) -> Tensor:
        """Return Σ n_e φ(h_u, z_r) over the edges into each node, (N, in)."""
        weight = plan.symmetric_norm
        if self.composition == "sub":
            return sum_rows(x, plan.source, weight, plan) - sum_rows(z, plan.relation, weight, plan)
        if self.composition == "mult":
            return sum_products(x, z, weight, plan)
        width = x.shape[1]
        a, b = torch.fft.rfft(full(x)).conj(), torch.fft.rfft(full(z))
        real_a, imag_a, real_b, imag_b = a.real, a.imag, b.real, b.imag
        left, right = torch.cat([real_a, imag_a], 1), torch.cat([real_b, imag_b], 1)
        straight = sum_products(left, right, weight, plan)  # [aa' | bb']
        crossed = sum_products(left, torch.cat([imag_b, real_b], 1), weight, plan)  # [ab' | ba']
        (aa, bb), (ab, ba) = straight.chunk(2, 1), crossed.chunk(2, 1)
        return torch.fft.irfft(torch.complex(aa - bb, ab + ba), n=width)


def compose(a: Tensor, b: Tensor, composition: Composition) -> Tensor:
    """Return φ(a, b), (…, D)."""
    if composition == "sub":
        return a - b
    if composition == "mult":
        return a * b
    return torch.fft.irfft(torch.fft.rfft(full(a)).conj() * torch.fft.rfft(full(b)), n=a.shape[-1])
