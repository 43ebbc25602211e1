"""localai convert: safetensors -> GGUF -> safetensors, against transformers on what comes out."""

import json
import unicodedata

import gguf
import numpy as np
import pytest
import safetensors.torch
import tokenizers
import torch
import transformers
from conftest import run_json, run_localai
from granite_gguf import write_granite_gguf
from test_parity import (MOE, SMALL, TINY, eager, gemma3, hybrid, llama, long_rope, our_logits, phi3, random_weights,
                         reference_logits, relative_error)
from test_word_models import charsmap, unigram
from tokenizer_samples import assert_same, corpus, fuzz_texts, ours
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers, processors

GEMMA2_AS_GGUF_CAN_SAY = transformers.Gemma2Config(
    **SMALL, head_dim=32, sliding_window=9, query_pre_attn_scalar=32, attn_logit_softcapping=5.0,
    final_logit_softcapping=7.0)
CASES = {
    **{name: TINY[name] for name in [
        "llama-gqa-tied", "llama-untied-wide-heads-f16", "llama-mha-biases-bf16", "llama-llama3-rope-sharded",
        "llama-linear-rope", "qwen3", "granite-multipliers", "gemma",
        "gemma3-linear-rope-softcap-f16", "granitemoe", "granitehybrid", "granitehybrid-groups-biases-bf16",
        "granitehybrid-moe-f16", "granitehybrid-all-attention", "granitehybrid-all-mamba-sharded"]},
    "granitehybrid-rope-no-conv-bias-untied": (
        hybrid(position_embedding_type="rope", mamba_conv_bias=False, mamba_n_groups=2, tie_word_embeddings=False,
               attention_bias=True, layer_types=["linear_attention", "full_attention"] * 2), torch.float32),
    "granitehybrid-experts-and-attention-alone": (
        hybrid(**MOE, position_embedding_type="rope", layer_types=["full_attention"] * 4), torch.bfloat16),
    "granitehybrid-attention-without-positions": (hybrid(layer_types=["full_attention"] * 4), torch.bfloat16),
    "granitemoe-shared-bf16": (
        transformers.GraniteMoeSharedConfig(**{**SMALL, **MOE}, shared_intermediate_size=96, embedding_multiplier=12.0,
                                            residual_multiplier=0.22, attention_multiplier=0.1), torch.bfloat16),
    "gemma2": (GEMMA2_AS_GGUF_CAN_SAY, torch.bfloat16),
    "gemma3-any-layers": (gemma3(query_pre_attn_scalar=32, num_hidden_layers=4, layer_types=[
        "full_attention", "sliding_attention", "full_attention", "sliding_attention"]), torch.bfloat16),
    "mistral-wide-window": (transformers.MistralConfig(**SMALL, sliding_window=512), torch.float32),
    "phi3": (phi3(), torch.bfloat16),
    "phi3-longrope-window": (phi3(**long_rope(40, partial=0.75), sliding_window=9), torch.float32),
    "phi3-longrope-own-factor": (phi3(**long_rope(40, attention_factor=1.25)), torch.float16),
    "qwen2": (transformers.Qwen2Config(**SMALL), torch.bfloat16),
    "vaultgemma": (transformers.VaultGemmaConfig(  # as published: every layer is global
        **SMALL, head_dim=32, sliding_window=9, query_pre_attn_scalar=32, attn_logit_softcapping=None,
        final_logit_softcapping=None, layer_types=["full_attention"] * 3), torch.float32),
}
CASES["gemma3-linear-rope-softcap-f16"][0].query_pre_attn_scalar = 32
IDS = np.random.default_rng(11).integers(0, SMALL["vocab_size"], 60).tolist()


def weights(directory):
    out = {}
    for path in directory.glob("*.safetensors"):
        out.update(safetensors.torch.load_file(path))
    return out


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(
        a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))


