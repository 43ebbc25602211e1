#include "cli/bench_case.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "cli/engine_arguments.h"

namespace localai::cli {
namespace {

using Clock = Answer::Clock;
using Tokens = std::vector<engine::TokenId>;

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

// Ordinary tokens, different for each seed: what they say does not matter for the speed.
Tokens some_tokens(const engine::Engine& engine, uint32_t count, uint64_t seed) {
  const text::VocabularySpec& spec = engine.tokenizer().spec();
  const uint64_t vocabulary =
      std::min<uint64_t>(engine.info().vocab_size, engine.tokenizer().size());
  Tokens tokens;
  uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
  while (tokens.size() < count) {
    state = state * 6364136223846793005u + 1442695040888963407u;  // Knuth's MMIX generator
    const uint64_t id = (state >> 33) % vocabulary;
    if (id < spec.types.size() && spec.types[id] != text::TokenType::kNormal) continue;
    tokens.push_back(static_cast<engine::TokenId>(id));
  }
  return tokens;
}

class Round {
 public:
  // All prompts at once; waits for the end of every answer.
  static Result<Round> run(engine::Engine& engine, const std::vector<Tokens>& prompts,
                           uint32_t gen_tokens, const std::string& salt) {
    Round round;
    std::vector<std::unique_ptr<engine::Ticket>> tickets;
    round.start_ = Clock::now();
    for (const Tokens& prompt : prompts) {
      engine::Request request;
      request.prompt = prompt;
      request.sampling.temperature = 0.f;
      request.max_tokens = gen_tokens;
      request.ignore_eos = true;
      request.cache_salt = salt;
      round.answers_.push_back(std::make_unique<Answer>());
      LAI_TRY(auto ticket, engine.submit(std::move(request), round.answers_.back()->sink()));
      tickets.push_back(std::move(ticket));
    }
    for (const auto& answer : round.answers_) {
      LAI_TRY(const engine::FinishedEvent end, answer->wait());
      round.cached_.push_back(end.timings.cached_tokens);
    }
    return round;
  }

  // Prefill: all prompts until the last of them has its first token. Decode: from there until the
  // first answer ends, so that every counted step had all sequences in it.
  void add_to(BenchFigures& figures, uint64_t prompt_tokens) const {
    Clock::time_point all_began = start_, one_ended = Clock::time_point::max();
    for (const auto& answer : answers_) {
      all_began = std::max(all_began, answer->token_times().front());
      one_ended = std::min(one_ended, answer->token_times().back());
      figures.ttft_ms.push_back(seconds(answer->token_times().front() - start_) * 1000);
    }
    uint64_t decoded = 0;
    for (const auto& answer : answers_)
      for (const Clock::time_point time : answer->token_times())
        decoded += time > all_began && time <= one_ended;
    figures.prefill_tok_s.push_back(static_cast<double>(prompt_tokens) /
                                    seconds(all_began - start_));
    figures.decode_tok_s.push_back(
        one_ended > all_began ? static_cast<double>(decoded) / seconds(one_ended - all_began) : 0);
    figures.cached_tokens.insert(figures.cached_tokens.end(), cached_.begin(), cached_.end());
  }

 private:
  Clock::time_point start_;
  std::vector<std::unique_ptr<Answer>> answers_;
  std::vector<double> cached_;
};

}  // namespace

engine::EngineOptions bench_engine_options(const models::Model& model,
                                           const std::vector<BenchCase>& cases, bool exact,
                                           uint32_t threads, engine::Speculation speculation) {
  engine::EngineOptions options;
  options.threads = threads;
  options.speculation = speculation;
  options.kv_dtype = exact ? DType::kF32 : DType::kF16;
  options.prefix_cache = false;
  options.parallel = 1;
  uint64_t context = 0, blocks = 0, states = 0;
  for (const BenchCase& what : cases) {
    context = std::max(context, what.context());
    options.parallel = std::max(options.parallel, what.parallel);
    // With one to spare, or no part of a block is copied.
    blocks = std::max(blocks, (what.context() / models::kKvBlockTokens + 2) * what.parallel);
    // Beside each sequence's own, the one that its depth ended with.
    states = std::max<uint64_t>(states, (what.depth > 0 ? 2 : 1) * what.parallel);
    options.prefix_cache = options.prefix_cache || what.depth > 0;
  }
  options.context_length = static_cast<uint32_t>(context);
  options.kv_bytes = blocks * model.state().block_bytes(*options.kv_dtype);
  options.recurrent_bytes = states * model.state().recurrent_bytes;
  return options;
}

void wait_until_settled(const engine::Engine& engine) {
  while (!engine.stats().settled) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

Result<BenchFigures> run_bench(engine::Engine& engine, const BenchCase& what, uint32_t repeat) {
  const auto now = Clock::now().time_since_epoch().count();
  BenchFigures figures;
  for (uint32_t round = 0; round <= repeat; ++round) {
    const bool counted = round > 0;  // the first touches every page of weights, wakes every core
    const uint32_t rows = counted ? what.prompt_tokens : std::min(what.prompt_tokens, 32u);
    std::vector<Tokens> before, prompts;
    for (uint32_t i = 0; i < what.parallel; ++i) {
      const uint64_t seed = uint64_t{round} * what.parallel + i;
      before.push_back(some_tokens(engine, counted ? what.depth : 0, ~seed));
      prompts.push_back(before.back());
      const Tokens prompt = some_tokens(engine, rows, seed);
      prompts.back().insert(prompts.back().end(), prompt.begin(), prompt.end());
      // Seen before with another question, of a block where the case has as much room.
      const uint32_t other =
          std::min(what.prompt_tokens + what.gen_tokens - 1, models::kKvBlockTokens);
      const Tokens question = some_tokens(engine, before.back().empty() ? 0 : other, ~seed / 2);
      before.back().insert(before.back().end(), question.begin(), question.end());
    }
    // Nothing that an earlier round or case left behind is found.
    const std::string salt = std::to_string(now) + "." + std::to_string(round);
    if (!before.front().empty()) LAI_TRY_STATUS(Round::run(engine, before, 1, salt));
    LAI_TRY(const Round done, Round::run(engine, prompts, counted ? what.gen_tokens : 2, salt));
    if (counted) done.add_to(figures, uint64_t{what.prompt_tokens} * what.parallel);
    wait_until_settled(engine);
  }
  return figures;
}

}  // namespace localai::cli
