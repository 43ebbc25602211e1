#pragma once
// For tests: a model whose logits depend on every token and position of a sequence *as it finds
// them in the KV blocks* (or in the recurrent state), so that a wrong block table, a stale or
// shared block, or a lost row changes the answer. expected_answer() computes the same without any
// cache.
#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/check.h"
#include "engine/engine.h"

namespace localai::engine::testing {

inline constexpr TokenId kVocabulary = 300;  // of the tokenizer
inline constexpr uint32_t kRows = 320;       // of the output matrix: 20 rows of padding
inline constexpr TokenId kEnd = 299;         // ends generation
inline constexpr TokenId kPoison = 298;      // a sequence with it has non-finite logits

inline uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t x = a * 0x9E3779B97F4A7C15u + b + 0x7F4A7C15u;
  x = (x ^ (x >> 31)) * 0xD6E8FEB86659FD93u;
  return x ^ (x >> 32);
}

// Ids 0..255 are single bytes, then some longer pieces.
class FakeTokenizer final : public text::Tokenizer {
 public:
  FakeTokenizer() : Tokenizer(make_spec()) {}
  std::vector<TokenId> encode(std::string_view text, const text::EncodeOptions&) const override {
    std::vector<TokenId> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(std::span<const TokenId> ids, bool with_special) const override {
    std::string text;
    for (const TokenId id : ids) text += piece(id, with_special);
    return text;
  }
  std::string piece(TokenId id, bool with_special) const override {
    if (id < 0 || id >= kVocabulary || (id == kEnd && !with_special)) return "";
    return spec_.tokens[static_cast<size_t>(id)];
  }

 private:
  static text::VocabularySpec make_spec() {
    text::VocabularySpec spec;
    for (int id = 0; id < 256; ++id) spec.tokens.emplace_back(1, static_cast<char>(id));
    for (int id = 256; id < kVocabulary; ++id)
      spec.tokens.push_back("w" + std::to_string(id) + " ");
    spec.tokens[256] = "STO";
    spec.tokens[257] = "P!";
    spec.tokens[kEnd] = "<end>";
    spec.types.assign(spec.tokens.size(), text::TokenType::kNormal);
    spec.types[kEnd] = text::TokenType::kControl;
    spec.eos = kEnd;
    spec.end_of_generation = {kEnd};
    return spec;
  }
};

struct FakeModelOptions {
  uint32_t context_length = 1024;
  bool recurrent = false;
  bool hybrid = false;  // both kinds of state, which have to agree
  uint32_t long_rope_after = 0;
  std::vector<TokenId> script;  // when not empty: what the model says after `script_from` tokens
  size_t script_from = 0;
  std::function<void(const models::Step&)> on_step;  // before each forward()
};

class FakeModel final : public models::Model {
 public:
  explicit FakeModel(FakeModelOptions options) : options_(std::move(options)) {
    info_.architecture = "fake";
    info_.name = "fake";
    info_.vocab_size = kRows;
    info_.context_length = options_.context_length;
    info_.long_rope_after = options_.long_rope_after;
    if (options_.recurrent || options_.hybrid) state_.recurrent_bytes = sizeof(uint64_t);
    if (!options_.recurrent) {
      state_.kv_layers = state_.kv_heads = 1;
      state_.head_dim = 4;  // 8 bytes of K a position in F16
    }
  }
  const models::ModelInfo& info() const override { return info_; }
  const models::StateGeometry& state() const override { return state_; }
  std::unique_ptr<models::Workspace> make_workspace() const override {
    struct Nothing final : models::Workspace {
      uint64_t bytes() const override { return 64; }
    };
    return std::make_unique<Nothing>();
  }
  uint64_t workspace_bytes(size_t, size_t, size_t) const override { return 64; }

  void forward(const models::Step& step, models::Workspace&, ThreadPool&,
               float* logits) const override {
    if (options_.on_step) options_.on_step(step);
    size_t output = 0;
    for (size_t row = 0; row < step.tokens.size(); ++row) {
      const models::SequenceView& sequence = step.sequences[step.sequence[row]];
      const uint64_t summary = options_.recurrent ? advance_state(step, row, sequence.recurrent)
                                                  : write_and_read(step, row, sequence.blocks);
      if (options_.hybrid) {  // 0: poisoned
        const uint64_t state = advance_state(step, row, sequence.recurrent);
        LAI_CHECK((state == summary || summary == 0) && "KV and recurrent state do not agree");
      }
      if (output < step.output_rows.size() && step.output_rows[output] == row)
        write_logits(summary, step.positions[row], logits + kRows * output++);
    }
  }