@pytest.mark.parametrize("name", CASES)
def test_there_and_back(name, tmp_path):
    config, dtype = CASES[name]
    model = transformers.AutoModelForCausalLM.from_config(config)
    random_weights(model, seed=len(name))
    shard = {"max_shard_size": "60KB"} if name.endswith("sharded") else {}
    model.to(dtype).save_pretrained(tmp_path / "in", **shard)
    reference = reference_logits(eager(tmp_path / "in"), IDS)

    run_localai("convert", tmp_path / "in", tmp_path / "model.gguf")
    ours = our_logits(tmp_path / "model.gguf", IDS, tmp_path / "logits.npy")
    error = relative_error(ours, reference)
    run_localai("convert", tmp_path / "model.gguf", tmp_path / "out", "--shard-size", "100KB")
    assert (tmp_path / "out" / "model.safetensors.index.json").exists()
    there, back = weights(tmp_path / "in"), weights(tmp_path / "out")
    assert there.keys() - {"lm_head.weight"} == back.keys() - {"lm_head.weight"}
    gemma = "gemma" in config.model_type
    for tensor in back:
        if gemma and "norm" in tensor:  # 1 + w in GGUF: w is rounded to a unit of 1 + w
            assert (there[tensor].float() - back[tensor].float()).abs().max() <= 2**-23
        elif tensor.endswith("A_log") and dtype == torch.float32:  # -exp(A_log) in GGUF
            close = (there[tensor] - back[tensor]).abs()
            assert close.max() <= 2**-24 and close[there[tensor].abs() >= 1].sum() == 0
        else:
            assert same_bits(there[tensor], back[tensor]), tensor
    again = reference_logits(eager(tmp_path / "out"), IDS)
    drift = relative_error(again, reference)
    print(f"\n{name}: GGUF {error:.1e} of the range, transformers on the way back {drift:.1e}")
    assert error <= 2e-5
    recurrent = (tmp_path / "model.gguf").read_bytes().find(b"granitehybrid") >= 0  # in chunks that GGUF has no key for
    assert drift <= (2e-6 if gemma or recurrent or "llama3" in name else 0)


@pytest.mark.parametrize("name", [
    "granitemoe", "granitehybrid", "granitehybrid-rope-no-conv-bias-untied", "granitehybrid-moe-f16"])
def test_the_reference_converters_layout(name, tmp_path):
    """What granite_gguf writes by hand is in our file too: keys, tensors, shapes, types, bytes."""
    model = transformers.AutoModelForCausalLM.from_config(CASES[name][0])
    random_weights(model, seed=len(name))
    model.half().save_pretrained(tmp_path / "in")
    write_granite_gguf(eager(tmp_path / "in"), tmp_path / "theirs.gguf", torch.float16)
    run_localai("convert", tmp_path / "in", tmp_path / "ours.gguf")
    ours, theirs = (gguf.GGUFReader(tmp_path / file) for file in ["ours.gguf", "theirs.gguf"])
    for key, field in theirs.fields.items():
        if key == "GGUF.tensor_count" or not key.startswith("GGUF."):
            # a dense model's FFN stands under both keys there; readers look at the shared one with experts alone
            if key in ours.fields or not key.endswith("expert_shared_feed_forward_length"):
                assert ours.fields[key].contents() == field.contents(), key
    by_name = {tensor.name: tensor for tensor in ours.tensors}
    assert by_name.keys() == {tensor.name for tensor in theirs.tensors}
    for tensor in theirs.tensors:
        own = by_name[tensor.name]
        assert (own.tensor_type, own.shape.tolist()) == (tensor.tensor_type, tensor.shape.tolist()), tensor.name
        if tensor.name.endswith("ssm_a"):  # torch's exp in float32 is off by a unit here and there
            assert np.allclose(own.data, tensor.data, rtol=2**-22, atol=0)
        else:
            assert np.array_equal(own.data, tensor.data), tensor.name


