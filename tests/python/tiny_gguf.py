"""Tiny transformers models as GGUF files, in the layout that llama.cpp's converter writes: its tensor names,
its metadata keys, what it computes from config.json, 1-dimensional tensors in float32."""

import math

import gguf
import numpy as np


def write_phi3_gguf(model, path):
    """Fused matrices keep their shape; LongRoPE's factors become tensors, its attention factor a key."""
    config, rope = model.config, model.config.rope_parameters
    writer = gguf.GGUFWriter(path, "phi3")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    head_dim = config.hidden_size // config.num_attention_heads
    writer.add_rope_dimension_count(int(rope["partial_rotary_factor"] * head_dim))
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_sliding_window(config.sliding_window or 0)
    if rope["rope_type"] == "longrope":
        scale = config.max_position_embeddings / config.original_max_position_embeddings
        factor = math.sqrt(1 + math.log(scale) / math.log(config.original_max_position_embeddings))
        writer.add_rope_scaling_attn_factors(factor if scale > 1 else 1.0)
        for kind in ("long", "short"):
            writer.add_tensor(f"rope_factors_{kind}.weight", np.array(rope[f"{kind}_factor"], np.float32))
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.PHI3, config.num_hidden_layers)
    write_tensors(writer, model, names)


def write_tensors(writer, model, names):
    for name, tensor in model.state_dict().items():
        array = tensor.float().numpy()
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")),
                          array if array.ndim == 1 else array.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