  // What a request for `count` greedy tokens must answer; ends early at kEnd.
  static std::vector<TokenId> expected_answer(std::vector<TokenId> tokens, size_t count) {
    const FakeModel model({});
    std::vector<TokenId> answer;
    std::vector<float> row(kRows);
    uint64_t summary = 0;
    for (size_t at = 0; at < tokens.size(); ++at) {
      summary = mix(summary, cell(tokens[at], static_cast<uint32_t>(at)));
      if (at + 1 < tokens.size()) continue;
      model.write_logits(summary, static_cast<uint32_t>(at), row.data());
      const auto best = std::max_element(row.begin(), row.begin() + kVocabulary);
      tokens.push_back(static_cast<TokenId>(best - row.begin()));
      if (tokens.back() == kEnd) break;
      answer.push_back(tokens.back());
      if (answer.size() == count) break;
    }
    return answer;
  }

 private:
  static uint64_t cell(TokenId token, uint32_t position) {
    return token == kPoison ? 0 : mix(static_cast<uint64_t>(token) + 1, position) | 1;
  }
  static uint64_t advance_state(const models::Step& step, size_t row, std::byte* state) {
    uint64_t summary = 0;
    std::memcpy(&summary, state, sizeof summary);
    summary = mix(summary, cell(step.tokens[row], step.positions[row]));
    std::memcpy(state, &summary, sizeof summary);
    return summary;
  }
  static uint64_t write_and_read(const models::Step& step, size_t row,
                                 std::span<const uint32_t> blocks) {
    const auto place = [&](uint32_t position) {
      return step.kv.base + blocks[position / models::kKvBlockTokens] * step.kv.block_bytes +
             position % models::kKvBlockTokens * sizeof(uint64_t);
    };
    const uint64_t own = cell(step.tokens[row], step.positions[row]);
    std::memcpy(place(step.positions[row]), &own, sizeof own);
    uint64_t summary = 0;
    bool poisoned = false;
    for (uint32_t p = 0; p <= step.positions[row]; ++p) {
      uint64_t found = 0;
      std::memcpy(&found, place(p), sizeof found);
      poisoned |= found == 0;
      summary = mix(summary, found);
    }
    return poisoned ? 0 : summary;
  }
  void write_logits(uint64_t summary, uint32_t position, float* logits) const {
    for (uint32_t id = 0; id < kRows; ++id)
      logits[id] = static_cast<float>(mix(summary, id) % 100000) / 10000.f;
    for (uint32_t id = kVocabulary; id < kRows; ++id) logits[id] = 1000.f;  // never to be sampled
    if (!options_.script.empty() && position + 1 >= options_.script_from) {
      const size_t at = position + 1 - options_.script_from;
      if (at < options_.script.size()) logits[options_.script[at]] = 100.f;
    } else {
      logits[kPoison] = -100.f;
    }
    if (summary == 0) logits[7] = std::numeric_limits<float>::quiet_NaN();
  }

  FakeModelOptions options_;
  models::ModelInfo info_;
  models::StateGeometry state_;
};

inline LoadedModel fake_loaded(FakeModelOptions options = {}) {
  LoadedModel loaded;
  loaded.model = std::make_unique<FakeModel>(std::move(options));
  loaded.tokenizer = std::make_shared<FakeTokenizer>();
  return loaded;
}

// Everything one request was told. Thread-safe.
class Recorder {
 public:
  EventSink sink() {
    return [this](Event event) {
      const std::lock_guard lock(mutex_);
      if (auto* text = std::get_if<TextEvent>(&event)) {
        tokens_.push_back(text->token);
        texts_.push_back(text->text);
        logprobs_.push_back(text->logprob);
        top_logprobs_.push_back(text->top_logprobs);
      } else {
        ++last_events_;
        if (auto* finished = std::get_if<FinishedEvent>(&event)) finished_ = std::move(*finished);
        if (auto* failed = std::get_if<FailedEvent>(&event)) failed_ = std::move(failed->error);
      }
      changed_.notify_all();
    };
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return last_events_ > 0; });
  }
  void wait_for_tokens(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return tokens_.size() >= count || last_events_ > 0; });
  }
  bool done() {
    const std::lock_guard lock(mutex_);
    return last_events_ > 0;
  }
  std::string text() {
    std::string all;
    for (const std::string& piece : texts_) all += piece;
    return finished_ ? all + finished_->text : all;
  }

  std::vector<TokenId> tokens_;
  std::vector<std::string> texts_;
  std::vector<std::optional<TokenLogprob>> logprobs_;
  std::vector<std::vector<TokenLogprob>> top_logprobs_;
  std::optional<FinishedEvent> finished_;
  std::optional<Error> failed_;
  int last_events_ = 0;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

// A door in the model's way: forward() waits until it is let through.
class Door {
 public:
  void let(uint64_t steps) {
    const std::lock_guard lock(mutex_);
    allowed_ += steps;
    changed_.notify_all();
  }
  void open() { let(uint64_t{1} << 60); }
  void pass() {
    std::unique_lock lock(mutex_);
    const uint64_t own = arrived_++;
    changed_.notify_all();
    changed_.wait(lock, [&] { return own < allowed_; });
  }
  void wait_for_arrival() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return arrived_ > 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t allowed_ = 0, arrived_ = 0;
};

}  // namespace localai::engine::testing