def test_types(tmp_path):
    model = transformers.AutoModelForCausalLM.from_config(llama())
    random_weights(model, seed=5)
    model.save_pretrained(tmp_path / "in")
    run_localai("convert", tmp_path / "in", tmp_path / "half.gguf", "--type", "f16")
    tensors = {t.name: t for t in gguf.GGUFReader(tmp_path / "half.gguf").tensors}
    kinds = gguf.GGMLQuantizationType
    assert tensors["blk.0.ffn_up.weight"].tensor_type == kinds.F16
    assert tensors["blk.0.attn_norm.weight"].tensor_type == kinds.F32
    expected = weights(tmp_path / "in")["model.layers.0.mlp.up_proj.weight"].half().numpy()
    assert np.array_equal(tensors["blk.0.ffn_up.weight"].data, expected)
    run_localai("convert", tmp_path / "half.gguf", tmp_path / "out", "--type", "bf16")
    assert {t.dtype for t in weights(tmp_path / "out").values()} == {torch.bfloat16}


SAMPLES = ["Hello, we can use it.", "  multiple   spaces\n\n\tand lines 1234567", "Café déjà vu — 東京 🙂 ﷺ",
           "don't I'LL <s> <|im_start|> <bos> <end_of_turn>", "", " ", "a\u0301 ne\u0301e", "x=1;y:=[2]"]


@pytest.mark.parametrize("name, type", [("smollm2", "bf16"), ("gemma3", "f16")])
def test_real_model_to_transformers_and_back(name, type, request, tmp_path):
    source = request.getfixturevalue(name)
    done = run_localai("convert", source, tmp_path / "refused", check=False)
    assert done.returncode != 0 and b"choose --type f32, f16 or bf16" in done.stderr
    assert not list(tmp_path.iterdir()), "a refused conversion leaves nothing behind"

    report = run_json("convert", source, tmp_path / "out", "--type", type, "--json")
    assert report["from"] == "gguf" and report["to"] == "safetensors" and report["tokenizer"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    ours = [json.loads(line) for line in run_localai(
        "tokenize", "--model", source, "--jsonl",
        stdin="\n".join(map(json.dumps, SAMPLES)).encode()).splitlines()]
    for text, ids in zip(SAMPLES, ours):
        assert tokenizer(text).input_ids == ids, text

    ids = ours[0]
    reference = reference_logits(eager(tmp_path / "out"), ids)
    run_localai("convert", tmp_path / "out", tmp_path / "back.gguf")
    back = our_logits(tmp_path / "back.gguf", ids, tmp_path / "logits.npy")
    error = relative_error(back, reference)
    print(f"\n{name}: GGUF made of the directory, against transformers on it: {error:.1e} of the range")
    assert error <= 1e-3
    again = [json.loads(line) for line in run_localai(
        "tokenize", "--model", tmp_path / "back.gguf", "--jsonl",
        stdin="\n".join(map(json.dumps, SAMPLES)).encode()).splitlines()]
    assert again == ours
    before, after = (run_json("inspect", path, "--json")["metadata"] for path in [source, tmp_path / "back.gguf"])
    for key in ["tokenizer.ggml.model", "tokenizer.ggml.tokens", "tokenizer.ggml.bos_token_id",
                "tokenizer.ggml.eos_token_id", "tokenizer.chat_template", "tokenizer.ggml.merges"]:
        assert before.get(key) == after.get(key), key
    if name == "smollm2":
        assert before["tokenizer.ggml.pre"] == after["tokenizer.ggml.pre"] == "smollm"


@pytest.mark.parametrize("pattern, pre", [
    (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
     "dbrx"),
    (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
     "qwen2"),
    (r"\w+|\W", None),
])
def test_pre_tokenizer_names(pattern, pre, tmp_path):
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())[:SMALL["vocab_size"] - 1]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(
        vocab={token: i for i, token in enumerate([*alphabet, "th"])}, merges=[("t", "h")]))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
        tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"),
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    transformers.AutoModelForCausalLM.from_config(llama()).save_pretrained(tmp_path / "in")
    tokenizer.save(str(tmp_path / "in" / "tokenizer.json"))
    done = run_localai("convert", tmp_path / "in", tmp_path / "model.gguf", check=False)
    if pre is None:
        assert done.returncode != 0 and b"pre-tokenizer is none that GGUF files have a name for" in done.stderr
        assert not (tmp_path / "model.gguf").exists()
        return
    assert done.returncode == 0, done.stderr
    metadata = run_json("inspect", tmp_path / "model.gguf", "--json")["metadata"]
    assert metadata["tokenizer.ggml.pre"] == pre
    assert metadata["tokenizer.ggml.merges"] == ["t h"]
    assert run_json("tokenize", "--model", tmp_path / "model.gguf", "the") == tokenizer.encode("the").ids


