"""Token ids equal to Hugging Face `tokenizers`, to SentencePiece and (goldens) to llama.cpp."""

import io
import json
import random

import pytest
import sentencepiece
from conftest import ROOT, run_localai
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
FRAGMENTS = [
    "Hello", " world", "'s", "'LL", " ", "  ", "\n", "\r\n", "\n\n\n", "\t", "123", "4", "é", "e\u0301", "中文",
    "😀", "👨‍👩‍👧", "\u00a0", "\u3000", "<|end|>", "<s>", "[mark]", "def f(x):\n    return x", "▁", "▁▁", "Ġ", "\u0085",
    "\u200b", "\U0001e900", "\U000323b0", "٣", "½", "Ⅷ", "!!", "...", "<", "a", "B", "\x00", "ﬃ", "क्षि", "ไทย", "한국어",
    "\u1e9b\u0323", "ǅ", "HTML <b>", "the", "<0x41>",
]  # fmt: skip


def fuzz_texts(seed, count=3000):
    rng = random.Random(seed)
    planes = [(32, 127), (0x80, 0x3000), (0x3000, 0xD800), (0xE000, 0x110000)]
    texts = ["".join(rng.choices(FRAGMENTS, k=rng.randint(0, 12))) for _ in range(count)]
    texts += ["".join(chr(rng.randrange(*rng.choice(planes))) for _ in range(rng.randint(1, 20))) for _ in range(count // 2)]
    return texts


def corpus():
    files = sorted((ROOT / "src/base").glob("*.cc")) + [ROOT / "README.md"]
    return [path.read_text() for path in files] + ["Straße, naïve façade; Ελληνικά, Русский, العربية, 日本語。" * 20]


def directory_with(tokenizer, folder, config=None):
    """A model directory: the tokenizer and the smallest possible weights."""
    tokenizer.save(str(folder / "tokenizer.json"))
    return with_weights(folder, config)


def with_weights(folder, config=None):
    header = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text(json.dumps(config or {}))
    return folder


def ours(model, texts, *flags):
    lines = "\n".join(map(json.dumps, texts)).encode()
    return [json.loads(line) for line in run_localai("tokenize", "--model", model, "--jsonl", *flags, stdin=lines).splitlines()]


def assert_same(texts, got, expected):
    assert len(got) == len(expected)
    wrong = [(ascii(t), g, e) for t, g, e in zip(texts, got, expected) if g != e]
    assert not wrong, f"{len(wrong)} of {len(texts)} differ, first: {wrong[:2]}"


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
    texts = fuzz_texts(family) + corpus()
    expected = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    assert_same(texts, ours(directory_with(tokenizer, tmp_path), texts), expected)


def test_sentencepiece_model_gives_the_ids_of_sentencepiece(tmp_path):
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for text in corpus() for line in text.splitlines() if line),
        model_writer=made, model_type="bpe", vocab_size=900, byte_fallback=True, character_coverage=0.98,
        normalization_rule_name="identity", remove_extra_whitespaces=False, user_defined_symbols=["<|end|>"], minloglevel=2,
    )  # fmt: skip
    (tmp_path / "tokenizer.model").write_bytes(made.getvalue())
    reference = sentencepiece.SentencePieceProcessor(model_proto=made.getvalue())
    # SentencePiece drops NUL and reads "▁" in the text as a space already.
    texts = [text for text in fuzz_texts("sentencepiece") + corpus() if text and "\0" not in text]
    got = ours(with_weights(tmp_path), texts, "--no-specials")
    assert_same(texts, got, [reference.encode(text) for text in texts])


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
        lines = "\n".join(map(json.dumps, ids)).encode()
        back = run_localai("tokenize", "--model", model, "--ids", "--jsonl", "--no-specials", stdin=lines)
        assert [json.loads(line) for line in back.splitlines()] == texts
