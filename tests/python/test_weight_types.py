"""A tiny llama in every block type and in 8-bit floats, beside transformers on the dequantized weights.

What a type stands for is taken from the gguf package and from torch. Bounds as in test_parity.py.
"""

import gguf
import numpy as np
import pytest
import safetensors.torch
import torch
import transformers
from conftest import run_localai
from test_parity import mean_kl, our_logits, random_weights, reference_logits, relative_error

Q = gguf.GGMLQuantizationType
BLOCK_TYPES = [Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0, Q.Q2_K, Q.Q3_K, Q.Q4_K, Q.Q5_K, Q.Q6_K, Q.IQ4_NL, Q.IQ4_XS,
               Q.MXFP4]
# Where the float scales of a block are, and how the minimum's compares with the scale's when codes and
# sub-block scales are uniformly random.
SCALES = {Q.Q2_K: [(80, 1.0), (82, 1.5)], Q.Q3_K: [(108, 1.0)], Q.Q4_K: [(0, 1.0), (2, 7.5)],
          Q.Q5_K: [(0, 1.0), (2, 15.5)], Q.Q6_K: [(208, 1.0)], Q.IQ4_NL: [(0, 1.0)], Q.IQ4_XS: [(0, 1.0)]}
IDS = np.random.default_rng(7).integers(0, 300, 75).tolist()


def tiny_llama(tied=False):
    config = transformers.LlamaConfig(
        hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=300, max_position_embeddings=512, tie_word_embeddings=tied, attn_implementation="eager")
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    random_weights(model, seed=11)
    return model


