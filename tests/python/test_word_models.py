"""WordPiece and Unigram, SentencePiece's own models: token ids equal to `tokenizers` and to `sentencepiece`."""

import io
import json

import pytest
import sentencepiece
from conftest import real_model
from gguf import GGUFWriter
from sentencepiece import sentencepiece_model_pb2
from tokenizer_samples import (
    assert_ids_of, assert_same, corpus, decoded, directory_with, fuzz_texts, ours, with_weights,
)  # fmt: skip
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

COUNT = 25_000
NORMAL, UNKNOWN, CONTROL = 1, 2, 3


def minilm_reference():
    tokenizer = Tokenizer.from_file(str(real_model("all-MiniLM-L6-v2/tokenizer.json")))
    tokenizer.no_padding()  # they belong to one use of the model, not to its tokens
    tokenizer.no_truncation()
    return tokenizer


def test_minilm_gives_the_ids_and_the_text_of_tokenizers(minilm):
    tokenizer = minilm_reference()
    texts = fuzz_texts("minilm", 2 * COUNT) + corpus()
    assert_ids_of(tokenizer, minilm, texts)
    some = texts[:2000]
    ids = [encoding.ids for encoding in tokenizer.encode_batch(some)]
    assert_same(some, decoded(minilm, ids, "--no-specials"), tokenizer.decode_batch(ids))


def word_piece(normalizer, pre_tokenizer, prefix="##", longest=100):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=1200, show_progress=False, special_tokens=specials, continuing_subword_prefix=prefix
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    made = json.loads(tokenizer.to_str())
    made["model"].update(continuing_subword_prefix=prefix, max_input_chars_per_word=longest)
    tokenizer = Tokenizer.from_str(json.dumps(made))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.decoder = decoders.WordPiece(prefix=prefix)
    return tokenizer


def bert(**flags):
    return normalizers.BertNormalizer(**flags)


WORD_PIECES = {
    "cased": lambda: word_piece(bert(lowercase=False), pre_tokenizers.BertPreTokenizer()),
    "accents kept": lambda: word_piece(bert(strip_accents=False, clean_text=False), pre_tokenizers.BertPreTokenizer()),
    "whitespace": lambda: word_piece(
        normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Strip(), normalizers.Lowercase()]),
        pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]),
        prefix="@@", longest=7,
    ),  # fmt: skip
}


@pytest.mark.parametrize("name", WORD_PIECES)
def test_word_piece_gives_the_ids_of_tokenizers(name, tmp_path):
    tokenizer = WORD_PIECES[name]()
    tokenizer.add_special_tokens([AddedToken("[mark]", lstrip=True, rstrip=True, special=True)])
    tokenizer.add_tokens([AddedToken("the", single_word=True), AddedToken("HTML", normalized=True)])
    assert_ids_of(tokenizer, directory_with(tokenizer, tmp_path), fuzz_texts(name, COUNT) + corpus())


def sentencepiece_model(**options):
    made = io.BytesIO()
    lines = (line for text in corpus() for line in text.splitlines() if line)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines, model_writer=made, hard_vocab_limit=False, minloglevel=2, **options
    )
    return made.getvalue()


def charsmap(rules):
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(sentencepiece_model(vocab_size=300, normalization_rule_name=rules))
    return normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap)


