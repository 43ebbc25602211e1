"""Logits beside Hugging Face transformers in float32 (eager attention) on the same weights.

Bounds (docs/ARCHITECTURE.md, "Numbers"): exact precision: max |delta| <= 1e-3 of the reference's
range, mean KL <= 1e-4 on real weights; fast precision: mean KL <= 5e-3. What was measured is printed
(pytest -s).
"""

import json

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers
from conftest import run_json, run_localai
from granite_gguf import write_granite_gguf
from slim_gguf import write_slim_gguf
from tiny_gguf import write_phi3_gguf

TEXT = (
    "The river had carried silt down from the hills for ten thousand years, and the town at its mouth "
    "was built on what it left behind. Every spring the ferrymen sounded the channel with a weighted "
    "line and wrote the depths in a ledger: 4.2, 3.9, 5.1 metres. In 1887 an engineer named Clara Voss "
    "proposed a stone pier. \"If we narrow the stream,\" she told the council, \"it will dig its own bed.\" "
    "They laughed, then counted the cost of dredging, and stopped laughing. The pier took six years."
)
PROMPTS = {"smollm2": "The capital of France is", "gemma3": "The first step in baking bread is to"}


def our_logits(model, ids, out, precision="exact"):
    run_localai("logits", "--model", model, "--tokens", ",".join(map(str, ids)), "--out", out,
                "--precision", precision)
    logits = np.load(out)
    out.unlink()
    return logits


def reference_logits(model, ids):
    with torch.inference_mode():
        return model(torch.tensor([list(ids)]), use_cache=False).logits[0].float().numpy()


def relative_error(ours, reference):
    """max |delta| over max - min of the reference."""
    assert ours.shape == reference.shape and ours.dtype == np.float32
    return float(np.abs(ours - reference).max() / (reference.max() - reference.min()))


def mean_kl(ours, reference):
    p = torch.log_softmax(torch.from_numpy(reference).double(), -1)
    q = torch.log_softmax(torch.from_numpy(ours).double(), -1)
    return float((p.exp() * (p - q)).sum(-1).mean())


def eager(path, **kwargs):
    return transformers.AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, attn_implementation="eager", **kwargs).eval()


# Tiny random models. Sizes exercise GQA, head_dim != hidden / heads, windows shorter than the text.

SMALL = {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4,
         "num_key_value_heads": 2, "vocab_size": 211, "max_position_embeddings": 512}


def llama(**changes):
    return transformers.LlamaConfig(**{**SMALL, "tie_word_embeddings": True, **changes})


def gemma3(**changes):
    return transformers.Gemma3TextConfig(**{
        **SMALL, "num_hidden_layers": 4, "num_key_value_heads": 1, "head_dim": 32,
        "query_pre_attn_scalar": 32, "sliding_window": 9,
        "layer_types": ["sliding_attention", "full_attention"] * 2, **changes})


def gemma3_rope(full, sliding):
    return {"full_attention": {"rope_type": "default", "rope_theta": 1e6, **full},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4, **sliding}}


def phi3(**changes):
    return transformers.Phi3Config(**{**SMALL, "pad_token_id": 0, "eos_token_id": 1, **changes})


# Heads of 16 elements. The prompts have 75 tokens, within an original context of 75 and beyond one of 74.
def long_rope(original, partial=1.0, **changes):
    pairs = int(16 * partial) // 2
    return {"original_max_position_embeddings": original,
            "rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4, "partial_rotary_factor": partial,
                                "short_factor": [1.0 + 0.1 * i for i in range(pairs)],
                                "long_factor": [1.5 + 2.0 * i for i in range(pairs)], **changes}}


