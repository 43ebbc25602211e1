// tokenizer.model: a SentencePiece ModelProto. libsentencepiece checks it and lists the pieces;
// what its interface does not tell (user-defined pieces, the normalizer) is read from the protobuf
// wire format, with the field numbers of sentencepiece_model.proto.
#include <sentencepiece_processor.h>

#include <optional>
#include <string>
#include <vector>

#include "text/charsmap.h"
#include "text/tokenizer.h"

namespace localai::text {
namespace {

// A protobuf message as (field number, varint or bytes), in order.
class WireReader {
 public:
  explicit WireReader(std::string_view message) : rest_(message) {}
  // False at the end and at the first malformed byte; ok() tells which.
  bool next() {
    if (rest_.empty() || !ok_) return false;
    const uint64_t key = varint();
    field = key >> 3;
    number = 0;
    bytes = {};
    switch (key & 7) {
      case 0:
        number = varint();
        break;
      case 1:
        bytes = take(8);
        break;
      case 2:
        bytes = take(varint());
        break;
      case 5:
        bytes = take(4);
        break;
      default:
        ok_ = false;
    }
    return ok_;
  }
  [[nodiscard]] bool ok() const { return ok_; }

  uint64_t field = 0, number = 0;
  std::string_view bytes;

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    ok_ = false;
    return 0;
  }
  std::string_view take(uint64_t count) {
    if (count > rest_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view out = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return out;
  }

  std::string_view rest_;
  bool ok_ = true;
};

// TrainerSpec.ModelType
constexpr uint64_t kUnigram = 1, kBpe = 2;

struct ModelFacts {
  std::vector<uint64_t> piece_types;
  uint64_t model_type = kUnigram, space_as_suffix = 0;  // defaults of the .proto
  std::string charsmap;
  uint64_t dummy_prefix = 1, remove_spaces = 1, escape_spaces = 1;
};

void read_trainer(std::string_view bytes, ModelFacts& facts) {
  for (WireReader field(bytes); field.next();) {
    if (field.field == 3) facts.model_type = field.number;
    if (field.field == 24) facts.space_as_suffix = field.number;
  }
}

void read_normalizer_spec(std::string_view bytes, ModelFacts& facts) {
  for (WireReader field(bytes); field.next();) {
    if (field.field == 2) facts.charsmap = field.bytes;
    if (field.field == 3) facts.dummy_prefix = field.number;
    if (field.field == 4) facts.remove_spaces = field.number;
    if (field.field == 5) facts.escape_spaces = field.number;
  }
}

Result<ModelFacts> read_facts(std::string_view bytes) {
  ModelFacts facts;
  WireReader field(bytes);
  while (field.next()) {
    if (field.field == 1) {
      uint64_t type = 1;
      for (WireReader piece(field.bytes); piece.next();)
        if (piece.field == 3) type = piece.number;
      facts.piece_types.push_back(type);
    }
    if (field.field == 2) read_trainer(field.bytes, facts);
    if (field.field == 3) read_normalizer_spec(field.bytes, facts);
  }
  if (!field.ok()) return corrupt("not a SentencePiece model: a malformed protobuf field");
  return facts;
}

Status check_supported(const ModelFacts& facts) {
  if (facts.model_type != kUnigram && facts.model_type != kBpe)
    return unsupported("SentencePiece model type " + std::to_string(facts.model_type) +
                       " is not supported, only 1 (Unigram) and 2 (BPE) are");
  if (facts.escape_spaces == 0)
    return unsupported("SentencePiece without escape_whitespaces is not supported");
  if (facts.space_as_suffix != 0)
    return unsupported("SentencePiece treat_whitespace_as_suffix is not supported");
  return Ok{};
}

TokenType type_of(uint64_t type) {
  return type >= 1 && type <= 6 ? static_cast<TokenType>(type) : TokenType::kNormal;
}

void add_piece(VocabularySpec& spec, const std::string& piece, float score, TokenType type) {
  const auto id = static_cast<TokenId>(spec.tokens.size());
  spec.tokens.push_back(piece);
  spec.scores.push_back(score);
  spec.types.push_back(type);
  if (type == TokenType::kByte) spec.byte_fallback = true;
  const bool control = type == TokenType::kControl || type == TokenType::kUnknown;
  if (!control && type != TokenType::kUserDefined) return;
  AddedToken token;
  token.id = id;
  token.text = piece;
  token.special = control;
  token.normalized = !control;  // user-defined pieces are spelled with U+2581
  spec.added.push_back(std::move(token));
}

// SentencePiece passes user-defined pieces by its rules; here they are found in what the rules
// made.
Status check_user_defined(const VocabularySpec& spec, const std::string& charsmap) {
  LAI_TRY(const Charsmap rules, Charsmap::parse(charsmap));
  for (const AddedToken& token : spec.added)
    if (!token.special && rules.replace_longest(token.text) != token.text)
      return unsupported("user-defined piece '" + token.text +
                         "' of the SentencePiece model is changed by its own normalizer");
  return Ok{};
}

Status add_normalizer(const ModelFacts& facts, VocabularySpec& spec) {
  if (!facts.charsmap.empty()) {
    LAI_TRY_STATUS(check_user_defined(spec, facts.charsmap));
    spec.normalizer.push_back({NormalizerStep::Kind::kCharsmap, facts.charsmap});
  }
  if (facts.remove_spaces != 0) spec.normalizer.push_back({NormalizerStep::Kind::kSqueezeSpaces});
  spec.normalizer.push_back({NormalizerStep::Kind::kReplace, " ", "\u2581"});
  return Ok{};
}

std::optional<TokenId> id_or_none(int id) {
  return id >= 0 ? std::optional<TokenId>(id) : std::nullopt;
}

}  // namespace

Result<VocabularySpec> parse_sentencepiece_model(std::string_view bytes) {
  LAI_TRY(const ModelFacts facts, read_facts(bytes));
  LAI_TRY_STATUS(check_supported(facts));
  sentencepiece::SentencePieceProcessor model;
  if (const auto status = model.LoadFromSerializedProto(bytes); !status.ok())
    return corrupt("not a SentencePiece model: " + status.ToString());
  const int count = model.GetPieceSize();
  if (count <= 0 || static_cast<size_t>(count) != facts.piece_types.size())
    return corrupt("SentencePiece model with " + std::to_string(count) + " pieces");
  VocabularySpec spec;
  spec.kind =
      facts.model_type == kUnigram ? TokenizerKind::kUnigram : TokenizerKind::kSentencePieceBpe;
  spec.float_sums = true;
  for (int id = 0; id < count; ++id)
    add_piece(spec, model.IdToPiece(id), model.GetScore(id),
              type_of(facts.piece_types[static_cast<size_t>(id)]));
  LAI_TRY_STATUS(add_normalizer(facts, spec));
  spec.add_space_prefix = facts.dummy_prefix != 0;
  spec.strip_decoded_space = spec.add_space_prefix;
  spec.bos = id_or_none(model.bos_id());
  spec.eos = id_or_none(model.eos_id());
  spec.pad = id_or_none(model.pad_id());
  spec.unknown = id_or_none(model.unk_id());
  spec.add_bos = spec.bos.has_value();
  return spec;
}

}  // namespace localai::text
