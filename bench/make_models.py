"""Writes models of full-size shapes with random weights, for speed and memory measurements.

    build/venv/bin/python bench/make_models.py gemma-2b-q4_k_m models/synthetic
    build/venv/bin/python bench/make_models.py vaultgemma-1b models/synthetic

The shapes, tensor names and types are those of the published models: GGUF files as after llama.cpp's
quantizer, and VaultGemma as the safetensors directory that it is published as. The values are random
with the variance of a trained layer, so that activations stay finite. Nothing that these models say
makes sense: they are for tok/s and bytes only.
"""

import argparse
import json
import pathlib
import struct

import gguf
import numpy as np

TYPE = gguf.GGMLQuantizationType


def more_bits(index, count):
    """Which layers' attn_v and ffn_down a Q4_K_M mix gives more bits (architecture notes, Q4_K_M)."""
    return index < count // 8 or index >= 7 * count // 8 or (index - count // 8) % 3 == 2


class Shape:
    """One model: metadata writer plus (name, [rows, cols], type) of each matrix, from a base type."""

    def __init__(self, arch, layers, hidden, heads, kv_heads, head_dim, ffn, vocab, context, tied):
        self.arch, self.layers, self.hidden, self.heads, self.kv_heads = arch, layers, hidden, heads, kv_heads
        self.head_dim, self.ffn, self.vocab, self.context, self.tied = head_dim, ffn, vocab, context, tied

    def matrices(self, base):
        k_quant = base == TYPE.Q4_K
        big = TYPE.Q6_K if k_quant else base
        yield "token_embd.weight", (self.vocab, self.hidden), big if self.tied else base
        if not self.tied:
            yield "output.weight", (self.vocab, self.hidden), big
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        for i in range(self.layers):
            extra = big if more_bits(i, self.layers) else base
            yield f"blk.{i}.attn_output.weight", (self.hidden, q), base
            yield f"blk.{i}.ffn_down.weight", (self.hidden, self.ffn), extra
            if self.arch == "phi3":
                yield f"blk.{i}.attn_qkv.weight", (q + 2 * kv, self.hidden), extra
                yield f"blk.{i}.ffn_up.weight", (2 * self.ffn, self.hidden), base
                continue
            yield f"blk.{i}.attn_q.weight", (q, self.hidden), base
            yield f"blk.{i}.attn_k.weight", (kv, self.hidden), base
            yield f"blk.{i}.attn_v.weight", (kv, self.hidden), extra
            yield f"blk.{i}.ffn_gate.weight", (self.ffn, self.hidden), base
            yield f"blk.{i}.ffn_up.weight", (self.ffn, self.hidden), base

    def norms(self):
        yield "output_norm.weight"
        for i in range(self.layers):
            yield f"blk.{i}.attn_norm.weight"
            yield f"blk.{i}.ffn_norm.weight"

    def vectors(self, rng):
        """(name, values) of everything that is not a matrix of weights."""
        for norm in self.norms():
            yield norm, np.ones(self.hidden, np.float32)

    def write_own_metadata(self, writer):
        if self.arch == "phi3":
            writer.add_rope_scaling_orig_ctx_len(4096)


class GraniteHybrid(Shape):
    """Mamba2 layers (heads x head size, one group, a state of 128) with attention where `attention` says."""

    CONV, STATE = 4, 128

    def __init__(self, layers, hidden, heads, kv_heads, head_dim, ffn, vocab, context, attention, ssm_heads, ssm_dim):
        super().__init__("granitehybrid", layers, hidden, heads, kv_heads, head_dim, ffn, vocab, context, tied=True)
        self.attention, self.ssm_heads, self.inner = attention, ssm_heads, ssm_heads * ssm_dim
        self.channels = self.inner + 2 * self.STATE
        self.kv_heads_of_layers = [kv_heads if i in attention else 0 for i in range(layers)]

    def matrices(self, base):
        for name, shape, dtype in super().matrices(base):
            layer = int(name.split(".")[1]) if name.startswith("blk.") else None
            if layer is None or layer in self.attention or ".ffn_" in name:
                yield name, shape, dtype
            elif ".attn_output." in name:
                yield f"blk.{layer}.ssm_in.weight", (self.inner + self.channels + self.ssm_heads, self.hidden), base
                yield f"blk.{layer}.ssm_out.weight", (self.hidden, self.inner), base

    def vectors(self, rng):
        yield from super().vectors(rng)
        for i in set(range(self.layers)) - set(self.attention):
            yield f"blk.{i}.ssm_conv1d.weight", rng.standard_normal((self.channels, self.CONV), np.float32) / 2
            yield f"blk.{i}.ssm_conv1d.bias", np.zeros(self.channels, np.float32)
            yield f"blk.{i}.ssm_dt.bias", rng.standard_normal(self.ssm_heads, np.float32) - 3
            yield f"blk.{i}.ssm_a", -rng.uniform(1, 16, (self.ssm_heads, 1)).astype(np.float32)
            yield f"blk.{i}.ssm_d", np.ones((self.ssm_heads, 1), np.float32)
            yield f"blk.{i}.ssm_norm.weight", np.ones((1, self.inner), np.float32)

    def write_own_metadata(self, writer):
        writer.add_ssm_conv_kernel(self.CONV)
        writer.add_ssm_state_size(self.STATE)
        writer.add_ssm_group_count(1)
        writer.add_ssm_inner_size(self.inner)
        writer.add_ssm_time_step_rank(self.ssm_heads)
        writer.add_rope_scaling_finetuned(False)
        writer.add_attention_scale(0.015625)
        writer.add_embedding_scale(12.0)
        writer.add_residual_scale(0.22)
        writer.add_logit_scale(8.0)


