"""Graph encoders: message passing over retrieved subgraphs (``GNNS``) or a whole graph (``GRAPH_ENCODERS``)."""

from __future__ import annotations

#: name → "module:Class"; relation vectors are given, nodes are those of retrieved subgraphs
GNNS = {"compgcn": "kg.gnn.compgcn:CompGCN"}

#: name → "module:Class"; nodes of retrieved subgraphs have a type and a relevance, edges a numbered type
TYPED_GNNS = {"qa-gnn": "kg.gnn.typed_attention:TypedAttention"}

#: name → "module:Class"; relations are numbered, edges come as a ``kg.gnn.plan.EdgePlan``
GRAPH_ENCODERS = {
    "rgcn": "kg.gnn.rgcn:RGCN",
    "compgcn": "kg.gnn.composition:CompositionLayer",
    "rgat": "kg.gnn.rgat:RGATLayer",
    "nbfnet": "kg.gnn.nbfnet:NBFNet",
    "sacn": "kg.gnn.sacn:WeightedConvolution",
    "sage": "kg.gnn.sage:SAGELayer",
    "hgt": "kg.gnn.hgt:HGTLayer",
}

#: name → "module:Class"; stacks of layers over all training triples, for link prediction (``kg.embeddings.encoded``)
GRAPH_STACKS = {
    "rgcn": "kg.gnn.stacks:RGCNStack",
    "compgcn": "kg.gnn.stacks:CompGCNStack",
    "rgat": "kg.gnn.stacks:RGATStack",
    "sacn": "kg.gnn.stacks:SACNStack",
    "sage": "kg.gnn.stacks:SAGEStack",
    "hgt": "kg.gnn.stacks:HGTStack",
}
