"""The mathematics of objectives as functions of tensors: no heads, no settings, no batches of ours.

A loss is a scalar, a mean over what counts (words, patches, regions, triples), in float32 or better, and zero with a
zero gradient where nothing counts. What hides things works where the loader does, on the CPU, and draws from the
generator it is given.

| file | what is in it |
|---|---|
| text_masks | words, whole words, entities, scene-graph nodes, spans (SpanBERT); 80/10/10 |
| structure_mask | structural knowledge masking (ROSITA) |
| span_corruption | T5's spans with sentinels; prefix and rest |
| picture_masks | at random, in blocks (BEiT), in tubes (VideoMAE), by attention (UMT) |
| picture_targets, hog | pixels (MAE), HOG (MaskFeat), codes (BEiT), a teacher's features (EVA, UMT) |
| vq_kd | BEiT v2's tokenizer |
| regions | masked regions: features, class, a detector's distribution |
| captioning | next words, words after a prefix, masked words; label smoothing |
| candidates, entities | choosing among candidates; masked entities and relations, typing |
| entity_alignment | ERNIE's denoising alignment, KnowBert's linking losses |
| triples, paths | TransE (KEPLER), DistMult (DRAGON), negatives; path completion |
| graph_text | Knowledge-CLIP's contrasts, K-LITE's enriched texts |
| retrieval | RA-VQA's joint loss, retriever distillation |
| weighting | fixed, scheduled and uncertainty weights |
| contrastive | InfoNCE both ways, ALBEF's soft targets, UniCL, several positives, hinge with hardest negatives |
| queue | the queue of past keys, MoCo |
| sigmoid | SigLIP |
| token_wise | FILIP, late interaction (ColBERT) |
| matching | hard negatives, Oscar's and VinVL's pollution |
| word_region | optimal transport by IPOT |
| grounding | regions and words (MDETR), boxes as a set (DETR) |
| adversarial | FreeLB |
| distillation | momentum distillation, frozen teachers by cosine, squares, distributions |
| video | wrong clips, order of frames, subtitles |
"""
