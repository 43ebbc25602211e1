"""localai perplexity beside the same windows through transformers and torch in float64 sums."""

import json
import pathlib

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from conftest import run_json, run_localai
from test_parity import eager, llama, random_weights, reference_logits

TEXT = pathlib.Path(__file__).parent / "data" / "pride_and_prejudice_1.txt"
CONTEXT = 64


def windows(ids, context, bos):
    """Non-overlapping windows; the text's remainder is left out. BOS stands in for the first token."""
    size = min(context, len(ids))
    for begin in range(0, len(ids) - size + 1, size):
        window = list(ids[begin : begin + size])
        if bos is not None:
            window[0] = bos
        yield window


def expected(model, reference, ids, bos, context=CONTEXT):
    """(perplexity, counted, mean KL, agreement): the second half of each window counts."""
    losses, kls, same = [], [], []
    for window in windows(ids, context, bos):
        first = len(window) // 2
        p = torch.log_softmax(torch.from_numpy(reference_logits(reference, window)).double(), -1)[first:-1]
        q = torch.log_softmax(torch.from_numpy(reference_logits(model, window)).double(), -1)[first:-1]
        losses += (-q[range(len(q)), window[first + 1 :]]).tolist()
        kls += (p.exp() * (p - q)).sum(-1).tolist()
        same += (p.argmax(-1) == q.argmax(-1)).tolist()
    return float(np.exp(np.mean(losses))), len(losses), float(np.mean(kls)), float(np.mean(same))


def save_tokenizer(directory, bos):
    """A byte-level tokenizer without merges: 256 tokens, and BOS before a text if asked for."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate(["<s>", *alphabet])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>"])
    if bos:
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>"}))
    return tokenizer


def tiny(directory, seed, bos, vocab=257):
    model = transformers.AutoModelForCausalLM.from_config(llama(vocab_size=vocab))
    random_weights(model, seed)
    model.save_pretrained(directory)
    return eager(directory), save_tokenizer(directory, bos)


@pytest.mark.parametrize("bos", [True, False])
def test_against_torch(tmp_path, bos):
    model, tokenizer = tiny(tmp_path / "model", 1, bos)
    reference, _ = tiny(tmp_path / "reference", 1, bos)
    generator = torch.Generator().manual_seed(2)
    for parameter in reference.parameters():  # near the model, as a quantization would be
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    reference.save_pretrained(tmp_path / "reference")
    text = tmp_path / "text.txt"
    # "<s>" in a file is text, not the control token that tokenizers would make of it.
    english = TEXT.read_text()[:1000]
    text.write_text("<s>" + english)
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    plain = [1 + alphabet.index(c) for c in "<s>"] + tokenizer.encode(english, add_special_tokens=False).ids
    ids = ([0] if bos else []) + plain
    perplexity, count, kl, same = expected(model, reference, ids, 0 if bos else None)
    ours = run_json("perplexity", "--model", tmp_path / "model", "--reference", tmp_path / "reference",
                    "--file", text, "--context", CONTEXT, "--json")
    print(f"\nours {ours}, torch {perplexity} {kl} {same}")
    assert ours["tokens"] == count == len(ids) // CONTEXT * (CONTEXT // 2 - 1)
    assert ours["perplexity"] == pytest.approx(perplexity, rel=1e-5)
    assert ours["mean_kl"] == pytest.approx(kl, rel=1e-3)
    assert ours["top1_agreement"] == same
    assert 0 < same < 1, "models that always agree prove little"


def test_short_text_and_threads(tmp_path):
    model, tokenizer = tiny(tmp_path, 3, True)
    text = tmp_path / "text.txt"
    text.write_text("Mr. Bennet replied that he had not.")
    ids = [0] + tokenizer.encode(text.read_text(), add_special_tokens=False).ids
    perplexity, count, _, _ = expected(model, model, ids, 0)
    args = ["perplexity", "--model", tmp_path, "--file", text, "--reference", tmp_path, "--json"]
    one = run_localai(*args, "--threads", 1)
    assert one == run_localai(*args, "--threads", 3), "the numbers depend on the number of threads"
    ours = json.loads(one)
    assert (ours["windows"], ours["tokens"]) == (1, count)
    assert ours["perplexity"] == pytest.approx(perplexity, rel=1e-5)
    assert ours["mean_kl"] == 0.0 and ours["top1_agreement"] == 1.0


def test_real_weights_predict_english(smollm2):
    """A model's own exact precision is the reference of its fast one (docs/ARCHITECTURE.md, "Numbers")."""
    ours = run_json("perplexity", "--model", smollm2, "--file", TEXT, "--reference", smollm2,
                    "--precision", "fast", "--context", 256, "--json")
    print(f"\nSmolLM2-135M Q4_1, fast against exact: {ours}")
    assert 1 < ours["perplexity"] < 40
    assert 0 < ours["mean_kl"] <= 5e-3
    assert ours["top1_agreement"] > 0.9


def test_what_is_refused(tmp_path, smollm2):
    tiny(tmp_path / "model", 4, True)
    text = tmp_path / "text.txt"
    text.write_text("Bingley.")

    def refusal(*args):
        done = run_localai("perplexity", "--model", tmp_path / "model", *args, check=False)
        assert done.returncode != 0 and not done.stdout
        return done.stderr.decode()

    assert "no-such-file" in refusal("--file", tmp_path / "no-such-file")
    assert "a context of 3 tokens is not within 4..512" in refusal("--file", text, "--context", 3)
    assert "a context of 513 tokens is not within 4..512" in refusal("--file", text, "--context", 513)
    assert "share one vocabulary" in refusal("--file", text, "--reference", smollm2)
    text.write_text("")
    assert "the text has 1 tokens, at least 4 are needed" in refusal("--file", text)
