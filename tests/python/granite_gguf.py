"""A Granite MoE or hybrid model of transformers as a GGUF file, laid out as the reference converter does."""

import gguf
import torch

_RENAMED = [("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output"),
            ("model.layers", "blk"), ("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm"),
            ("self_attn.o_proj", "attn_output"), ("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"),
            ("self_attn.v_proj", "attn_v"), ("mamba.in_proj", "ssm_in"), ("mamba.conv1d", "ssm_conv1d"),
            ("mamba.dt_bias", "ssm_dt.bias"), ("mamba.A_log", "ssm_a"), ("mamba.D", "ssm_d"),
            ("mamba.norm", "ssm_norm"), ("mamba.out_proj", "ssm_out"),
            ("block_sparse_moe.router.weight", "ffn_gate_inp.weight"),
            ("block_sparse_moe.experts.down_proj", "ffn_down_exps.weight")]


def _permuted(weight, heads):
    """Rows of each head for interleaved RoPE: a * d/2 + b moves to 2b + a."""
    return weight.view(heads, 2, weight.shape[0] // heads // 2, -1).transpose(1, 2).reshape(weight.shape)


def _tensors(model):
    config = model.config
    experts = (getattr(config, "num_local_experts", 0) or 0) > 0
    shared = "_shexp" if experts else ""
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if "q_proj" in name:
            tensor = _permuted(tensor, config.num_attention_heads)
        elif "k_proj" in name:
            tensor = _permuted(tensor, config.num_key_value_heads)
        elif "conv1d.weight" in name:
            tensor = tensor.squeeze(1)
        elif name.endswith("A_log"):
            tensor = -torch.exp(tensor)[:, None]
        elif name.endswith("mamba.D"):
            tensor = tensor[:, None]
        elif "mamba.norm" in name:
            tensor = tensor.reshape(config.mamba_n_groups, -1)
        layer = name.replace("model.layers", "blk").split(".")[1]
        if "input_linear" in name:
            gate, up = tensor.chunk(2, dim=-2)
            yield f"blk.{layer}.ffn_gate{shared}.weight", gate
            yield f"blk.{layer}.ffn_up{shared}.weight", up
            continue
        if "gate_up_proj" in name:
            gate, up = tensor.chunk(2, dim=-2)
            yield f"blk.{layer}.ffn_gate_exps.weight", gate
            yield f"blk.{layer}.ffn_up_exps.weight", up
            continue
        if "output_linear" in name:
            name = f"blk.{layer}.ffn_down{shared}.weight"
        for old, new in _RENAMED:
            name = name.replace(old, new)
        yield name, tensor


def write_granite_gguf(model, path, dtype=torch.float32):
    """Matrices as `dtype` (float32 or float16), but routers. granitehybrid with Mamba2 layers, else granitemoe."""
    config = model.config
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    hybrid = "linear_attention" in kinds
    writer = gguf.GGUFWriter(path, "granitehybrid" if hybrid else "granitemoe")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    experts = getattr(config, "num_local_experts", 0) or 0
    shared = getattr(config, "shared_intermediate_size", 0)
    writer.add_feed_forward_length(config.intermediate_size if experts else shared)
    writer.add_head_count(config.num_attention_heads)
    kv_heads = config.num_key_value_heads
    writer.add_head_count_kv([kv_heads if kind == "full_attention" else 0 for kind in kinds] if hybrid else kv_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_attention_scale(config.attention_multiplier)
    writer.add_embedding_scale(config.embedding_multiplier)
    writer.add_residual_scale(config.residual_multiplier)
    writer.add_logit_scale(config.logits_scaling)
    writer.add_vocab_size(config.vocab_size)
    if shared:
        writer.add_expert_shared_feed_forward_length(shared)
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
    if hybrid:
        writer.add_ssm_conv_kernel(config.mamba_d_conv)
        writer.add_ssm_state_size(config.mamba_d_state)
        writer.add_ssm_group_count(config.mamba_n_groups)
        writer.add_ssm_inner_size(config.mamba_expand * config.hidden_size)
        writer.add_ssm_time_step_rank(config.mamba_n_heads)
        writer.add_rope_scaling_finetuned(config.position_embedding_type == "rope")
    for name, tensor in _tensors(model):
        is_matrix = tensor.dim() > 1 and not any(part in name for part in ("ssm_a", "ssm_d", "_norm", "conv1d", "_inp"))
        writer.add_tensor(name, tensor.to(dtype if is_matrix else torch.float32).contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
