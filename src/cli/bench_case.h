#pragma once
// localai bench: what is measured, and how.
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"

namespace localai::cli {

// One row of the result.
struct BenchCase {
  uint32_t prompt_tokens = 512, gen_tokens = 128, parallel = 1;
  uint32_t depth = 0;  // tokens before each prompt that are in the prefix cache already
  [[nodiscard]] uint64_t context() const { return uint64_t{depth} + prompt_tokens + gen_tokens; }
};

// By round; ttft_ms and cached_tokens by request.
struct BenchFigures {
  std::vector<double> prefill_tok_s, decode_tok_s, ttft_ms;
  std::vector<double> cached_tokens;  // that a request really found in the cache
};

// Room for every one of `cases`, one after the other, with no sequence ever set back.
engine::EngineOptions bench_engine_options(const models::Model& model,
                                           const std::vector<BenchCase>& cases, bool exact,
                                           uint32_t threads, engine::Speculation speculation);

// Waits until the engine does nothing more aside (EngineStats::settled).
void wait_until_settled(const engine::Engine& engine);

// `repeat` rounds of `what`, after a short one that is not counted. Errors: the engine's.
Result<BenchFigures> run_bench(engine::Engine& engine, const BenchCase& what, uint32_t repeat);

}  // namespace localai::cli