def hybrid(**changes):
    """Several Mamba2 chunks of the reference's, which works in chunks; ours goes position by position."""
    return transformers.GraniteMoeHybridConfig(**{
        **SMALL, "num_hidden_layers": 4, "tie_word_embeddings": True, "num_local_experts": 0,
        "shared_intermediate_size": 96, "embedding_multiplier": 12.0, "residual_multiplier": 0.22,
        "attention_multiplier": 0.1, "logits_scaling": 4.0, "position_embedding_type": "nope",
        "layer_types": ["linear_attention", "linear_attention", "full_attention", "linear_attention"],
        "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_n_groups": 1, "mamba_d_state": 24, "mamba_d_conv": 4,
        "mamba_expand": 2, "mamba_chunk_size": 16, **changes})


MOE = {"num_local_experts": 6, "num_experts_per_tok": 3, "intermediate_size": 40}

LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 32}

TINY = {
    "llama-gqa-tied": (llama(), torch.float32),
    "llama-untied-wide-heads-f16": (
        llama(head_dim=24, tie_word_embeddings=False,
              rope_parameters={"rope_type": "default", "rope_theta": 5e5}), torch.float16),
    "llama-mha-biases-bf16": (
        llama(num_key_value_heads=4, attention_bias=True, mlp_bias=True, rms_norm_eps=1e-5), torch.bfloat16),
    "llama-llama3-rope-sharded": (llama(rope_parameters=LLAMA3_ROPE, num_key_value_heads=1), torch.bfloat16),
    "llama-linear-rope": (
        llama(rope_parameters={"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}), torch.float32),
    "mistral-window": (transformers.MistralConfig(**SMALL, sliding_window=9), torch.float32),
    "qwen2-window-on-upper-layers": (
        transformers.Qwen2Config(**SMALL, use_sliding_window=True, sliding_window=9, max_window_layers=1),
        torch.float32),
    "qwen3": (transformers.Qwen3Config(**SMALL, head_dim=24), torch.bfloat16),
    "granite-multipliers": (
        transformers.GraniteConfig(**SMALL, embedding_multiplier=12.0, residual_multiplier=0.22,
                                   attention_multiplier=0.1, logits_scaling=8.0), torch.float32),
    "phi3-window": (phi3(sliding_window=9), torch.float32),
    "phi3-partial-rotary-mha-tied-f16": (
        phi3(num_key_value_heads=4, tie_word_embeddings=True,
             rope_parameters={"rope_type": "default", "rope_theta": 5e4, "partial_rotary_factor": 0.5}),
        torch.float16),
    "phi3-long-rope-within-original": (phi3(**long_rope(75)), torch.float32),
    "phi3-long-rope-beyond-original-bf16-sharded": (phi3(**long_rope(74, partial=0.75)), torch.bfloat16),
    "phi3-long-rope-window-stated-factors": (
        phi3(sliding_window=33, **long_rope(32, attention_factor=1.7)), torch.float32),
    "granitemoe": (
        transformers.GraniteMoeConfig(**{**SMALL, **MOE}, embedding_multiplier=12.0, residual_multiplier=0.22,
                                      attention_multiplier=0.1, logits_scaling=8.0), torch.float32),
    "granitehybrid": (hybrid(), torch.float32),
    "granitehybrid-groups-biases-bf16": (
        hybrid(mamba_n_groups=4, mamba_proj_bias=True, mamba_d_conv=3, rms_norm_eps=1e-5), torch.bfloat16),
    "granitehybrid-rope-limits-no-conv-bias-ends-in-attention": (
        hybrid(position_embedding_type="rope", mamba_conv_bias=False, mamba_n_groups=2, time_step_limit=(0.3, 1.2),
               layer_types=["linear_attention", "full_attention"] * 2, tie_word_embeddings=False), torch.float32),
    "granitehybrid-moe-f16": (hybrid(**MOE, mamba_n_groups=2), torch.float16),
    "granitehybrid-all-attention": (
        hybrid(position_embedding_type="rope", layer_types=["full_attention"] * 4), torch.float32),
    "granitehybrid-all-mamba-sharded": (hybrid(layer_types=["linear_attention"] * 4), torch.float32),
    "gemma": (transformers.GemmaConfig(**SMALL, head_dim=32), torch.float32),
    "gemma2-softcaps": (
        transformers.Gemma2Config(**SMALL, head_dim=32, sliding_window=9, query_pre_attn_scalar=24,
                                  attn_logit_softcapping=5.0, final_logit_softcapping=7.0), torch.bfloat16),
    "vaultgemma": (
        transformers.VaultGemmaConfig(**SMALL, head_dim=32, sliding_window=9, query_pre_attn_scalar=32,
                                      attn_logit_softcapping=None, final_logit_softcapping=None), torch.float32),
    "gemma3": (gemma3(), torch.float32),
    "gemma3-gqa-scale-bf16": (
        gemma3(num_key_value_heads=2, query_pre_attn_scalar=24, head_dim=16,
               rope_parameters=gemma3_rope({"rope_theta": 5e5}, {"rope_theta": 2e4})), torch.bfloat16),
    "gemma3-linear-rope-softcap-f16": (
        gemma3(final_logit_softcapping=20.0, sliding_window=17,
               rope_parameters=gemma3_rope({"rope_type": "linear", "factor": 8.0}, {})), torch.float16),
    "gemma3-default-layer-pattern-sharded": (gemma3(num_hidden_layers=7, layer_types=None), torch.float32),
}


def random_weights(model, seed):
    """Weights large enough that every part of the graph shows in the logits."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 1 and name.endswith("weight"):  # a norm
            centre = 0.0 if "gemma" in model.config.model_type else 1.0
            parameter.data = centre + 0.25 * noise
        elif name.endswith(".bias"):
            parameter.data = 0.25 * noise
        else:
            parameter.data = noise / parameter.shape[-1] ** 0.5


@pytest.mark.parametrize("name", TINY)
def test_tiny_random_model(name, tmp_path):
    config, dtype = TINY[name]
    model = transformers.AutoModelForCausalLM.from_config(config)
    random_weights(model, seed=len(name))
    shard = {"max_shard_size": "60KB"} if name.endswith("sharded") else {}
    model.to(dtype).save_pretrained(tmp_path / "model", **shard)
    assert (tmp_path / "model" / "model.safetensors.index.json").exists() == bool(shard)
    ids = np.random.default_rng(7).integers(0, config.vocab_size, 75).tolist()
    reference = reference_logits(eager(tmp_path / "model"), ids)
    ours = our_logits(tmp_path / "model", ids, tmp_path / "logits.npy")
    error = relative_error(ours, reference)
    print(f"\n{name}: max |delta| {error:.2e} of the range")
    assert error <= 1e-3
    assert error <= 2e-5, "within the contract, but a float32 engine should agree far better"


@pytest.mark.parametrize("name", [name for name in TINY if name.startswith("phi3") and "stated" not in name])
def test_tiny_phi3_as_gguf(name, tmp_path):
    """As llama.cpp's converter writes it: half-precision matrices, factors as tensors."""
    config, _ = TINY[name]
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float()
    random_weights(model, seed=len(name))
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data = parameter.data.half().float()
    write_phi3_gguf(model, tmp_path / "model.gguf")
    ids = np.random.default_rng(7).integers(0, config.vocab_size, 75).tolist()
    error = relative_error(our_logits(tmp_path / "model.gguf", ids, tmp_path / "logits.npy"),
                           reference_logits(model.eval(), ids))
    print(f"\n{name} as GGUF: max |delta| {error:.2e} of the range")
    assert error <= 2e-5


@pytest.mark.parametrize("name", [
    "granitemoe", "granitehybrid", "granitehybrid-rope-limits-no-conv-bias-ends-in-attention", "granitehybrid-moe-f16"])
def test_tiny_granite_as_gguf(name, tmp_path):
    config, dtype = TINY[name]
    if hasattr(config, "time_step_limit"):
        config.time_step_limit = (0.0, float("inf"))  # GGUF has no key for it
    model = transformers.AutoModelForCausalLM.from_config(config)
    random_weights(model, seed=len(name))
    model.to(dtype).float().eval()
    model.config._attn_implementation = "eager"
    write_granite_gguf(model, tmp_path / "tiny.gguf")
    ids = np.random.default_rng(8).integers(0, config.vocab_size, 75).tolist()
    error = relative_error(our_logits(tmp_path / "tiny.gguf", ids, tmp_path / "logits.npy"),
                           reference_logits(model, ids))
    print(f"\n{name} as GGUF: max |delta| {error:.2e} of the range")
    assert error <= 2e-5


@pytest.mark.parametrize("name", ["granitehybrid", "granitehybrid-moe-f16"])
def test_greedy_tokens_of_a_tiny_hybrid(name, tmp_path):
    """The reference's own greedy tokens, from its cached state; ours agrees at every position."""
    config, _ = TINY[name]
    model = transformers.AutoModelForCausalLM.from_config(config)
    random_weights(model, seed=1)
    model.save_pretrained(tmp_path / "model")
    model = eager(tmp_path / "model")
    prompt = list(range(3, 40))
    with torch.inference_mode():
        ids = model.generate(torch.tensor([prompt]), max_new_tokens=40, do_sample=False, eos_token_id=None)[0].tolist()
    ours = our_logits(tmp_path / "model", ids, tmp_path / "logits.npy")
    assert len(ids) == 77
    assert ours.argmax(-1)[len(prompt) - 1 : -1].tolist() == ids[len(prompt) :]


def test_old_spelling_of_config_keys(tmp_path):
    """Files written before transformers 5: rope_theta, rope_scaling, rope_local_base_freq."""
    config = gemma3(rope_parameters=gemma3_rope({"rope_type": "linear", "factor": 8.0, "rope_theta": 3e5},
                                                {"rope_theta": 2e4}))
    model = transformers.AutoModelForCausalLM.from_config(config)
    random_weights(model, seed=3)
    model.save_pretrained(tmp_path)
    ids = list(range(60))
    reference = our_logits(tmp_path, ids, tmp_path / "new.npy")
    stated = json.loads((tmp_path / "config.json").read_text())
    del stated["rope_parameters"], stated["layer_types"]
    stated.update(rope_theta=3e5, rope_scaling={"rope_type": "linear", "factor": 8.0},
                  rope_local_base_freq=2e4, sliding_window_pattern=2, torch_dtype="float32")
    (tmp_path / "config.json").write_text(json.dumps(stated))
    assert np.array_equal(our_logits(tmp_path, ids, tmp_path / "old.npy"), reference)


# Real weights: the same file read by transformers, dequantized to float32.

class Real:
    def __init__(self, name, path, vocab_size, directory):
        self.name, self.path, self.directory = name, path, directory
        write_slim_gguf(path, directory / "slim.gguf", vocab_size)
        self.model = eager(directory, gguf_file="slim.gguf")
        (directory / "slim.gguf").unlink()
        self.ids = run_json("tokenize", "--model", path, TEXT)
        assert 100 <= len(self.ids) <= 200
        self.reference = reference_logits(self.model, self.ids)
        self.exact = our_logits(path, self.ids, directory / "logits.npy")


@pytest.fixture(scope="module", params=["smollm2", "gemma3"])
def real(request, tmp_path_factory):
    path = request.getfixturevalue(request.param)
    vocab_size = {"smollm2": 49152, "gemma3": 262144}[request.param]
    return Real(request.param, path, vocab_size, tmp_path_factory.mktemp(request.param))


def test_real_weights_from_gguf(real):
    error, kl = relative_error(real.exact, real.reference), mean_kl(real.exact, real.reference)
    fast = our_logits(real.path, real.ids, real.directory / "fast.npy", "fast")
    fast_kl = mean_kl(fast, real.reference)
    same = float((fast.argmax(-1) == real.reference.argmax(-1)).mean())
    print(f"\n{real.name}, {len(real.ids)} tokens: exact max |delta| {error:.2e} of the range, mean KL {kl:.2e}; "
          f"fast mean KL {fast_kl:.2e}, same first choice {same:.1%}")
    assert error <= 1e-3
    assert kl <= 1e-4
    assert fast_kl <= 5e-3


def test_greedy_text_of_real_weights(real):
    """Ours follows the reference's own greedy text up to the first near-tie."""
    prompt = run_json("tokenize", "--model", real.path, PROMPTS[real.name])
    with torch.inference_mode():
        ids = real.model.generate(torch.tensor([prompt]), max_new_tokens=24, do_sample=False)[0].tolist()
    reference = reference_logits(real.model, ids)
    ours = our_logits(real.path, ids, real.directory / "greedy.npy")
    top2 = np.sort(reference, -1)[:, -2:]
    margin = top2[:, 1] - top2[:, 0]
    measured = np.abs(ours - reference).max()
    agree = ours.argmax(-1) == reference.argmax(-1)
    answer = range(len(prompt) - 1, len(ids) - 1)
    tight = [i for i in answer if margin[i] < 2 * measured]
    smallest = min(answer, key=lambda i: margin[i])
    print(f"\n{real.name}: {len(answer)} greedy tokens, smallest margin {margin[smallest]:.4f} at {smallest}, "
          f"measured error {measured:.2e}, near-ties at {tight}")
    for i in answer:
        if i in tight:
            break
        assert agree[i], f"position {i}: margin {margin[i]}, error {measured}"
        assert ours[i].argmax() == ids[i + 1]


def test_real_weights_saved_as_safetensors(real):
    """bfloat16 on disk, computed in float32 by both. Rounds the shared model, so it comes last."""
    state = {name: tensor.bfloat16().contiguous() for name, tensor in real.model.state_dict().items()
             if name != "lm_head.weight"}
    directory = real.directory / "bf16"
    config = real.model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    directory.mkdir()
    config.save_pretrained(directory)
    safetensors.torch.save_file(state, directory / "model.safetensors", metadata={"format": "pt"})
    for name, parameter in real.model.named_parameters():
        parameter.data = parameter.data.bfloat16().float()
    ids = real.ids[:48]
    reference = reference_logits(real.model, ids)
    ours = our_logits(directory, ids, real.directory / "bf16.npy")
    error, kl = relative_error(ours, reference), mean_kl(ours, reference)
    print(f"\n{real.name} as bf16 safetensors: max |delta| {error:.2e} of the range, mean KL {kl:.2e}")
    assert error <= 1e-3
    assert kl <= 1e-4


@pytest.mark.parametrize("tokens, message", [
    ("x", "--tokens: 'x' is not a token id within 0..49151"),
    ("1,,2", "--tokens: '' is not a token id within 0..49151"),
    ("1,-2", "--tokens: '-2' is not a token id within 0..49151"),
    ("49152", "--tokens: '49152' is not a token id within 0..49151"),
    (",".join(["1"] * 8193), "--tokens: 8193 tokens, but the model's context is 8192"),
])
def test_bad_tokens_are_refused(tokens, message, smollm2, tmp_path):
    done = run_localai("logits", "--model", smollm2, f"--tokens={tokens}", "--out", tmp_path / "x.npy", check=False)
    assert done.returncode != 0 and done.stderr.decode().strip() == "localai: " + message
    assert not list(tmp_path.iterdir())


def test_cuda_is_refused_clearly(smollm2, tmp_path):
    done = run_localai("logits", "--model", smollm2, "--tokens", "1", "--out", tmp_path / "x.npy",
                       "--device", "cuda", check=False)
    assert done.returncode != 0 and b"this build has no GPU support" in done.stderr