def unigram(normalizer, pre_tokenizer, byte_fallback=False):
    tokenizer = Tokenizer(models.Unigram())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.UnigramTrainer(
        vocab_size=900, show_progress=False, unk_token="<unk>", special_tokens=["<unk>", "<s>", "</s>"]
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    made = json.loads(tokenizer.to_str())
    if byte_fallback:
        made["model"]["vocab"] += [[f"<0x{byte:02X}>", 0.0] for byte in range(256)]
        made["model"]["byte_fallback"] = True
    return Tokenizer.from_str(json.dumps(made))


def squeezed(rules):
    return normalizers.Sequence([charsmap(rules), normalizers.Replace(Regex(" {2,}"), " ")])


UNIGRAMS = {
    "t5": lambda: unigram(squeezed("nmt_nfkc"), pre_tokenizers.Metaspace()),
    "words": lambda: unigram(
        charsmap("nmt_nfkc_cf"),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
    ),
    "first": lambda: unigram(
        None, pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="first")])
    ),
    "bytes": lambda: unigram(None, pre_tokenizers.Metaspace(prepend_scheme="never", split=False), byte_fallback=True),
    "nfkc": lambda: unigram(
        normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Strip(True, False), normalizers.Lowercase()]),
        pre_tokenizers.Sequence([pre_tokenizers.Punctuation("merged_with_next"), pre_tokenizers.Digits()]),
    ),
    "nfkd": lambda: unigram(
        normalizers.NFKD(),
        pre_tokenizers.Sequence([pre_tokenizers.CharDelimiterSplit("a"), pre_tokenizers.Punctuation("contiguous")]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNIGRAMS)
def test_unigram_gives_the_ids_of_tokenizers(name, tmp_path):
    tokenizer = UNIGRAMS[name]()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    tokenizer.add_special_tokens([AddedToken("[mark]", lstrip=True, rstrip=True, special=True)])
    tokenizer.add_tokens([AddedToken("the", single_word=True), AddedToken("HTML", normalized=True)])
    assert_ids_of(tokenizer, directory_with(tokenizer, tmp_path), fuzz_texts(name, COUNT) + corpus())


# byte_fallback, splitting and user-defined pieces are of the model; the rest is of its normalizer.
SENTENCEPIECES = {
    "bpe": dict(model_type="bpe", vocab_size=900, byte_fallback=True, character_coverage=0.98,
                normalization_rule_name="identity", remove_extra_whitespaces=False, user_defined_symbols=["<|end|>"]),
    "bpe nfkc": dict(model_type="bpe", vocab_size=800, normalization_rule_name="nmt_nfkc"),
    "unigram": dict(model_type="unigram", vocab_size=800, normalization_rule_name="nmt_nfkc"),
    "unigram bytes": dict(model_type="unigram", vocab_size=900, normalization_rule_name="nmt_nfkc_cf",
                          byte_fallback=True, user_defined_symbols=["<|end|>"]),
    "unigram as it is": dict(model_type="unigram", vocab_size=800, normalization_rule_name="identity",
                             remove_extra_whitespaces=False, character_coverage=0.98),
    "unigram across words": dict(model_type="unigram", vocab_size=800, split_by_whitespace=False, add_dummy_prefix=False),
}  # fmt: skip


def texts_for_sentencepiece(seed, count):
    """It drops NUL, and has no notion of control tokens in a text."""
    return [text for text in fuzz_texts(seed, count) if text and "\0" not in text] + corpus()


@pytest.mark.parametrize("name", SENTENCEPIECES)
def test_sentencepiece_model_gives_the_ids_of_sentencepiece(name, tmp_path):
    model = sentencepiece_model(**SENTENCEPIECES[name])
    (tmp_path / "tokenizer.model").write_bytes(model)
    reference = sentencepiece.SentencePieceProcessor(model_proto=model)
    texts = texts_for_sentencepiece(name, COUNT)
    assert_same(texts, ours(with_weights(tmp_path), texts, "--no-specials"), [reference.encode(text) for text in texts])


def write_gguf(path, model, tokens, scores, types, **more):
    """A file of nothing but a vocabulary, as llama.cpp's converter writes it."""
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    for name, value in more.items():
        getattr(writer, "add_" + name)(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_gguf_of_a_bert_vocabulary_gives_the_ids_of_tokenizers(tmp_path):
    tokenizer = minilm_reference()
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])

    def spelled(text):
        if text.startswith("[") and text.endswith("]"):
            return text
        return text[2:] if text.startswith("##") else "▁" + text

    tokens = [spelled(text) for text, _ in vocabulary]
    specials = {token for token in tokenizer.get_added_tokens_decoder()}
    types = [CONTROL if index in specials else NORMAL for index in range(len(tokens))]
    path = write_gguf(tmp_path / "bert.gguf", "bert", tokens, [0.0] * len(tokens), types)
    # The format has no longest word, and U+2581 in a text is its mark of a word's beginning.
    texts = [text for text in fuzz_texts("bert gguf", 10_000) if "x" * 101 not in text and "▁" not in text]
    assert_same(texts, ours(path, texts), [encoding.ids for encoding in tokenizer.encode_batch(texts)])


@pytest.mark.parametrize("name", ["unigram", "unigram as it is"])
def test_gguf_of_a_unigram_vocabulary_gives_the_ids_of_sentencepiece(name, tmp_path):
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(sentencepiece_model(**SENTENCEPIECES[name]))
    pieces, rules = model.pieces, model.normalizer_spec
    more = dict(unk_token_id=0, eos_token_id=2, remove_extra_whitespaces=rules.remove_extra_whitespaces)
    if rules.precompiled_charsmap:
        more["precompiled_charsmap"] = rules.precompiled_charsmap
    path = write_gguf(
        tmp_path / "t5.gguf", "t5", [p.piece for p in pieces], [p.score for p in pieces], [p.type for p in pieces], **more
    )
    reference = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
    # A sum of scores in double precision, as the format's program has it, may end otherwise than in
    # single precision where two ways are as good: a short text has no room for that.
    texts = [text for text in texts_for_sentencepiece(name, 10_000) if len(text) < 200]
    assert_same(texts, ours(path, texts, "--no-specials"), [reference.encode(text) for text in texts])
    assert ours(path, ["a"])[0] == reference.encode("a") + [2]
