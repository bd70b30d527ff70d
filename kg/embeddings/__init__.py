"""Embedding models: entities and relations as vectors that say which facts are likely.

    from kg.embeddings.sources import read_folder         # triples as numbers, in splits
    from kg.embeddings.runs import train, load            # a run as configs/kg/*.yaml describes it
    from kg.embeddings.ranking import rank                # filtered ranks of a split
    from kg.embeddings.figures import figures             # MRR, hits@k, AMRI …
    from kg.embeddings.modalities import read_modality    # vectors of texts, pictures, literals
    from kg.embeddings.facts import FactEncoder           # facts as tokens for an encoder
    from kg.embeddings.cold import embed_cold             # a vector for a new entity, without training

    from kg.embeddings.bi_encoder import BiEncoder        # entities by their texts; not in the table: it needs them
    from kg.embeddings.combination import Combination     # the weighted sum of several models

The contract is ``kg.embeddings.model.KGEModel``. torch is imported by the files of this package, not by ``kg``.
"""

from __future__ import annotations

#: name → "module:Class"
EMBEDDING_MODELS = {
    "distmult": "kg.embeddings.bilinear:DistMult",
    "complex": "kg.embeddings.bilinear:ComplEx",
    "cp": "kg.embeddings.bilinear:CP",
    "simple": "kg.embeddings.bilinear:SimplE",
    "rescal": "kg.embeddings.tensors:RESCAL",
    "tucker": "kg.embeddings.tensors:TuckER",
    "hole": "kg.embeddings.tensors:HolE",
    "transe": "kg.embeddings.translational:TransE",
    "transh": "kg.embeddings.translational:TransH",
    "transr": "kg.embeddings.translational:TransR",
    "transd": "kg.embeddings.translational:TransD",
    "rotate": "kg.embeddings.translational:RotatE",
    "ntn": "kg.embeddings.neural:NTN",
    "conve": "kg.embeddings.neural:ConvE",
    "convtranse": "kg.embeddings.neural:ConvTransE",
    "encoded": "kg.embeddings.encoded:EncodedModel",
    "nbfnet": "kg.embeddings.path_model:PathModel",
}

#: Models of entities with several modalities, which they are given as ``modalities``: name → "module:Class"
FUSION_MODELS = {
    "gated": "kg.embeddings.gate:Gated",
    "momok": "kg.embeddings.experts:MixtureOfExperts",
    "mygo": "kg.embeddings.token_attention:TokenAttention",
    "mhyper": "kg.embeddings.biquaternion:Biquaternion",
}
