#pragma once
// One request on its way through its candidates: the first that can answer does; why the others
// could not is kept for the answer. Switching ends with the first byte of content.
#include <functional>
#include <memory>
#include <vector>

#include "runtime/model_cache.h"
#include "runtime/request_state.h"
#include "runtime/resolver.h"
#include "runtime/router.h"
#include "runtime/work_queue.h"

namespace localai::runtime {

// What a run needs of its service, which outlives it.
struct CandidateContext {
  ModelCache& cache;
  WorkQueue& workers;
  std::function<bool()> stopping;
};

// One config at work; replaced as a whole.
struct Serving {
  std::shared_ptr<const Resolver> resolver;
  std::shared_ptr<const Router> router;
};

// Fills in what the request left out from the domain that was asked.
void apply_domain(const Domain& domain, GenerateRequest& request);

class CandidateRun : public std::enable_shared_from_this<CandidateRun> {
 public:
  // Together the candidates are waited for until `deadline`; after it only what fits at once.
  CandidateRun(CandidateContext context, Serving serving, std::shared_ptr<RequestState> state,
               GenerateRequest request, TimePoint deadline);
  // Looks the name up, or asks the router, and tries its candidates. On a worker thread.
  void start(const std::string& name);

 private:
  void next();
  void answer(Result<ModelCache::Lease> lease);
  void try_next(Error error);
  void give_up();
  void skip(std::string reason, Error error);
  [[nodiscard]] GenerateRequest request_for(const Candidate& candidate);
  // Runs `work` and fails the request with a library's exception (std::bad_alloc first of all).
  void guarded(const std::function<void()>& work);

  CandidateContext context_;
  Serving serving_;  // owns the domains that the candidates point to
  std::shared_ptr<RequestState> state_;
  GenerateRequest request_;
  TimePoint deadline_;
  Candidates candidates_;
  size_t at_ = 0;  // the candidate that is tried
  std::vector<SkippedCandidate> skipped_;
  Error first_error_{Code::kInternal, ""};
};

}  // namespace localai::runtime
