"""transformers models as GGUF files, in the layout that llama.cpp's converter writes: its tensor names,
its metadata keys, what it computes from config.json, 1-dimensional tensors in float32."""

import json
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


def write_bert_gguf(model, directory, path, pooling):
    """The vocabulary is spelled anew: words begin with U+2581, what continues them with nothing."""
    config = model.config
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType[pooling.upper()])
    vocabulary = json.loads((directory / "tokenizer.json").read_text())["model"]["vocab"]
    words = sorted(vocabulary, key=vocabulary.get)
    special = [word in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") for word in words]
    writer.add_tokenizer_model("bert")
    writer.add_token_type_count(config.type_vocab_size)
    writer.add_token_list([
        word if is_special else word[2:] if word.startswith("##") else "\u2581" + word
        for word, is_special in zip(words, special)])
    writer.add_token_types([gguf.TokenType.CONTROL if s else gguf.TokenType.NORMAL for s in special])
    for name in ("unk", "sep", "pad", "mask"):
        getattr(writer, f"add_{name}_token_id")(vocabulary[f"[{name.upper()}]"])
    model.pooler = None  # the converter drops it
    write_tensors(writer, model, gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, config.num_hidden_layers))


def write_tensors(writer, model, names):
    for name, tensor in model.state_dict().items():
        array = tensor.float().numpy()
        name = names.get_name(name, try_suffixes=(".weight", ".bias"))
        full = array.ndim == 1 or name.startswith(("position_embd", "token_types"))
        writer.add_tensor(name, array if full else array.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