SHAPES = {
    "gemma-2b": Shape("gemma", 18, 2048, 8, 1, 256, 16384, 256000, 8192, tied=True),
    "gemma-7b": Shape("gemma", 28, 3072, 16, 16, 256, 24576, 256000, 8192, tied=True),
    "granite-4.0-h-micro": GraniteHybrid(40, 2048, 32, 8, 64, 8192, 100352, 131072, (5, 15, 25, 35), 64, 64),
    "phi-3.5-mini": Shape("phi3", 32, 3072, 32, 32, 96, 8192, 32064, 131072, tied=False),
}
BASES = {"q4_k_m": TYPE.Q4_K, "q8_0": TYPE.Q8_0, "bf16": TYPE.BF16}


def half(value):
    return np.frombuffer(np.float16(value).tobytes(), np.uint8)


def random_rows(rng, dtype, rows, cols):
    """`rows` x bytes of one row, block-quantized noise with standard deviation 1/sqrt(cols)."""
    sigma = cols**-0.5
    if dtype == TYPE.BF16:
        values = (rng.standard_normal((rows, cols), np.float32) * sigma).view(np.uint32)
        return (values >> 16).astype(np.uint16).view(np.uint8)
    elements, size = gguf.GGML_QUANT_SIZES[dtype]
    blocks = rng.integers(0, 256, (rows, cols // elements, size), np.uint8)
    if dtype == TYPE.Q4_K:  # sub-block scales and minimums all 32: w = 32 d (q - 7.5)
        d = sigma / (32 * 4.61)
        blocks[..., 0:2], blocks[..., 2:4] = half(d), half(7.5 * d)
        blocks[..., 4:12], blocks[..., 12:16] = 0xA0, 0
    elif dtype == TYPE.Q6_K:  # scales 32: w = 32 d (q - 32)
        blocks[..., 192:208], blocks[..., 208:210] = 32, half(sigma / (32 * 18.5))
    elif dtype == TYPE.Q8_0:
        blocks[..., 0:2] = half(sigma / 73.9)
    return blocks.reshape(rows, -1)


SPECIALS = ["<pad>", "<eos>", "<bos>", "<unk>"]


def vocabulary(size):
    """Enough of a SentencePiece vocabulary to load: specials, bytes, one merge, and numbered pieces."""
    tokens = SPECIALS + [f"<0x{b:02X}>" for b in range(256)] + ["\u2581", "w", "\u2581w"]
    return tokens + [f"\u2581w{i}" for i in range(size - len(tokens))]


def write_vocabulary(writer, size):
    tokens = vocabulary(size)
    kinds = [3, 3, 3, 2] + [6] * 256
    kinds += [1] * (size - len(kinds))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(i) for i in range(size)])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)


