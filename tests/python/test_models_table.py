"""The table of docs/MODELS.md: every architecture, format and type beside transformers in float32.

LOCALAI_UPDATE_DOCS=1 writes what was measured into the document; without it, the document has to have rows for
each architecture that the program knows.
"""

import os
import re

import numpy as np
import pytest
import torch
import transformers
from conftest import ROOT, run_localai
from test_convert import CASES
from test_parity import (MOE, TINY, eager, hybrid, long_rope, our_logits, phi3, random_weights, reference_logits,
                         relative_error)

DOCUMENT = ROOT / "docs" / "MODELS.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
HEADER = ("| architecture | format | type | max \\|Δlogit\\| ÷ range | same greedy token |\n"
          "|---|---|---|---|---|\n")
CONFIG_OF = {
    **{name: CASES[case][0] for name, case in {
        "llama": "llama-llama3-rope-sharded", "mistral": "mistral-wide-window", "qwen2": "qwen2", "qwen3": "qwen3",
        "granite": "granite-multipliers", "gemma": "gemma", "gemma2": "gemma2", "gemma3": "gemma3-any-layers",
        "vaultgemma": "vaultgemma"}.items()},
    "phi3": phi3(**long_rope(4, partial=0.75)),
    "granitemoe": TINY["granitemoe"][0],
    "granitemoehybrid": hybrid(**MOE, mamba_n_groups=2),
}
ENCODERS = {"bert"}  # no logits: tests/python/test_embeddings.py compares embeddings
FLOATS = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
QUANTIZED = ["Q8_0", "Q6_K", "Q5_1", "Q4_K_M", "Q4_0"]
GREEDY = 64


def known_architectures(directory):
    """As the program itself lists them."""
    (directory / "config.json").write_text('{"model_type": "no-such-architecture"}')
    (directory / "model.safetensors").write_bytes(bytes([2, 0, 0, 0, 0, 0, 0, 0]) + b"{}")
    done = run_localai("logits", "--model", directory, "--tokens", "1", "--out", directory / "x.npy", check=False)
    return re.search(rb"\(known: ([^)]*)\)", done.stderr).group(1).decode().split(", ")


@pytest.fixture(scope="module")
def table():
    rows = []
    yield rows
    if os.environ.get("LOCALAI_UPDATE_DOCS") == "1":
        rows.sort(key=lambda row: list(CONFIG_OF).index(row[0]))
        text = DOCUMENT.read_text()
        head, tail = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END):]
        DOCUMENT.write_text(head + HEADER + "".join(f"| {' | '.join(row)} |\n" for row in rows) + tail)


class Reference:
    """transformers' greedy text, and its logits along it."""

    def __init__(self, model):
        prompt = np.random.default_rng(3).integers(0, model.config.vocab_size, 12).tolist()
        with torch.inference_mode():
            self.ids = model.generate(torch.tensor([prompt]), max_new_tokens=GREEDY, min_new_tokens=GREEDY,
                                      do_sample=False, pad_token_id=0)[0].tolist()
        self.logits = reference_logits(model, self.ids)
        self.answer = slice(len(prompt) - 1, -1)

    def measure(self, path, out):
        """(error, equal greedy tokens); a differing token has to be a near-tie."""
        ours = our_logits(path, self.ids, out)
        same = ours[self.answer].argmax(-1) == np.array(self.ids[self.answer.start + 1 :])
        top2 = np.sort(self.logits[self.answer], -1)[:, -2:]
        ties = top2[:, 1] - top2[:, 0] < 2 * np.abs(ours - self.logits).max()
        assert np.all(same | ties)
        return relative_error(ours, self.logits), int(same.sum())


def add_row(table, architecture, form, name, error, same):
    table.append([architecture, form, name, f"{error:.1e}", f"{same} of {GREEDY}"])
    print("\n" + " ".join(table[-1]))
    assert error <= 2e-5, "within the contract, but a float32 engine should agree far better"


def tiny(config):
    model = transformers.AutoModelForCausalLM.from_config(config)
    random_weights(model, seed=7)
    return model


@pytest.mark.parametrize("architecture", CONFIG_OF)
def test_floats(architecture, tmp_path, table):
    for name, dtype in FLOATS.items():
        directory, file = tmp_path / name, tmp_path / f"{name}.gguf"
        tiny(CONFIG_OF[architecture]).to(dtype).save_pretrained(directory)
        reference = Reference(eager(directory))
        add_row(table, architecture, "safetensors", name, *reference.measure(directory, tmp_path / "x.npy"))
        run_localai("convert", directory, file)
        add_row(table, architecture, "GGUF", name, *reference.measure(file, tmp_path / "x.npy"))


@pytest.mark.parametrize("architecture", CONFIG_OF)
def test_quantized(architecture, tmp_path, table):
    """Rows of 256 elements for the K types. The reference runs on the same file, dequantized by convert."""
    config = CONFIG_OF[architecture]
    wide = {"hidden_size": 256, "intermediate_size": 512}
    if architecture == "phi3":
        wide["num_attention_heads"] = 16  # as large as before: LongRoPE has a factor a pair
    if architecture == "granitemoehybrid":
        wide |= {"shared_intermediate_size": 256, "mamba_d_head": 64}
    tiny(type(config)(**{**config.to_dict(), **wide})).save_pretrained(tmp_path / "wide")
    run_localai("convert", tmp_path / "wide", tmp_path / "wide.gguf")
    for name in QUANTIZED:
        file, directory = tmp_path / f"{name}.gguf", tmp_path / name
        run_localai("quantize", tmp_path / "wide.gguf", file, "--type", name)
        run_localai("convert", file, directory, "--type", "f32")
        reference = Reference(eager(directory))
        add_row(table, architecture, "GGUF", name, *reference.measure(file, tmp_path / "x.npy"))


def test_the_document_has_every_architecture(tmp_path):
    rows = re.findall(r"^\| (\w+) \| (safetensors|GGUF) \| (\w+) \| ([^|]+) \| (\d+) of 64 \|$",
                      DOCUMENT.read_text(), re.M)
    written = {tuple(row[:3]) for row in rows}
    for architecture in known_architectures(tmp_path):
        if architecture not in ENCODERS:
            wanted = {(architecture, "safetensors", "F32"), (architecture, "GGUF", "F16")}
            assert wanted <= written, "run this file with LOCALAI_UPDATE_DOCS=1"
    assert all(float(row[3]) <= 1e-3 for row in rows)
