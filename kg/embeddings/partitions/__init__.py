"""Training with more entities than fit in memory: their vectors lie on disk in parts, of which two are held at a time.

    from kg.embeddings.partitions.training import fit

The scheme of PyTorch-BigGraph (Lerer et al., 2019, arXiv:1903.12287, sections 3 and 4): triples lie in buckets by the
parts of their head and tail; training goes from pair to pair of parts, and draws negatives from the two in memory.
A part's vectors travel with what the optimiser keeps of them. Relations, and whatever else a model has, stay in memory.

    plan.py      which entity is in which part in an epoch; the order of pairs: each but the first loads one part
    buckets.py   the triples, sorted by pair, mapped from disk
    tables.py    the two parts in memory and the files of all; a kill leaves the last whole state
    export.py    the parts as one ordinary checkpoint, written row by row
    ranking.py   filtered ranks of a checkpoint that is read block by block
    training.py  fit
"""
