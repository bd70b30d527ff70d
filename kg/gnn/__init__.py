"""Graph encoders: message passing over retrieved subgraphs (``GNNS``) or a whole graph (``GRAPH_ENCODERS``)."""

from __future__ import annotations

#: name → "module:Class"; relation vectors are given, nodes are those of retrieved subgraphs
GNNS = {"compgcn": "kg.gnn.compgcn:CompGCN"}

#: name → "module:Class"; relations are numbered, edges come as a ``kg.gnn.plan.EdgePlan``
GRAPH_ENCODERS = {
    "rgcn": "kg.gnn.rgcn:RGCN",
    "compgcn": "kg.gnn.composition:CompositionLayer",
    "rgat": "kg.gnn.rgat:RGATLayer",
    "nbfnet": "kg.gnn.nbfnet:NBFNet",
}
