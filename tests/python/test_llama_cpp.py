"""Logits beside llama.cpp's own, through llama-cpp-python; skipped where that package is not installed."""

import ctypes

import numpy as np
import pytest
import transformers
from conftest import run_json, run_localai
from test_convert import CASES, IDS
from test_parity import our_logits, random_weights, relative_error

llama_cpp = pytest.importorskip("llama_cpp")


def their_logits(path, ids):
    """All positions, with keys and values in float32 and no flash attention: the most exact that it does."""
    model = llama_cpp.Llama(str(path), n_ctx=512, n_batch=64, n_threads=2, logits_all=True, verbose=False,
                            type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32, flash_attn=False)
    model.eval(ids)
    return np.array(model.scores[: len(ids)], np.float32)


@pytest.fixture(scope="module", autouse=True)
def quiet():
    callback = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    yield
    llama_cpp.llama_log_set(llama_cpp.llama_log_callback(0), ctypes.c_void_p(0))


def test_vectors(minilm, tmp_path):
    """Its ids of the converted vocabulary are ours, too; GELU is another one there, by tanh and from a table."""
    run_localai("convert", minilm, tmp_path / "minilm.gguf")
    model = llama_cpp.Llama(str(tmp_path / "minilm.gguf"), embedding=True, n_ctx=512, n_threads=2, verbose=False)
    for text in ["The quick brown fox jumps over the lazy dog.", "Unaffable caf\u00e9s, \u6771\u4eac \u2014 x=1;y:=[2]"]:
        ids = run_json("tokenize", "--model", tmp_path / "minilm.gguf", text)
        assert model.tokenize(text.encode(), special=True) == ids
        theirs = np.array(model.create_embedding(text)["data"][0]["embedding"], np.float32)
        ours = np.array(run_json("embed", "--model", tmp_path / "minilm.gguf", text)[0], np.float32)
        assert np.abs(ours - theirs / np.linalg.norm(theirs)).max() <= 1e-3


# llama.cpp gives Phi-3 no sliding window, whatever the file says; it has no biases of Mamba2's projections, wants
# that of the convolution, and no cache for a model without any attention.
NOT_THERE = {"phi3-longrope-window", "granitehybrid-groups-biases-bf16", "granitehybrid-rope-no-conv-bias-untied",
             "granitehybrid-all-mamba-sharded"}


@pytest.mark.parametrize("name", [name for name in CASES if name not in NOT_THERE])
def test_logits(name, tmp_path):
    model = transformers.AutoModelForCausalLM.from_config(CASES[name][0])
    random_weights(model, seed=len(name))
    model.save_pretrained(tmp_path / "in")
    run_localai("convert", tmp_path / "in", tmp_path / "model.gguf")
    theirs = their_logits(tmp_path / "model.gguf", IDS)
    ours = our_logits(tmp_path / "model.gguf", IDS, tmp_path / "logits.npy")
    error = relative_error(ours, theirs)
    print(f"\n{name}: {error:.1e} of the range")
    gelu = "gemma" in name  # from a table of float16 there, computed here
    assert error <= (5e-4 if gelu else 5e-6)
