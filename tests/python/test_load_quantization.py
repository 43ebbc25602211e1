"""Weights quantized while loading: the answers of the file that `localai quantize` writes, and what the ledger counts."""

import gguf
import pytest
import tokenizers
import torch
import transformers
from conftest import run_json, run_localai
from test_convert import MOE, hybrid
from test_model_cache import domain, serving
from test_parity import SMALL, random_weights

WIDE = {**SMALL, "hidden_size": 256, "intermediate_size": 512, "vocab_size": 257}
MODELS = {  # of architectures whose GGUF files keep the order of rows: equal bits, not only equal text
    "qwen3": transformers.Qwen3Config(**WIDE, head_dim=64, tie_word_embeddings=True, eos_token_id=256),
    "gemma": transformers.GemmaConfig(**WIDE, head_dim=64, eos_token_id=256),
}
TYPES = ["q8_0", "q4_k_m"]


def save(config, directory):
    """Random bfloat16 weights, and a tokenizer whose tokens are bytes."""
    model = transformers.AutoModelForCausalLM.from_config(config)
    random_weights(model, seed=13)
    model.to(torch.bfloat16).save_pretrained(directory)
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={t: i for i, t in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(directory / "tokenizer.json"))


@pytest.mark.parametrize("name", MODELS)
def test_domains_answer_as_the_quantized_file(name, tmp_path):
    save(MODELS[name], tmp_path / "model")
    domains = {"whole": domain(tmp_path / "model", backend_type="safetensors")}
    reports = {}
    for kind in TYPES:
        directory = tmp_path / f"loaded-{kind}"  # a model of its own: domains over one path share its weights
        directory.mkdir()
        for item in (tmp_path / "model").iterdir():
            (directory / item.name).symlink_to(item)
        reports[kind] = run_json("quantize", tmp_path / "model", tmp_path / f"{kind}.gguf", "--type", kind, "--json")
        domains[f"loaded-{kind}"] = domain(directory, backend_type="safetensors", quantize=kind)
        domains[f"file-{kind}"] = domain(tmp_path / f"{kind}.gguf")
    with serving(tmp_path, domains, "whole") as server:
        def answer(model):
            done = server.ask(model, max_tokens=48, logprobs=1)
            assert done.status_code == 200 and done.json()["localai"]["fallback"] is False, done.text
            return done.json()["choices"][0]
        whole = answer("whole")
        for kind in TYPES:
            loaded, file = answer(f"loaded-{kind}"), answer(f"file-{kind}")
            assert loaded["text"] == file["text"] and loaded["logprobs"] == file["logprobs"]
            assert loaded["logprobs"] != whole["logprobs"], "it is quantized"
        entries = {entry["id"]: entry for entry in server.loaded()["data"]}
    for kind in TYPES:
        tensors = gguf.GGUFReader(tmp_path / f"{kind}.gguf").tensors
        entry = entries[f"loaded-{kind}"]
        # Matrices lie in whole panels of 16 rows.
        bytes_of_file = sum(tensor.n_bytes for tensor in tensors)
        rounding = sum(16 * tensor.n_bytes // int(tensor.shape[-1]) + 64 for tensor in tensors)
        assert 0 <= entry["memory"]["weights_private_bytes"] - bytes_of_file <= rounding
        assert entry["memory"]["weights_mapped_bytes"] == 0
        assert sum(entry["memory"].values()) <= entry["bytes"] == entry["predicted_bytes"]
        assert entry["bytes"] < entries["model"]["bytes"]


@pytest.mark.parametrize("kind", TYPES)
def test_experts_and_mamba2_layers(kind, tmp_path):
    """On the command line, and of matrices that safetensors hold as parts of larger ones."""
    config = hybrid(**{**MOE, "intermediate_size": 256, "vocab_size": 257}, hidden_size=256, shared_intermediate_size=256,
                    mamba_d_head=64, eos_token_id=256)
    save(config, tmp_path / "model")
    run_localai("quantize", tmp_path / "model", tmp_path / "model.gguf", "--type", kind)
    ask = ["--prompt", "The capital of France is", "--max-tokens", 32, "--temperature", 0, "--model"]
    loaded = run_localai("generate", *ask, tmp_path / "model", "--quantize", kind)
    assert loaded == run_localai("generate", *ask, tmp_path / "model.gguf") != b""
