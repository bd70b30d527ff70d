"""The mathematics of objectives as functions of tensors: no heads, no settings, no batches of ours.

| file | what is in it |
|---|---|
| contrastive | InfoNCE both ways, ALBEF's soft targets, UniCL, several positives, hinge with hardest negatives |
| queue | the queue of past keys, MoCo |
| sigmoid | SigLIP |
| token_wise | FILIP, late interaction (ColBERT) |
| matching | hard negatives, Oscar's and VinVL's pollution, next sentence, LinkBERT |
| word_region | optimal transport by IPOT |
| grounding | regions and words (MDETR), boxes as a set (DETR) |
| adversarial | FreeLB |
| distillation | momentum distillation, frozen teachers by cosine, squares, distributions |
| video | wrong clips, order of frames, subtitles |
"""
