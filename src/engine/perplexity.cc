#include "engine/perplexity.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "engine/logits.h"
#include "engine/sequence_runner.h"

namespace localai::engine {
namespace {

constexpr size_t kPrefillRows = 256;  // rows of a step that nobody scores
constexpr size_t kScoredRows = 64;    // of which all logits are held at once, of both models
constexpr uint32_t kContextMin = 4;

// What one position adds to the sums.
struct Score {
  double loss = 0;  // -log p(next token)
  double kl = 0;
  bool same_choice = false;
};

// `reference` may be empty.
Score score_row(std::span<const float> logits, std::span<const float> reference, int32_t next) {
  const double total = log_sum_exp(logits);
  Score score;
  score.loss = total - static_cast<double>(logits[static_cast<size_t>(next)]);
  if (reference.empty()) return score;
  score.kl = kl_divergence(reference, log_sum_exp(reference), logits, total);
  score.same_choice = first_choice(logits) == first_choice(reference);
  return score;
}

class Measurement {
 public:
  Measurement(const Measured& model, const Measured& reference, size_t window, ThreadPool& pool)
      : pool_(pool), model_(*model.model, kv_dtype_of(model.precision), window, pool) {
    if (reference.model != nullptr)
      reference_.emplace(*reference.model, kv_dtype_of(reference.precision), window, pool);
  }

  // Adds the second half of a window: each of its tokens but the first, predicted from all before.
  void add(std::span<const int32_t> window) {
    model_.begin(window.size());
    if (reference_) reference_->begin(window.size());
    const size_t first = window.size() / 2, last = window.size() - 1;
    for (size_t at = 0; at < first;) {
      const size_t rows = std::min(kPrefillRows, first - at);
      model_.advance(window.subspan(at, rows), 0);
      if (reference_) reference_->advance(window.subspan(at, rows), 0);
      at += rows;
    }
    for (size_t at = first; at < last;) {
      const size_t rows = std::min(kScoredRows, last - at);
      add_rows(window.subspan(at, rows), window.subspan(at + 1, rows));
      at += rows;
    }
    ++windows_;
  }

  [[nodiscard]] Perplexity result() const {
    Perplexity out;
    const auto count = static_cast<double>(tokens_);
    out.perplexity = std::exp(loss_ / count);
    out.tokens = tokens_;
    out.windows = windows_;
    if (!reference_) return out;
    out.mean_kl = kl_ / count;
    out.top1_agreement = static_cast<double>(same_) / count;
    return out;
  }

 private:
  void add_rows(std::span<const int32_t> tokens, std::span<const int32_t> next) {
    const std::span<const float> ours = model_.advance(tokens, tokens.size());
    std::span<const float> theirs;
    if (reference_) theirs = reference_->advance(tokens, tokens.size());
    const size_t vocab = model_.model().info().vocab_size;
    scores_.resize(tokens.size());
    pool_.for_ranges(tokens.size(), 1, [&](size_t begin, size_t end) {
      for (size_t r = begin; r < end; ++r)
        scores_[r] = score_row(
            ours.subspan(r * vocab, vocab),
            theirs.empty() ? std::span<const float>() : theirs.subspan(r * vocab, vocab), next[r]);
    });
    for (const Score& score : scores_) {  // in order, whichever thread did which
      loss_ += score.loss;
      kl_ += score.kl;
      same_ += score.same_choice ? 1 : 0;
    }
    tokens_ += tokens.size();
  }

  ThreadPool& pool_;
  SequenceRunner model_;
  std::optional<SequenceRunner> reference_;
  std::vector<Score> scores_;
  double loss_ = 0, kl_ = 0;
  uint64_t same_ = 0, tokens_ = 0, windows_ = 0;
};

Status check_context(const models::ModelInfo& info, uint32_t context) {
  if (context >= kContextMin && context <= info.context_length) return Ok{};
  return invalid("a context of " + std::to_string(context) + " tokens is not within " +
                 std::to_string(kContextMin) + ".." + std::to_string(info.context_length) +
                 ", what " + info.name + " was made for");
}

Status check(const Measured& model, const Measured& reference, std::span<const int32_t> tokens,
             const PerplexityOptions& options) {
  const models::ModelInfo& info = model.model->info();
  LAI_TRY_STATUS(check_context(info, options.context));
  if (reference.model != nullptr) {
    const models::ModelInfo& other = reference.model->info();
    LAI_TRY_STATUS(check_context(other, options.context), "reference");
    if (other.vocab_size != info.vocab_size)
      return invalid("the reference predicts " + std::to_string(other.vocab_size) +
                     " tokens and the model " + std::to_string(info.vocab_size) +
                     ": they have to share one vocabulary");
  }
  if (tokens.size() < kContextMin)
    return invalid("the text has " + std::to_string(tokens.size()) + " tokens, at least " +
                   std::to_string(kContextMin) + " are needed");
  for (const int32_t id : tokens)
    if (id < 0 || static_cast<uint32_t>(id) >= info.vocab_size)
      return invalid("token id " + std::to_string(id) + " of the text is not within 0.." +
                     std::to_string(info.vocab_size - 1));
  return Ok{};
}

}  // namespace

Result<Perplexity> measure_perplexity(const Measured& model, const Measured& reference,
                                      std::span<const int32_t> tokens,
                                      const PerplexityOptions& options, ThreadPool& pool,
                                      const PerplexityProgress& progress) {
  LAI_TRY_STATUS(check(model, reference, tokens, options));
  const size_t size = std::min<size_t>(options.context, tokens.size());
  const size_t windows = tokens.size() / size;
  Measurement measurement(model, reference, size, pool);
  for (size_t w = 0; w < windows; ++w) {
    const auto text = tokens.subspan(w * size, size);
    std::vector<int32_t> window(text.begin(), text.end());
    if (options.bos) window.front() = *options.bos;
    measurement.add(window);
    if (progress) progress(measurement.result(), w + 1, windows);
  }
  return measurement.result();
}

}  // namespace localai::engine
