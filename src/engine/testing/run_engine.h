#pragma once
// Requests to an engine over the fake model, and what it has to answer.
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/testing/fake_model.h"

namespace localai::engine::testing {

inline constexpr uint64_t kBlockBytes = 512;  // of the fake model in F16

inline std::unique_ptr<Engine> make_engine(EngineOptions options = {},
                                           FakeModelOptions model = {}) {
  options.threads = 1;
  auto engine = Engine::create(fake_loaded(std::move(model)), options);
  EXPECT_TRUE(engine.ok()) << engine.error().message;
  return std::move(*engine);
}

inline std::vector<TokenId> prompt_of(size_t length, uint64_t seed) {
  std::vector<TokenId> prompt;
  for (size_t i = 0; i < length; ++i) prompt.push_back(static_cast<TokenId>(mix(seed, i) % 256));
  return prompt;
}

inline Request greedy(std::vector<TokenId> prompt, uint32_t max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = 0.f;
  request.max_tokens = max_tokens;
  return request;
}

// Submits and waits.
inline std::unique_ptr<Recorder> run(Engine& engine, Request request) {
  auto recorder = std::make_unique<Recorder>();
  auto ticket = engine.submit(std::move(request), recorder->sink());
  EXPECT_TRUE(ticket.ok()) << ticket.error().message;
  recorder->wait();
  return recorder;
}

struct Job {
  std::vector<TokenId> prompt;
  uint32_t max_tokens;
};
inline std::vector<Job> mixed_jobs(size_t count) {
  std::vector<Job> jobs;
  const std::vector<TokenId> shared = prompt_of(100, 999);
  for (size_t i = 0; i < count; ++i) {
    std::vector<TokenId> prompt = i % 3 == 0 ? shared : std::vector<TokenId>();
    for (const TokenId token : prompt_of(1 + mix(i, 1) % 90, i)) prompt.push_back(token);
    jobs.push_back({std::move(prompt), static_cast<uint32_t>(1 + mix(i, 2) % 60)});
  }
  return jobs;
}

inline void expect_all_correct(Engine& engine, const std::vector<Job>& jobs) {
  std::vector<std::unique_ptr<Recorder>> recorders;
  std::vector<std::unique_ptr<Ticket>> tickets;
  for (const Job& job : jobs) {
    recorders.push_back(std::make_unique<Recorder>());
    auto ticket = engine.submit(greedy(job.prompt, job.max_tokens), recorders.back()->sink());
    ASSERT_TRUE(ticket.ok()) << ticket.error().message;
    tickets.push_back(std::move(*ticket));
  }
  for (size_t i = 0; i < jobs.size(); ++i) {
    recorders[i]->wait();
    ASSERT_TRUE(recorders[i]->finished_) << "job " << i;
    EXPECT_EQ(recorders[i]->tokens_, FakeModel::expected_answer(jobs[i].prompt, jobs[i].max_tokens))
        << "job " << i;
    EXPECT_EQ(recorders[i]->last_events_, 1);
  }
}

}  // namespace localai::engine::testing