def refused(config, tmp_path):
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "in")
    done = run_localai("convert", tmp_path / "in", tmp_path / "model.gguf", check=False)
    assert done.returncode != 0 and not (tmp_path / "model.gguf").exists()
    return done.stderr.decode()


def test_what_gguf_cannot_say_is_refused(tmp_path):
    window = refused(transformers.MistralConfig(**SMALL, sliding_window=9), tmp_path)
    assert "cannot say this" in window and "sliding window of layer 0: 9 and 0" in window
    scale = refused(TINY["gemma2-softcaps"][0], tmp_path)
    assert "attention scale" in scale
    limits = refused(hybrid(time_step_limit=(0.3, 1.2)), tmp_path)
    assert "least Mamba2 time step: 0.3" in limits


def test_a_that_no_logarithm_gives_is_refused(tmp_path):
    transformers.AutoModelForCausalLM.from_config(hybrid()).save_pretrained(tmp_path / "in")
    run_localai("convert", tmp_path / "in", tmp_path / "model.gguf")
    reader = gguf.GGUFReader(tmp_path / "model.gguf", "r+")
    next(t for t in reader.tensors if t.name == "blk.1.ssm_a").data[2] = 0.5
    reader.data.flush()
    done = run_localai("convert", tmp_path / "model.gguf", tmp_path / "out", check=False)
    assert done.returncode != 0 and b"tensor 'blk.1.ssm_a' holds 0.5" in done.stderr
    assert not (tmp_path / "out").exists()


def test_quantize_takes_a_directory(tmp_path):
    """As convert and quantize one after the other, and nothing is left beside the output."""
    model = transformers.AutoModelForCausalLM.from_config(llama(hidden_size=256, intermediate_size=512))
    random_weights(model, seed=3)
    model.to(torch.bfloat16).save_pretrained(tmp_path / "in")
    run_localai("quantize", tmp_path / "in", tmp_path / "one.gguf", "--type", "Q4_K_M")
    run_localai("convert", tmp_path / "in", tmp_path / "whole.gguf")
    run_localai("quantize", tmp_path / "whole.gguf", tmp_path / "two.gguf", "--type", "Q4_K_M")
    assert (tmp_path / "one.gguf").read_bytes() == (tmp_path / "two.gguf").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"in", "one.gguf", "two.gguf", "whole.gguf"}