def write_model(name, folder):
    shape_name, base_name = name.rsplit("-", 1)
    shape, base = SHAPES[shape_name], BASES[base_name]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.gguf"
    writer = gguf.GGUFWriter(path, shape.arch)
    writer.add_name(f"synthetic {name}")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(getattr(shape, "kv_heads_of_layers", shape.kv_heads))
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(shape.head_dim)
    shape.write_own_metadata(writer)
    if shape.arch == "phi3":
        factors = np.ones(shape.head_dim // 2, np.float32)
        writer.add_tensor("rope_factors_long.weight", factors)
        writer.add_tensor("rope_factors_short.weight", factors)
    write_vocabulary(writer, shape.vocab)
    rng = np.random.default_rng(1)
    for vector, values in shape.vectors(rng):
        writer.add_tensor(vector, values)
    for tensor, (rows, cols), dtype in shape.matrices(base):
        writer.add_tensor(tensor, random_rows(rng, dtype, rows, cols), raw_dtype=dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file(progress=False)
    writer.close()
    print(f"{path}: {path.stat().st_size} bytes")


# config.json of google/vaultgemma-1b. Its window is set but unused: every layer is a full one.
VAULTGEMMA = {
    "architectures": ["VaultGemmaForCausalLM"],
    "model_type": "vaultgemma",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "attn_logit_softcapping": None,
    "bos_token_id": 2,
    "dtype": "bfloat16",
    "eos_token_id": 1,
    "final_logit_softcapping": None,
    "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 1152,
    "initializer_range": 0.02,
    "intermediate_size": 6912,
    "layer_types": ["full_attention"] * 26,
    "max_position_embeddings": 1024,
    "num_attention_heads": 4,
    "num_hidden_layers": 26,
    "num_key_value_heads": 4,
    "pad_token_id": 0,
    "query_pre_attn_scalar": 256,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "sliding_window": 512,
    "tie_word_embeddings": True,
    "use_cache": True,
    "vocab_size": 256000,
}


def vaultgemma_tensors(config):
    """(name, shape) of every tensor; those of one dimension are norms, which are stored less one."""
    hidden, ffn = config["hidden_size"], config["intermediate_size"]
    q = config["num_attention_heads"] * config["head_dim"]
    kv = config["num_key_value_heads"] * config["head_dim"]
    yield "model.embed_tokens.weight", (config["vocab_size"], hidden)
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        yield f"{layer}.input_layernorm.weight", (hidden,)
        yield f"{layer}.self_attn.q_proj.weight", (q, hidden)
        yield f"{layer}.self_attn.k_proj.weight", (kv, hidden)
        yield f"{layer}.self_attn.v_proj.weight", (kv, hidden)
        yield f"{layer}.self_attn.o_proj.weight", (hidden, q)
        yield f"{layer}.pre_feedforward_layernorm.weight", (hidden,)
        yield f"{layer}.mlp.gate_proj.weight", (ffn, hidden)
        yield f"{layer}.mlp.up_proj.weight", (ffn, hidden)
        yield f"{layer}.mlp.down_proj.weight", (hidden, ffn)
    yield "model.norm.weight", (hidden,)


def write_safetensors(path, tensors):
    """BF16 noise, a few rows at a time: no more of the file is in memory."""
    tensors, header, end = list(tensors), {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors:
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    rng = np.random.default_rng(1)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, shape in tensors:
            if len(shape) == 1:
                file.write(bytes(2 * shape[0]))
                continue
            rows, cols = shape
            for row in range(0, rows, 4096):
                file.write(random_rows(rng, TYPE.BF16, min(4096, rows - row), cols).tobytes())


def gemma_tokenizer(size):
    """tokenizer.json of vocabulary(), with the steps of Gemma's."""
    space, mark = {"String": " "}, "\u2581"
    added = [{"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for i, text in enumerate(SPECIALS)]
    bos = {"SpecialToken": {"id": "<bos>", "type_id": 0}}
    return {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "Replace", "pattern": space, "content": mark},
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [bos, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<bos>": {"id": "<bos>", "ids": [2], "tokens": ["<bos>"]}},
        },
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": mark}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True,
                  "vocab": {text: i for i, text in enumerate(vocabulary(size))}, "merges": [["\u2581", "w"]]},
    }


def write_vaultgemma(folder):
    directory = folder / "vaultgemma-1b"
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "model.safetensors"
    write_safetensors(path, vaultgemma_tensors(VAULTGEMMA))
    (directory / "config.json").write_text(json.dumps(VAULTGEMMA, indent=2))
    (directory / "tokenizer.json").write_text(json.dumps(gemma_tokenizer(VAULTGEMMA["vocab_size"])))
    (directory / "tokenizer_config.json").write_text(json.dumps(
        {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}))
    print(f"{path}: {path.stat().st_size} bytes")


def main():
    names = [f"{shape}-{base}" for shape in SHAPES for base in BASES] + ["vaultgemma-1b"]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=names)
    parser.add_argument("folder", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.name == "vaultgemma-1b":
        write_vaultgemma(arguments.folder)
    else:
        write_model(arguments.name, arguments.folder)


if __name__ == "__main__":
    main()