def to_blocks(weights, kind):
    """Rows of blocks: the gguf package's quantizer, or random blocks of the same spread where it has none."""
    if kind not in SCALES:
        return gguf.quantize(weights, kind)
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    rows, cols = weights.shape
    blocks = np.random.default_rng(rows + cols).integers(0, 256, (rows, cols // elements, size), np.uint8)

    def set_scales(unit):
        for offset, factor in SCALES[kind]:
            blocks[..., offset:offset + 2] = np.frombuffer(np.float16(unit * factor).tobytes(), np.uint8)
        return blocks.reshape(rows, -1)

    spread = gguf.dequantize(set_scales(1.0), kind).std()
    return set_scales(weights.std() / spread)


def gguf_name(name):
    for hf, ours in {"model.layers.": "blk.", "model.embed_tokens": "token_embd", "model.norm": "output_norm",
                     "lm_head": "output", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
                     "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
                     "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
                     "mlp.down_proj": "ffn_down"}.items():
        name = name.replace(hf, ours)
    return name


def interleaved(rows, heads):
    """The row order of q and k in GGUF files of llama: RoPE pairs side by side."""
    return rows.reshape(heads, 2, -1, rows.shape[-1]).swapaxes(1, 2).reshape(rows.shape)


def write_llama_gguf(model, path, kind, activations=None):
    """Writes the model with its matrices as `kind`, and gives the model those weights.

    The tensor named `activations` gets zeros of a type that is none for weights.
    """
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            writer.add_tensor(gguf_name(name), parameter.detach().numpy())
            continue
        if gguf_name(name) == activations:
            zeros = np.zeros(gguf.quant_shape_to_byte_shape(parameter.shape, Q.Q8_K), np.uint8)
            writer.add_tensor(activations, zeros, raw_dtype=Q.Q8_K)
            continue
        blocks = to_blocks(parameter.detach().numpy(), kind)
        parameter.data = torch.from_numpy(gguf.dequantize(blocks, kind).copy())
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
        writer.add_tensor(gguf_name(name), interleaved(blocks, heads) if heads else blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def check_logits(label, path, reference, tmp_path):
    exact = our_logits(path, IDS, tmp_path / "exact.npy")
    fast = our_logits(path, IDS, tmp_path / "fast.npy", "fast")
    error, kl = relative_error(exact, reference), mean_kl(fast, reference)
    print(f"\n{label}: exact max |delta| {error:.2e} of the range, fast mean KL {kl:.2e}")
    assert error <= 1e-3
    assert error <= 2e-5, "within the contract, but a float32 engine should agree far better"
    assert kl <= 5e-3


@pytest.mark.parametrize("kind", BLOCK_TYPES, ids=lambda kind: kind.name)
def test_gguf_blocks(kind, tmp_path):
    model = tiny_llama()
    write_llama_gguf(model, tmp_path / "tiny.gguf", kind)
    check_logits(kind.name, tmp_path / "tiny.gguf", reference_logits(model, IDS), tmp_path)


def test_activation_blocks_are_no_weights(tmp_path):
    """Q8_K is what ggml makes of activations: it can be inspected, but no kernel multiplies by it."""
    path = tmp_path / "tiny.gguf"
    write_llama_gguf(tiny_llama(), path, Q.Q8_0, activations="blk.1.ffn_up.weight")
    failed = run_localai("logits", "--model", path, "--tokens", "1", "--out", tmp_path / "x.npy", check=False)
    assert failed.returncode != 0
    assert b"tensor 'blk.1.ffn_up.weight': no kernel for weights of type Q8_K" in failed.stderr


# 8-bit floats in safetensors. The embedding, the output matrix and the norms stay bfloat16, as published
# checkpoints leave them. How scales are stored: compressed-tensors ("weight_scale", one for the tensor or
# one a row) and fine-grained FP8 ("weight_scale_inv", one a block).

def quantize_f8(weight, dtype, layout):
    """(8-bit weight, its scales or None, both as float32 products)."""
    rows, cols = weight.shape
    blocks = {"plain": None, "tensor": (rows, cols), "row": (1, cols), "block": (128, 128), "tall": (64, 32)}[layout]
    if blocks is None:
        narrow = weight.to(dtype)
        return narrow, None, narrow.float()
    height, width = blocks
    scales = torch.empty(-(-rows // height), -(-cols // width))
    products, narrow = torch.empty_like(weight), torch.empty(rows, cols, dtype=dtype)
    for i in range(scales.shape[0]):
        for j in range(scales.shape[1]):
            part = (slice(i * height, (i + 1) * height), slice(j * width, (j + 1) * width))
            scales[i, j] = (weight[part].abs().max() / torch.finfo(dtype).max).bfloat16()
            narrow[part] = (weight[part] / scales[i, j]).clamp(-torch.finfo(dtype).max,
                                                              torch.finfo(dtype).max).to(dtype)
            products[part] = narrow[part].float() * scales[i, j]
    return narrow, scales, products


def write_f8_llama(model, directory, dtype, layout):
    """Writes the model with 8-bit projections, and gives the model those weights."""
    state = {}
    for name, parameter in model.named_parameters():
        if not name.endswith("_proj.weight"):
            parameter.data = parameter.data.bfloat16().float()
            state[name] = parameter.data.bfloat16()
            continue
        state[name], scales, parameter.data = quantize_f8(parameter.data, dtype, layout)
        if layout == "tensor":
            state[name + "_scale"] = scales.reshape(1)
        elif layout == "row":
            state[name + "_scale"] = scales.bfloat16()
        elif scales is not None:
            state[name + "_scale_inv"] = scales
    if layout == "tall":
        model.config.quantization_config = {"quant_method": "fp8", "weight_block_size": [64, 32]}
    model.config.save_pretrained(directory)
    safetensors.torch.save_file(state, directory / "model.safetensors", metadata={"format": "pt"})
    return state


@pytest.mark.parametrize("dtype, layout", [
    (torch.float8_e4m3fn, "plain"), (torch.float8_e5m2, "plain"), (torch.float8_e4m3fn, "tensor"),
    (torch.float8_e5m2, "row"), (torch.float8_e4m3fn, "row"), (torch.float8_e4m3fn, "block"),
    (torch.float8_e4m3fn, "tall")])
def test_f8_safetensors(dtype, layout, tmp_path):
    model = tiny_llama()
    write_f8_llama(model, tmp_path, dtype, layout)
    check_logits(f"{dtype} {layout}", tmp_path, reference_logits(model, IDS), tmp_path)


def test_f8_scales_of_another_shape_are_refused_by_name(tmp_path):
    state = write_f8_llama(tiny_llama(), tmp_path, torch.float8_e4m3fn, "block")
    name = "model.layers.1.mlp.up_proj.weight_scale_inv"
    assert state[name].shape == (4, 2)
    state[name] = torch.ones(2, 4)
    safetensors.torch.save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    failed = run_localai("logits", "--model", tmp_path, "--tokens", "1", "--out", tmp_path / "x.npy", check=False)
    assert failed.returncode != 0
    assert (f"tensor '{name}': shape [2, 4] of scales for weights of shape [512, 256]; one, one a row, or [4, 2] "
            "(one a block) is supported") in failed.stderr.decode()


def test_f8_scales_of_an_embedding_are_refused_by_name(tmp_path):
    state = write_f8_llama(tiny_llama(), tmp_path, torch.float8_e4m3fn, "row")
    name = "model.embed_tokens.weight"
    state[name] = state[name].to(torch.float8_e4m3fn)
    state[name + "_scale"] = torch.ones(1)
    safetensors.torch.save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    failed = run_localai("logits", "--model", tmp_path, "--tokens", "1", "--out", tmp_path / "x.npy", check=False)
    assert failed.returncode != 0
    assert f"tensor '{name}_scale': scales of embeddings and experts are not supported" in failed.stderr.decode()
