"""What the tokenizer tests share: texts to compare on, small tokenizers made on the spot, the program's answers."""

import json
import random

from conftest import ROOT, run_localai

FRAGMENTS = [
    "Hello", " world", "'s", "'LL", " ", "  ", "\n", "\r\n", "\n\n\n", "\t", "123", "4", "é", "e\u0301", "中文",
    "😀", "👨‍👩‍👧", "\u00a0", "\u3000", "<|end|>", "<s>", "[mark]", "def f(x):\n    return x", "▁", "▁▁", "Ġ", "\u0085",
    "\u200b", "\U0001e900", "\U000323b0", "٣", "½", "Ⅷ", "!!", "...", "<", "a", "B", "\x00", "ﬃ", "क्षि", "ไทย", "한국어",
    "\u1e9b\u0323", "ǅ", "HTML <b>", "the", "<0x41>", "ÀÉÎ", "İ", "ſ", "ß", "ΑΣ", "\u0345", "\u0334", "\u0301\u0323",
    "\ufffd", "\u2028", "\u00ad", "\u0378", "\ue000", "don't", "x" * 101, "unaffable", "[MASK]", "\u1100\u1161\u11a8",
    "\u09c7\u09be", "\ufeff", "A\u0300", "´", "‘", "`", "~", "$", "1234567", "re-use (b|c)", "/\r\n", "\t\t    ", "ABCdef",
]  # fmt: skip
PLANES = [
    (0x20, 0x7F), (0x80, 0x3000), (0x3000, 0xD800), (0xE000, 0x20000), (0x20000, 0x110000), (0x300, 0x370), (0xA0, 0x600)
]  # fmt: skip


def fuzz_texts(seed, count):
    """Two in three are made of fragments, the others of characters of all planes."""
    rng = random.Random(seed)

    def text(index):
        if index % 3:
            return "".join(rng.choices(FRAGMENTS, k=rng.randint(0, 12)))
        return "".join(chr(rng.randrange(*rng.choice(PLANES))) for _ in range(rng.randint(1, 20)))

    return [text(index) for index in range(count)]


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


def decoded(model, ids, *flags):
    lines = "\n".join(map(json.dumps, ids)).encode()
    return [
        json.loads(line)
        for line in run_localai("tokenize", "--model", model, "--ids", "--jsonl", *flags, stdin=lines).splitlines()
    ]


def assert_same(texts, got, expected):
    assert len(got) == len(expected)
    wrong = [(ascii(t), g, e) for t, g, e in zip(texts, got, expected) if g != e]
    assert not wrong, f"{len(wrong)} of {len(texts)} differ, first: {wrong[:2]}"


def assert_ids_of(tokenizer, model, texts):
    """`tokenizer` is of the library `tokenizers`, `model` the same one for the program."""
    expected = []
    for at in range(0, len(texts), 5000):  # all at once would be gigabytes of offsets
        expected += [encoding.ids for encoding in tokenizer.encode_batch(texts[at : at + 5000])]
    assert_same(texts, ours(model, texts), expected)
