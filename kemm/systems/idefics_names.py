"""Whose parameter is whose in Idefics."""

from __future__ import annotations

from kemm.systems.names import Source


def resampler_names() -> dict[str, Source]:
    """Of the Perceiver resampler."""
    theirs, layer = "model.perceiver_resampler.", "resampler.layers.{i}."
    attention, feed_forward = f"{theirs}blocks.{{i}}.0.", f"{theirs}blocks.{{i}}.1."
    return {
        "resampler.latents": f"{theirs}latents",
        "resampler.norm": f"{theirs}layer_norm",
        f"{layer}context_norm": f"{attention}context_layer_norm",
        f"{layer}latent_norm": f"{attention}latents_layer_norm",
        f"{layer}attention.query": f"{attention}q_proj",
        f"{layer}attention.key_value": (f"{attention}k_proj", f"{attention}v_proj"),
        f"{layer}attention.query_norm": f"{attention}q_layer_norm",
        f"{layer}attention.key_norm": f"{attention}k_layer_norm",
        f"{layer}attention.out": f"{attention}output_proj",
        f"{layer}feed_forward_norm": f"{feed_forward}ln",
        f"{layer}feed_forward.up": f"{feed_forward}fc",
        f"{layer}feed_forward.down": f"{feed_forward}c_proj",
    }


def language_names() -> dict[str, Source]:
    """Of the language model's blocks and the gated ones between."""
    layer, cross = "model.layers.{i}.", "model.gated_cross_attn_layers.{i}."
    return {
        "blocks.{i}.attention.qkv": tuple(f"{layer}self_attn.{part}_proj" for part in "qkv"),
        "blocks.{i}.attention.out": f"{layer}self_attn.o_proj",
        "blocks.{i}.attention_residual.norm": f"{layer}input_layernorm",
        "blocks.{i}.feed_forward.up": (f"{layer}mlp.gate_proj", f"{layer}mlp.up_proj"),
        "blocks.{i}.feed_forward.down": f"{layer}mlp.down_proj",
        "blocks.{i}.feed_forward_residual.norm": f"{layer}post_attention_layernorm",
        "gates.{i}.cross_norm": f"{cross}input_layernorm",
        "gates.{i}.cross.query": f"{cross}cross_attn.q_proj",
        "gates.{i}.cross.key_value": (f"{cross}cross_attn.k_proj", f"{cross}cross_attn.v_proj"),
        "gates.{i}.cross.query_norm": f"{cross}cross_attn.q_layer_norm",
        "gates.{i}.cross.key_norm": f"{cross}cross_attn.k_layer_norm",
        "gates.{i}.cross.out": f"{cross}cross_attn.o_proj",
        "gates.{i}.cross_gate": f"{cross}alpha_cross_attn",
        "gates.{i}.feed_forward_norm": f"{cross}post_attention_layernorm",
        "gates.{i}.feed_forward.up": (f"{cross}mlp.gate_proj", f"{cross}mlp.up_proj"),
        "gates.{i}.feed_forward.down": f"{cross}mlp.down_proj",
        "gates.{i}.feed_forward_gate": f"{cross}alpha_dense",
    }
