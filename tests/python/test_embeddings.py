"""Vectors of the real all-MiniLM-L6-v2, beside the sentence-transformers pipeline computed with torch: mean of
the last hidden states over the tokens, then length 1. The same weights as GGUF, in the converter's layout."""

import base64
import json

import gguf
import numpy as np
import pytest
import safetensors.torch
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


def test_converted_there_and_back(minilm, reference, tmp_path):
    """The same bits of every vector; transformers reads what comes back."""
    run_localai("convert", minilm, tmp_path / "minilm.gguf")
    run_localai("convert", tmp_path / "minilm.gguf", tmp_path / "back")
    expected = embed(minilm, *TEXTS)
    assert embed(tmp_path / "minilm.gguf", *TEXTS).tobytes() == expected.tobytes()
    assert embed(tmp_path / "back", *TEXTS).tobytes() == expected.tobytes()
    before, after = (safetensors.torch.load_file(path / "model.safetensors") for path in [minilm, tmp_path / "back"])
    assert before.keys() - after.keys() == {
        "embeddings.position_ids", "pooler.dense.bias", "pooler.dense.weight"}, "what no vector needs"
    assert all(torch.equal(before[name], tensor) for name, tensor in after.items())

    model, tokenizer = reference
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "back")
    for text in [*TEXTS, "[MASK] ##ing unaffable [UNK]", "\u2581word ##"]:
        assert again(text).input_ids == tokenizer.encode(text).ids, text
    assert (again.cls_token, again.sep_token, again.mask_token, again.pad_token) == ("[CLS]", "[SEP]", "[MASK]", "[PAD]")
    back = transformers.BertModel.from_pretrained(tmp_path / "back", add_pooling_layer=False, attn_implementation="eager")
    ids = torch.tensor([tokenizer.encode(TEXTS[2]).ids])
    with torch.inference_mode():
        assert torch.equal(back.eval()(ids).last_hidden_state, model(ids).last_hidden_state)


def test_what_convert_writes_is_the_converters_layout(minilm, reference, tmp_path):
    run_localai("convert", minilm, tmp_path / "ours.gguf", "--type", "f16")
    write_bert_gguf(reference[0], minilm, tmp_path / "theirs.gguf", pooling="mean")
    ours, theirs = (gguf.GGUFReader(tmp_path / name) for name in ["ours.gguf", "theirs.gguf"])
    for key, field in theirs.fields.items():
        if key == "GGUF.tensor_count" or not key.startswith("GGUF."):
            assert ours.fields[key].contents() == field.contents(), key
    by_name = {tensor.name: tensor for tensor in ours.tensors}
    assert by_name.keys() == {tensor.name for tensor in theirs.tensors}
    for tensor in theirs.tensors:
        own = by_name[tensor.name]
        assert (own.tensor_type, own.shape.tolist()) == (tensor.tensor_type, tensor.shape.tolist()), tensor.name
        assert np.array_equal(own.data, tensor.data), tensor.name


def linked(minilm, directory):
    for item in minilm.iterdir():
        (directory / item.name).symlink_to(item)


def test_what_sentence_transformers_knows_survives(minilm, tmp_path):
    (tmp_path / "in").mkdir()
    linked(minilm, tmp_path / "in")
    (tmp_path / "in/pool").mkdir()
    (tmp_path / "in/pool/config.json").write_text('{"pooling_mode_cls_token": true}')
    (tmp_path / "in/modules.json").write_text(json.dumps([
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "pool", "type": "sentence_transformers.models.Pooling"}]))
    (tmp_path / "in/sentence_bert_config.json").write_text('{"max_seq_length": 6, "do_lower_case": true}')
    run_localai("convert", tmp_path / "in", tmp_path / "m.gguf", "--type", "bf16")
    run_localai("convert", tmp_path / "m.gguf", tmp_path / "out")
    expected = embed(tmp_path / "m.gguf", "one two three")
    assert compare(embed(tmp_path / "in", "one two three"), expected, "bfloat16") <= 0.01
    assert embed(tmp_path / "out", "one two three").tobytes() == expected.tobytes()
    for model in ["in", "m.gguf", "out"]:
        done = run_localai("embed", "--model", tmp_path / model, "one two three four five", check=False)
        assert done.returncode != 0 and b"has 7 tokens, the model takes at most 6" in done.stderr


def test_case_is_lowered_where_sentence_transformers_does(minilm, tmp_path):
    linked(minilm, tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    tokenizer = json.loads((minilm / "tokenizer.json").read_text())
    tokenizer["normalizer"] |= {"lowercase": False, "strip_accents": False}
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    lower = embed(tmp_path, "ledger entries")
    assert embed(tmp_path, "Ledger ENTRIES").tobytes() != lower.tobytes()
    (tmp_path / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    assert embed(tmp_path, "Ledger ENTRIES").tobytes() == lower.tobytes()


def test_quantized(minilm, tmp_path):
    run_localai("quantize", minilm, tmp_path / "q8.gguf", "--type", "Q8_0")
    types = {t.name: t.tensor_type.name for t in gguf.GGUFReader(tmp_path / "q8.gguf").tensors}
    assert types["token_embd.weight"] == types["blk.0.ffn_up.weight"] == "Q8_0"
    assert types["position_embd.weight"] == types["token_types.weight"] == "F32"
    ours, exact = embed(tmp_path / "q8.gguf", *TEXTS), embed(minilm, *TEXTS)
    assert (ours * exact).sum(-1).min() >= 0.999


def test_first_token_pooling(minilm, reference, tmp_path):
    linked(minilm, tmp_path)
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
