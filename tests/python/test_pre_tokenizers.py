"""The splitting that each name in GGUF's tokenizer.ggml.pre stands for, against the regexes run by `tokenizers`.

The vocabulary has a token for every two bytes, so that ids tell where a word begins: one byte more or
less before it pairs all bytes after it otherwise.
"""

import pytest
from conftest import run_localai
from gguf import GGUFWriter
from tokenizer_samples import assert_ids_of, fuzz_texts
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

SPACES = r"|\s+(?!\S)|\s+"
ENDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+" + SPACES
LLAMA3 = ENDS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+" + SPACES
QWEN2 = LLAMA3.replace("{1,3}", "")
QWEN35 = QWEN2.replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")
UPPER, LOWER, BEFORE = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", r"[^\r\n\p{L}\p{N}]?"
CASED = BEFORE + UPPER + "*" + LOWER + "+ENDS|" + BEFORE + UPPER + "+" + LOWER + "*ENDS"
OTHERS = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+" + SPACES
TEKKEN = CASED.replace("ENDS", "") + r"|\p{N}" + OTHERS
GPT4O = CASED.replace("ENDS", ENDS + "?") + r"|\p{N}{1,3}" + OTHERS
DEEPSEEK_LETTERS = (
    r"\s?[A-Za-z\x{b5}\x{c0}-\x{d6}\x{d8}-\x{f6}\x{f8}-\x{1ba}\x{1bc}-\x{1bf}\x{1c4}-\x{293}\x{295}-\x{2af}"
    r"\x{370}-\x{373}\x{376}\x{377}\x{37b}-\x{37d}\x{37f}\x{386}\x{388}-\x{38a}\x{38c}\x{38e}-\x{3a1}\x{3a3}-"
    r"\x{3f5}\x{3f7}-\x{481}\x{48a}-\x{52f}\x{531}-\x{556}\x{10a0}-\x{10c5}\x{13a0}-\x{13f5}\x{13f8}-\x{13fd}"
    r"\x{1c90}-\x{1cba}\x{1cbd}-\x{1cbf}\x{1d00}-\x{1d2b}\x{1d6b}-\x{1d77}\x{1d79}-\x{1d9a}\x{1e00}-\x{1f15}"
    r"\x{1f18}-\x{1f1d}\x{1f20}-\x{1f45}\x{1f48}-\x{1f4d}\x{1f50}-\x{1f57}\x{1f59}\x{1f5b}\x{1f5d}\x{1f5f}-"
    r"\x{1f7d}\x{1f80}-\x{1fb4}\x{1fb6}-\x{1fbc}\x{1fbe}\x{1fc2}-\x{1fc4}\x{1fc6}-\x{1fcc}\x{1fd0}-\x{1fd3}"
    r"\x{1fd6}-\x{1fdb}\x{1fe0}-\x{1fec}\x{1ff2}-\x{1ff4}\x{1ff6}-\x{1ffc}\x{2102}\x{2107}\x{210a}-\x{2113}"
    r"\x{2115}\x{2119}-\x{211d}\x{2124}\x{2126}\x{2128}\x{212a}-\x{212d}\x{212f}-\x{2134}\x{2139}\x{213c}-"
    r"\x{213f}\x{2145}-\x{2149}\x{214e}\x{2183}\x{2184}\x{2c00}-\x{2c7b}\x{2c7e}-\x{2ce4}\x{2ceb}-\x{2cee}"
    r"\x{2cf2}\x{2cf3}\x{a640}-\x{a66d}\x{a680}-\x{a69b}\x{a722}-\x{a76f}\x{a771}-\x{a787}\x{a78b}-\x{a78e}"
    r"\x{ab70}-\x{abbf}\x{fb00}-\x{fb06}\x{fb13}-\x{fb17}\x{ff21}-\x{ff3a}\x{ff41}-\x{ff5a}\x{10400}-\x{1044f}"
    r"\x{104b0}-\x{104d3}\x{104d8}-\x{104fb}\x{10c80}-\x{10cb2}\x{10cc0}-\x{10cf2}\x{118a0}-\x{118df}\x{1e900}-"
    r"\x{1e943}]+"
)
CJK = r"[一-龥ࠀ-一가-퟿]+"
DEEPSEEK3 = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+"
    + SPACES
)
JAIS2 = LLAMA3.removesuffix(SPACES) + "".join(rf"|\s{{{n}}}(?!\S)" for n in (512, 256, 128, 64, 32, 16, 8, 4, "1,2")) + r"|\s{1}"
PORO = r" ?[^(\s|.,!?…。，、।۔،)]+"
# By the first name: the regexes in their order, the other names.
KNOWN = {
    "llama-bpe": ([LLAMA3], "llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano"),
    "dbrx": ([LLAMA3], "smaug-bpe chatglm-bpe glm4 glm5"),
    "jais-2": ([JAIS2], ""),
    "minicpm5": ([r"\p{N}{1,3}", LLAMA3.replace("{1,3}", "+")], ""),
    "qwen2": ([QWEN2], "deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2"),
    "bailingmoe": (
        [r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]" + SPACES],
        "bailingmoe2 llada-moe",
    ),
    "laguna": ([r"[^\n]+|[\n]+", QWEN2], ""),
    "qwen35": ([QWEN35], ""),
    "seed-coder": ([QWEN2.replace(r"+[\r\n]*", "+").replace(r"[^\s\p{L}\p{N}]+", r"[^\s\p{L}\p{N}\r\n]+")], ""),
    "ufakzeka": ([QWEN2.removeprefix(ENDS + "|")], ""),
    "exaone-moe": (
        [ENDS + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]" + SPACES],
        "",
    ),
    "smollm": ([r"\p{N}", GPT2], "command-r starcoder refact codeshell exaone minerva-7b mellum2"),
    "gpt-2": (
        [GPT2],
        "phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum mpt olmo jais trillion granite-docling exaone4 "
        "modern-bert",
    ),
    "falcon": ([r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"], ""),
    "tekken": ([TEKKEN], ""),
    "gpt-4o": ([GPT4O], "llama4 kanana2 talkie minimax-m2"),
    "youtu": (
        [r"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+", GPT4O.replace("{1,3}", "")],
        "",
    ),
    "deepseek-llm": (
        [r"[\r\n]", DEEPSEEK_LETTERS, r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", CJK, r"\p{N}+"],
        "",
    ),
    "deepseek-coder": ([r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, r"\p{N}"], ""),
    "deepseek-v3": ([r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3], "hunyuan-dense joyai-llm hy_v4"),
    "poro-chat": ([PORO], "bloom gpt3-finnish"),
    "viking": ([PORO, r"\p{N}"], ""),
    "superbpe": ([r"\p{N}+", r"(?=(\d{3})+(?!\d))"], ""),
    "default": ([r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"], ""),
}


def byte_pairs():
    letters = bytes_to_letters()
    merges = [(a, b) for a in letters for b in letters]
    return letters + [a + b for a, b in merges], merges


def bytes_to_letters():
    """GPT-2's alphabet: printable bytes stand for themselves, the others for U+0100 and on."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in own else next(others)) for byte in range(256)]


def gguf_of(path, name, tokens, merges):
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(name)
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(tokens))
    writer.add_token_merges([f"{a} {b}" for a, b in merges])
    writer.add_add_bos_token(False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("name", KNOWN)
def test_pre_tokenizer_splits_as_its_regexes_do(name, tmp_path):
    tokens, merges = byte_pairs()
    reference = Tokenizer(models.BPE(vocab={text: index for index, text in enumerate(tokens)}, merges=merges))
    splits = [pre_tokenizers.Split(Regex(regex), "isolated") for regex in KNOWN[name][0]]
    reference.pre_tokenizer = pre_tokenizers.Sequence(
        [*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    texts = fuzz_texts(name, 3000) + [" " * n + "x" + "\t" * n for n in range(1, 1100, 37)]
    assert_ids_of(reference, gguf_of(tmp_path / "vocabulary.gguf", name, tokens, merges), texts)


def test_other_names_are_known_and_unknown_ones_are_named(tmp_path):
    letters = [*bytes_to_letters(), "ab"]
    merges = [("a", "b")]
    for names in KNOWN.values():
        for name in names[1].split():
            run_localai("tokenize", "--model", gguf_of(tmp_path / "known.gguf", name, letters, merges), "a")
    refused = run_localai(
        "tokenize", "--model", gguf_of(tmp_path / "other.gguf", "kimi-k3", letters, merges), "a", check=False
    )  # fmt: skip
    assert refused.returncode != 0
    assert b"tokenizer.ggml.pre: pre-tokenizer 'kimi-k3' is not known" in refused.stderr
