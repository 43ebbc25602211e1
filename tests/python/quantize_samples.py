"""Small models of known weights in GGUF, for what `localai quantize` writes: tests/python/test_quantize.py compares
with what llama.cpp's quantizer made of the same files (tools/golden_quantize.py)."""

import zlib

import gguf
import numpy as np

TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "F16", "BF16", "F32"]

# Rows of 256 and 512; rows of 96, which K types do not fit; rows of 40, which nothing fits. One has an output matrix.
SAMPLES = {
    "wide": {"layers": 9, "hidden": 256, "ffn": 512, "tied": False, "float": "F32", "heads": 4, "kv_heads": 2},
    "tied": {"layers": 8, "hidden": 256, "ffn": 256, "tied": True, "float": "F16", "heads": 4, "kv_heads": 1},
    "narrow": {"layers": 4, "hidden": 96, "ffn": 288, "tied": True, "float": "BF16", "heads": 3, "kv_heads": 1},
    "odd": {"layers": 2, "hidden": 40, "ffn": 72, "tied": False, "float": "F16", "heads": 2, "kv_heads": 2},
    "experts": {"layers": 4, "hidden": 256, "ffn": 256, "tied": False, "float": "F16", "heads": 4, "kv_heads": 2,
                "experts": 8},
}  # fmt: skip
FLOATS = {"F32": gguf.GGMLQuantizationType.F32, "F16": gguf.GGMLQuantizationType.F16,
          "BF16": gguf.GGMLQuantizationType.BF16}  # fmt: skip


def values(name, shape):
    """Bell-shaped numbers that depend on the name alone: integer hashing and exact sums, so equal everywhere."""
    at = np.arange(int(np.prod(shape)), dtype=np.uint64)
    total = np.zeros(at.shape, dtype=np.float64)
    for i in range(4):
        x = (at * np.uint64(4) + np.uint64(i)) ^ (np.uint64(zlib.crc32(name.encode())) << np.uint64(32))
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        x ^= x >> np.uint64(31)
        total += (x >> np.uint64(40)).astype(np.float64) / 2**24 - 0.5
    out = (total / 16).astype(np.float32)
    out[::97] = 0  # some rows have zeros, some outliers
    out[5::1009] *= 8
    return out.reshape(shape)


def tensor_shapes(sample):
    hidden, ffn, vocab = sample["hidden"], sample["ffn"], 64
    kv = hidden // sample["heads"] * sample["kv_heads"]
    yield "token_embd.weight", (vocab, hidden)
    yield "output_norm.weight", (hidden,)
    if not sample["tied"]:
        yield "output.weight", (vocab, hidden)
    for layer in range(sample["layers"]):
        block = f"blk.{layer}."
        yield block + "attn_norm.weight", (hidden,)
        yield block + "attn_q.weight", (hidden, hidden)
        yield block + "attn_k.weight", (kv, hidden)
        yield block + "attn_v.weight", (kv, hidden)
        yield block + "attn_v.bias", (kv,)
        yield block + "attn_output.weight", (hidden, hidden)
        yield block + "ffn_norm.weight", (hidden,)
        if "experts" in sample:
            yield block + "ffn_gate_inp.weight", (sample["experts"], hidden)
            yield block + "ffn_down_exps.weight", (sample["experts"], hidden, ffn)
        else:
            yield block + "ffn_gate.weight", (ffn, hidden)
            yield block + "ffn_up.weight", (ffn, hidden)
            yield block + "ffn_down.weight", (hidden, ffn)


def write_sample(path, name):
    sample = SAMPLES[name]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(sample["layers"])
    writer.add_context_length(128)
    writer.add_embedding_length(sample["hidden"])
    writer.add_feed_forward_length(sample["ffn"])
    writer.add_head_count(sample["heads"])
    writer.add_head_count_kv(sample["kv_heads"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(64)
    if "experts" in sample:
        writer.add_expert_count(sample["experts"])
        writer.add_expert_used_count(2)
    for tensor, shape in tensor_shapes(sample):
        kind = FLOATS[sample["float"] if len(shape) > 1 and "gate_inp" not in tensor else "F32"]
        writer.add_tensor(tensor, gguf.quants.quantize(values(tensor, shape), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def fingerprint(path):
    """{tensor: "TYPE crc32 of its bytes"} of a GGUF file."""
    reader = gguf.GGUFReader(path)
    return {t.name: f"{t.tensor_type.name} {zlib.crc32(np.ascontiguousarray(t.data)):08x}" for t in reader.tensors}
