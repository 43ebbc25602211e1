"""BPE: token ids equal to Hugging Face `tokenizers` and (goldens) to llama.cpp."""

import json
import random
import unicodedata

import pytest
from conftest import ROOT, run_localai
from tokenizer_samples import assert_ids_of, assert_same, corpus, decoded, directory_with, fuzz_texts, ours
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
# Texts for each kind of tokenizer: together over 100,000 for byte-level BPE, and for SentencePiece's.
COUNT = 25_000


def byte_level(split, normalizer=None, ignore_merges=False):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    steps = [pre_tokenizers.Split(Regex(split), "isolated")] if split else [pre_tokenizers.Digits(individual_digits=True)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not split)]
    )
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<|end|>"]
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def metaspace(normalizer, pre_tokenizer):
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=1200, show_progress=False, limit_alphabet=120, special_tokens=["<unk>", "<s>", *bytes_])
    tokenizer.train_from_iterator(corpus(), trainer)
    made = json.loads(tokenizer.to_str())  # byte tokens are of the model, not added ones
    made["added_tokens"] = [token for token in made["added_tokens"] if token["content"] not in bytes_]
    return Tokenizer.from_str(json.dumps(made))


def prepend_replace():
    return normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])


FAMILIES = {
    "llama3": lambda: byte_level(LLAMA3, ignore_merges=True),
    "qwen2": lambda: byte_level(QWEN2, normalizers.NFC()),
    "smollm": lambda: byte_level(None),
    "general regex": lambda: byte_level(r"\p{L}+|[^\p{L}\s]+|\s+"),
    "prepend and replace": lambda: metaspace(prepend_replace(), None),
    "gemma": lambda: metaspace(normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous")),
    "metaspace first": lambda: metaspace(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False)),
    "metaspace always": lambda: metaspace(None, pre_tokenizers.Metaspace(prepend_scheme="always", split=True)),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_tokenizer_json_gives_the_ids_of_tokenizers(family, tmp_path):
    tokenizer = FAMILIES[family]()
    tokenizer.add_special_tokens([AddedToken("[mark]", lstrip=True, rstrip=True, special=True)])
    tokenizer.add_tokens([AddedToken("the", single_word=True), AddedToken("HTML", normalized=True)])
    texts = fuzz_texts(family, COUNT) + corpus()
    if family == "general regex":  # PCRE2 knows Unicode 14, as this Python does; the reference a later one
        texts = [t for t in texts if all(unicodedata.category(c) != "Cn" for c in t)]
    assert_ids_of(tokenizer, directory_with(tokenizer, tmp_path), texts)


@pytest.mark.parametrize("model", ["smollm2", "gemma3"])
def test_gguf_gives_the_ids_of_llama_cpp(model, request):
    golden = json.loads((ROOT / "tests/python/data/llama_cpp_ids.json").read_text())[model]
    texts = [case["text"] for case in golden]
    assert_same(texts, ours(request.getfixturevalue(model), texts), [case["ids"] for case in golden])


def test_invalid_bytes_are_what_python_makes_of_them(smollm2):
    rng = random.Random(5)
    for _ in range(12):
        raw = bytes(rng.choices(b"ab \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xff\xed\xa0", k=40))
        got = json.loads(run_localai("tokenize", "--model", smollm2, "-", stdin=raw))
        assert got == ours(smollm2, [raw.decode(errors="replace")])[0], raw


def test_ids_become_the_text_again(smollm2, gemma3):
    plain = [text for text in fuzz_texts(7, 300) if "▁" not in text]
    # SmolLM2's vocabulary lacks tokens for some bytes: rare characters are lost there by its design.
    for model, texts in ((smollm2, corpus()[:-1]), (gemma3, plain)):
        ids = ours(model, texts, "--no-specials")
        assert decoded(model, ids, "--no-specials") == texts
