"""Vectors of the real all-MiniLM-L6-v2, beside the sentence-transformers pipeline computed with torch: mean of
the last hidden states over the tokens, then length 1. The same weights as GGUF, in the converter's layout."""

import base64
import json

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from conftest import run_json, run_localai
from tiny_gguf import write_bert_gguf

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "a",
    "Ledger entries for Q3: revenue up 12.5%, costs down; see appendix B (p. 41).",
    "Ünïcödé, ideographs 東京都, and an emoji \U0001f600 in one text",
    "  spaces   and\ttabs\nand lines  ",
    " ".join(["The river had carried silt down from the hills for ten thousand years,"] * 25),
]


@pytest.fixture(scope="module")
def reference(minilm):
    model = transformers.BertModel.from_pretrained(minilm, dtype=torch.float32, attn_implementation="eager")
    tokenizer = tokenizers.Tokenizer.from_file(str(minilm / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return model.eval(), tokenizer


def reference_vector(reference, text):
    model, tokenizer = reference
    ids = tokenizer.encode(text).ids
    with torch.inference_mode():
        hidden = model(torch.tensor([ids])).last_hidden_state[0]
    vector = hidden.mean(0)
    return (vector / vector.norm()).numpy()


def embed(model, *texts, **kwargs):
    return np.array(run_json("embed", "--model", model, *kwargs.pop("options", ()), *texts, **kwargs), np.float32)


def compare(ours, reference, what):
    delta = float(np.abs(ours - reference).max())
    cosine = float((ours * reference).sum(-1).min())
    print(f"\n{what}: max |delta| {delta:.2e}, least cosine {cosine:.7f}")
    assert cosine >= 0.9999
    return delta


def test_real_weights(minilm, reference):
    expected = np.stack([reference_vector(reference, text) for text in TEXTS])
    ours = embed(minilm, *TEXTS)
    assert ours.shape == (len(TEXTS), 384)
    assert compare(ours, expected, "all-MiniLM-L6-v2") <= 2e-6


def test_a_vector_is_the_same_in_any_batch_and_with_any_threads(minilm):
    together = embed(minilm, *TEXTS)
    for i, text in enumerate(TEXTS):
        alone = embed(minilm, text, options=["--threads", str(1 + i % 3)])
        assert alone.tobytes() == together[i].tobytes(), text


def test_stdin(minilm):
    assert embed(minilm, "-", stdin=TEXTS[3].encode()).tobytes() == embed(minilm, TEXTS[3]).tobytes()


def test_as_gguf(minilm, reference, tmp_path):
    """Half-precision matrices, as the converter writes them by default."""
    write_bert_gguf(reference[0], minilm, tmp_path / "minilm.gguf", pooling="mean")
    expected = np.stack([reference_vector(reference, text) for text in TEXTS])
    compare(embed(tmp_path / "minilm.gguf", *TEXTS), expected, "all-MiniLM-L6-v2 as f16 GGUF")


def test_first_token_pooling(minilm, reference, tmp_path):
    for item in minilm.iterdir():
        (tmp_path / item.name).symlink_to(item)
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    model, tokenizer = reference
    with torch.inference_mode():
        first = model(torch.tensor([tokenizer.encode(TEXTS[0]).ids])).last_hidden_state[0, 0]
    assert compare(embed(tmp_path, TEXTS[0]), (first / first.norm()).numpy()[None], "first token") <= 2e-6


def test_models_of_the_other_kind_are_refused(minilm, smollm2):
    done = run_localai("embed", "--model", smollm2, "a", check=False)
    assert done.returncode != 0
    assert b"architecture 'llama' generates text; it makes no embeddings" in done.stderr
    done = run_localai("generate", "--model", minilm, "--prompt", "a", check=False)
    assert done.returncode != 0
    assert b"architecture 'bert' makes embeddings; it does not generate text" in done.stderr


def test_a_text_beyond_the_models_positions_is_refused(minilm):
    done = run_localai("embed", "--model", minilm, "word " * 600, check=False)
    assert done.returncode != 0
    assert b"input[0]: has 602 tokens, the model takes at most 512" in done.stderr


# Over HTTP, with the real client.

def vectors(response):
    return np.array([item.embedding for item in response.data], np.float32)


def test_openai_client(client, minilm):
    expected = embed(minilm, *TEXTS)
    response = client.embeddings.create(model="all-MiniLM-L6-v2", input=TEXTS)  # asks for base64
    assert vectors(response).tobytes() == expected.tobytes()
    assert [item.index for item in response.data] == list(range(len(TEXTS)))
    assert response.usage.prompt_tokens == response.usage.total_tokens > 300
    plain = client.embeddings.create(model="all-MiniLM-L6-v2", input=TEXTS[0], encoding_format="float")
    assert vectors(plain).tobytes() == expected[:1].tobytes()
    short = vectors(client.embeddings.create(model="all-MiniLM-L6-v2", input=TEXTS[0], dimensions=64))[0]
    assert np.allclose(short, expected[0, :64] / np.linalg.norm(expected[0, :64]), atol=1e-7)


def test_token_ids_over_http(client, minilm, reference):
    ids = reference[1].encode(TEXTS[0]).ids
    for tokens in (ids, [ids]):
        response = client.embeddings.create(model="all-MiniLM-L6-v2", input=tokens, encoding_format="base64")
        raw = np.frombuffer(base64.b64decode(response.data[0].embedding), np.float32)
        assert raw.tobytes() == embed(minilm, TEXTS[0]).tobytes()