def test_quantize_takes_experts_and_mamba2_layers(tmp_path):
    """With the types of llama.cpp's mix; what is no weight of a product stays as it is."""
    config = hybrid(**{**MOE, "intermediate_size": 256}, hidden_size=256, shared_intermediate_size=256, mamba_d_head=64)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "in")
    run_localai("quantize", tmp_path / "in", tmp_path / "model.gguf", "--type", "Q4_K_M")
    types = {t.name: t.tensor_type.name for t in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    assert types["token_embd.weight"] == "Q6_K"
    assert {types[f"blk.0.{name}.weight"] for name in [
        "ssm_in", "ssm_out", "ffn_gate_exps", "ffn_up_exps", "ffn_gate_shexp", "ffn_up_shexp"]} == {"Q4_K"}
    assert {types[f"blk.0.{name}"] for name in [
        "ssm_a", "ssm_d", "ssm_dt.bias", "ssm_conv1d.weight", "ssm_norm.weight", "ffn_gate_inp.weight"]} == {"F32"}


def test_other_refusals(tmp_path, smollm2, minilm):
    for item in minilm.iterdir():
        (tmp_path / item.name).symlink_to(item)
    (tmp_path / "tokenizer.json").unlink()
    tokenizer = json.loads((minilm / "tokenizer.json").read_text())
    tokenizer["normalizer"]["clean_text"] = False
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    done = run_localai("convert", tmp_path, tmp_path / "x.gguf", check=False)
    assert done.returncode != 0 and b"GGUF has no key for the tokenizer's normalizer" in done.stderr
    done = run_localai("convert", smollm2, tmp_path, check=False)
    assert done.returncode != 0 and b"exists already" in done.stderr
    assert not (tmp_path / "x.gguf").exists()


def t5_steps():
    return normalizers.Sequence(
        [charsmap("nmt_nfkc"), normalizers.Strip(left=False), normalizers.Replace(Regex(" {2,}"), "▁")]
    ), pre_tokenizers.Metaspace()


def words_steps():
    split = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    return charsmap("nmt_nfkc_cf"), split


def as_they_are_steps():
    return None, pre_tokenizers.Metaspace(prepend_scheme="never", split=False)


def short_scores(tokenizer):
    """With scores that GGUF can say and whose sums are exact: the library reads the last bit of a long number as it
    likes, and a tie between two ways to cut a word would hang on it."""
    made = json.loads(tokenizer.to_str())
    made["model"]["vocab"] = [[text, round(score * 1024) / 1024] for text, score in made["model"]["vocab"]]
    return Tokenizer.from_str(json.dumps(made))


def model_with(tokenizer, folder):
    config = transformers.LlamaConfig(**{**SMALL, "vocab_size": tokenizer.get_vocab_size()})
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>", "unk_token": "<unk>"}))
    return folder


@pytest.mark.parametrize("steps", [t5_steps, words_steps, as_they_are_steps])
def test_unigram_tokenizers_there_and_back(steps, tmp_path):
    tokenizer = short_scores(unigram(*steps()))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    tokenizer.add_special_tokens([AddedToken("[mark]", special=True, normalized=False)])
    run_localai("convert", model_with(tokenizer, tmp_path / "in"), tmp_path / "x.gguf")
    run_localai("convert", tmp_path / "x.gguf", tmp_path / "out")
    run_localai("convert", tmp_path / "out", tmp_path / "again.gguf")
    back = Tokenizer.from_file(str(tmp_path / "out/tokenizer.json"))
    texts = fuzz_texts("unigram", 5000) + corpus()
    # U+2581 in a text, and compiled rules on marks that join what is before them, have no one meaning; U+0085
    # is whitespace for the library, but no rule makes it a space.
    odd = "▁\x85"
    texts = [text for text in texts if not any(c in odd or unicodedata.combining(c) for c in text)]
    assert len(texts) > 1000
    expected = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    assert_same(texts, [encoding.ids for encoding in back.encode_batch(texts)], expected)
    for model in ("x.gguf", "out", "again.gguf"):
        assert_same(texts, ours(tmp_path / model, texts), expected)
    fields = [gguf.GGUFReader(tmp_path / name).fields for name in ("x.gguf", "again.gguf")]
    for key in ("tokens", "scores", "token_type", "add_space_prefix", "remove_extra_whitespaces"):
        first, second = (field[f"tokenizer.ggml.{key}"].contents() for field in fields)
        assert first == second, key
    maps = [field.get("tokenizer.ggml.precompiled_charsmap") for field in fields]
    assert (maps[0] is None) == (steps is as_they_are_steps)
    assert maps[0] is None or maps[0].contents() == maps[1].contents()


@pytest.mark.parametrize("normalizer, pre_tokenizer, bytes, message", [
    (None, pre_tokenizers.Metaspace(prepend_scheme="never", split=False), True, b"no bytes in place of unknown"),
    (None, pre_tokenizers.Metaspace(prepend_scheme="first"), False, b"no key for the tokenizer's pre-tokenizer"),
    (normalizers.NFKC(), pre_tokenizers.Metaspace(), False, b"no key for the tokenizer's normalizer"),
    (None, pre_tokenizers.Metaspace(), False, b"no key for the tokenizer's handling of spaces"),
])  # fmt: skip
def test_unigram_steps_that_gguf_cannot_say_are_refused(normalizer, pre_tokenizer, bytes, message, tmp_path):
    model = model_with(unigram(normalizer, pre_tokenizer, bytes), tmp_path / "in")
    done = run_localai("convert", model, tmp_path / "x.gguf", check=False)
    assert done.returncode != 0 and message in done.stderr, done.stderr
    assert not (tmp_path / "x.gguf").exists()
