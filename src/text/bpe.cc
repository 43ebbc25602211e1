#include "text/bpe.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/byte_token.h"

namespace localai::text {
namespace {

using Symbol = ModelScratch::Symbol;
using Candidate = ModelScratch::Candidate;

// Up to this many symbols, looking at every pair after each merge is faster than a heap.
constexpr size_t kFewSymbols = 24;

bool later(const Candidate& a, const Candidate& b) { return a.order > b.order; }

void append(ModelScratch& scratch, TokenId id, size_t begin, size_t bytes) {
  const auto at = static_cast<int32_t>(scratch.symbols.size());
  scratch.symbols.push_back(
      {id, at - 1, at + 1, static_cast<uint32_t>(begin), static_cast<uint32_t>(bytes)});
}

// `left` takes in the symbol after it and becomes `id`.
void join(std::vector<Symbol>& symbols, int32_t left, TokenId id) {
  Symbol& a = symbols[static_cast<size_t>(left)];
  Symbol& b = symbols[static_cast<size_t>(a.next)];
  a.id = id;
  a.bytes += b.bytes;
  b.bytes = 0;
  a.next = b.next;
  if (a.next >= 0) symbols[static_cast<size_t>(a.next)].previous = left;
}

// Highest first. A vocabulary is a few long runs in that order, or no order at all.
void sort_runs(std::vector<std::pair<float, size_t>>& order) {
  constexpr int kRunsMax = 16;
  const auto before = [](const auto& a, const auto& b) { return a.first > b.first; };
  auto sorted_to = std::is_sorted_until(order.begin(), order.end(), before);
  for (int runs = 1; sorted_to != order.end(); ++runs) {
    if (runs == kRunsMax) {
      std::sort(order.begin(), order.end(), before);
      return;
    }
    const auto run_end = std::is_sorted_until(sorted_to, order.end(), before);
    std::inplace_merge(order.begin(), sorted_to, run_end, before);
    sorted_to = run_end;
  }
}

}  // namespace

Result<BpeModel> BpeModel::create(const VocabularySpec& spec, const TokenIndex& index) {
  BpeModel out;
  out.index_ = &index;
  out.bytes_ = spec.kind == TokenizerKind::kByteLevelBpe;
  out.ignore_merges_ = spec.ignore_merges;
  out.byte_fallback_ = spec.byte_fallback;
  out.fuse_unknown_ = spec.fuse_unknown;
  out.unknown_ = spec.unknown.value_or(-1);
  out.unusable_.resize(spec.tokens.size());
  for (size_t id = 0; id < spec.types.size(); ++id)
    out.unusable_[id] =
        spec.types[id] == TokenType::kControl || spec.types[id] == TokenType::kUnknown;
  out.byte_ids_ = byte_token_ids(index);
  for (int byte = 0; out.bytes_ && byte < 256; ++byte)
    out.byte_ids_[static_cast<size_t>(byte)] =
        index.find(alphabet_character(static_cast<unsigned char>(byte))).value_or(-1);
  if (!out.bytes_ && spec.merges.empty()) {
    LAI_TRY_STATUS(out.rank_scores(spec));
  } else {
    LAI_TRY(out.merges_, MergeTable::build(spec.merges, index));
    out.merges_.forget_if([&](TokenId id) { return out.unusable_[static_cast<size_t>(id)]; });
    // User-defined tokens need not be of the model's own vocabulary, which is all that a whole word
    // or a character is looked up in.
    for (size_t id = 0; id < spec.types.size(); ++id)
      if (spec.types[id] == TokenType::kUserDefined) out.unusable_[id] = true;
  }
  return out;
}

// Equal scores get equal ranks: then the leftmost pair is first.
Status BpeModel::rank_scores(const VocabularySpec& spec) {
  const size_t count = spec.tokens.size();
  if (spec.scores.size() < count)
    return corrupt("the vocabulary has " + std::to_string(count) + " tokens and " +
                   std::to_string(spec.scores.size()) + " scores, and no merges");
  std::vector<std::pair<float, size_t>> order(count);  // score, token
  for (size_t id = 0; id < count; ++id) {
    order[id] = {spec.scores[id], id};
    if (std::isnan(spec.scores[id]))
      return corrupt("token " + std::to_string(id) + " has a score that is not a number");
  }
  sort_runs(order);
  score_rank_.resize(count);
  uint32_t rank = 0;
  for (size_t i = 0; i < count; ++i) {
    if (i > 0 && order[i].first < order[i - 1].first) ++rank;
    score_rank_[order[i].second] = rank;
  }
  // Byte tokens stand for bytes; the text "<0x41>" does not merge into one.
  for (const TokenId id : byte_ids_)
    if (id >= 0) unusable_[static_cast<size_t>(id)] = true;
  return Ok{};
}

TokenId BpeModel::usable(std::string_view text) const {
  const auto id = index_->find(text);
  return id && !unusable_[static_cast<size_t>(*id)] ? *id : -1;
}

void BpeModel::encode(std::string_view word, ModelScratch& scratch,
                      std::vector<TokenId>& out) const {
  if (word.empty()) return;
  if (ignore_merges_) {
    std::string_view spelled = word;
    if (bytes_) {
      scratch.spelled.clear();
      for (const char c : word)
        scratch.spelled += alphabet_character(static_cast<unsigned char>(c));
      spelled = scratch.spelled;
    }
    if (const TokenId id = usable(spelled); id >= 0) {
      out.push_back(id);
      return;
    }
  }
  scratch.symbols.clear();
  if (bytes_) {
    start_bytes(word, scratch);
  } else if (score_rank_.empty()) {
    start_characters(word, scratch);
  } else {
    start_scored(word, scratch);
  }
  if (scratch.symbols.empty()) return;
  scratch.symbols.back().next = -1;
  if (scratch.symbols.size() <= kFewSymbols) {
    merge_few(word, scratch);
  } else {
    merge_many(word, scratch);
  }
  emit(word, scratch, out);
}

// A byte whose character is no token is left out, or unknown.
void BpeModel::start_bytes(std::string_view word, ModelScratch& scratch) const {
  bool unknown_before = false;
  for (size_t at = 0; at < word.size(); ++at) {
    const TokenId id = byte_ids_[static_cast<unsigned char>(word[at])];
    if (id >= 0) {
      append(scratch, id, at, 1);
    } else if (unknown_ >= 0 && !(fuse_unknown_ && unknown_before)) {
      append(scratch, unknown_, at, 1);
    }
    unknown_before = id < 0;
  }
}

// Source: tokenizers, BPE::merge_word. An unknown waits until the next character that is a token,
// so that those that follow can join it; byte tokens do not end the wait there either.
void BpeModel::start_characters(std::string_view word, ModelScratch& scratch) const {
  size_t unknown_begin = 0, unknown_bytes = 0;
  const auto flush = [&] {
    if (unknown_bytes > 0) append(scratch, unknown_, unknown_begin, unknown_bytes);
    unknown_bytes = 0;
  };
  for (size_t at = 0, bytes = 0; at < word.size(); at += bytes) {
    bytes = decode_utf8(word, at).bytes;
    const std::string_view character = word.substr(at, bytes);
    if (const TokenId id = usable(character); id >= 0) {
      flush();
      append(scratch, id, at, bytes);
      continue;
    }
    const auto id_of = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
    if (byte_fallback_ &&
        std::all_of(character.begin(), character.end(), [&](char c) { return id_of(c) >= 0; })) {
      for (size_t i = 0; i < bytes; ++i) append(scratch, id_of(character[i]), at + i, 1);
      continue;
    }
    if (unknown_ < 0) continue;
    if (!fuse_unknown_) flush();
    if (unknown_bytes == 0) unknown_begin = at;
    unknown_bytes += bytes;
  }
  flush();
}

void BpeModel::start_scored(std::string_view word, ModelScratch& scratch) const {
  for (size_t at = 0, bytes = 0; at < word.size(); at += bytes) {
    bytes = decode_utf8(word, at).bytes;
    append(scratch, usable(word.substr(at, bytes)), at, bytes);
  }
}

Merge BpeModel::merge_of(std::string_view word, const Symbol& left, const Symbol& right) const {
  if (score_rank_.empty()) return merges_.find(left.id, right.id);
  const TokenId id = usable(word.substr(left.begin, left.bytes + right.bytes));
  if (id < 0) return {};
  return {score_rank_[static_cast<size_t>(id)], id};
}

void BpeModel::merge_few(std::string_view word, ModelScratch& scratch) const {
  std::vector<Symbol>& symbols = scratch.symbols;
  std::array<Merge, kFewSymbols> pair;  // of each symbol and the next
  const auto refresh = [&](int32_t at) {
    const Symbol& s = symbols[static_cast<size_t>(at)];
    pair[static_cast<size_t>(at)] =
        s.next < 0 ? Merge{} : merge_of(word, s, symbols[static_cast<size_t>(s.next)]);
  };
  for (int32_t at = 0; at >= 0; at = symbols[static_cast<size_t>(at)].next) refresh(at);
  while (true) {
    int32_t best = -1;
    for (int32_t at = 0; at >= 0; at = symbols[static_cast<size_t>(at)].next) {
      const Merge& merge = pair[static_cast<size_t>(at)];
      if (merge.id >= 0 && (best < 0 || merge.rank < pair[static_cast<size_t>(best)].rank))
        best = at;
    }
    if (best < 0) return;
    join(symbols, best, pair[static_cast<size_t>(best)].id);
    refresh(best);
    if (const int32_t before = symbols[static_cast<size_t>(best)].previous; before >= 0)
      refresh(before);
  }
}

void BpeModel::push_candidate(std::string_view word, ModelScratch& scratch, int32_t left) const {
  if (left < 0) return;
  const Symbol& a = scratch.symbols[static_cast<size_t>(left)];
  if (a.next < 0) return;
  const Symbol& b = scratch.symbols[static_cast<size_t>(a.next)];
  const Merge merge = merge_of(word, a, b);
  if (merge.id < 0) return;
  const uint64_t order = uint64_t{merge.rank} << 32 | static_cast<uint32_t>(left);
  scratch.heap.push_back({order, a.bytes + b.bytes, merge.id});
  std::push_heap(scratch.heap.begin(), scratch.heap.end(), later);
}

void BpeModel::merge_many(std::string_view word, ModelScratch& scratch) const {
  std::vector<Symbol>& symbols = scratch.symbols;
  scratch.heap.clear();
  for (size_t at = 0; at + 1 < symbols.size(); ++at)
    push_candidate(word, scratch, static_cast<int32_t>(at));
  while (!scratch.heap.empty()) {
    std::pop_heap(scratch.heap.begin(), scratch.heap.end(), later);
    const Candidate best = scratch.heap.back();
    scratch.heap.pop_back();
    const auto left = static_cast<int32_t>(static_cast<uint32_t>(best.order));
    const Symbol& a = symbols[static_cast<size_t>(left)];
    // Texts only grow, so a pair of the same length is the same pair.
    if (a.bytes == 0 || a.next < 0 ||
        a.bytes + symbols[static_cast<size_t>(a.next)].bytes != best.bytes)
      continue;
    join(symbols, left, best.id);
    push_candidate(word, scratch, left);
    push_candidate(word, scratch, a.previous);
  }
}

void BpeModel::emit(std::string_view word, const ModelScratch& scratch,
                    std::vector<TokenId>& out) const {
  const auto id_of = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  bool unknown_before = false;
  for (int32_t at = 0; at >= 0; at = scratch.symbols[static_cast<size_t>(at)].next) {
    const Symbol& symbol = scratch.symbols[static_cast<size_t>(at)];
    const std::string_view text = word.substr(symbol.begin, symbol.bytes);
    const bool bytes = symbol.id < 0 &&
                       std::all_of(text.begin(), text.end(), [&](char c) { return id_of(c) >= 0; });
    const bool unknown = symbol.id < 0 && !bytes;
    if (symbol.id >= 0) out.push_back(symbol.id);
    if (bytes) std::transform(text.begin(), text.end(), std::back_inserter(out), id_of);
    if (unknown && unknown_ >= 0 && !(fuse_unknown_ && unknown_before)) out.push_back(unknown_);
    unknown_before = unknown;
  }
}

}  // namespace localai::text
