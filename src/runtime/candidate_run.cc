#include "runtime/candidate_run.h"

#include <algorithm>
#include <exception>

#include "runtime/route_request.h"

namespace localai::runtime {
namespace {

bool is_system(const Json& message) {
  if (!message.is_object()) return false;
  const auto role = message.find("role");
  return role != message.end() && (*role == "system" || *role == "developer");
}

void add_system_prompt(const std::string& prompt, ChatInput& input) {
  if (!input.messages.is_array()) return;  // the backend says what is wrong with it
  if (std::any_of(input.messages.begin(), input.messages.end(), is_system)) return;
  input.messages.insert(input.messages.begin(), Json{{"role", "system"}, {"content", prompt}});
}

template <class T>
void fill(std::optional<T>& value, const std::optional<T>& fallback) {
  if (!value) value = fallback;
}

// Of an error before the model was there. A model of this process is only ever unavailable because
// the wait for room is over; a service can be down too.
std::string_view reason_of(const Error& error, bool of_service) {
  switch (error.code) {
    case Code::kNotFound:
      return "missing_file";
    case Code::kExhausted:
      return "does_not_fit";
    case Code::kUnavailable:
      return of_service && !error.message.starts_with(kNoRoomInTime) ? "backend_down" : "timed_out";
    default:
      return "load_failed";
  }
}

}  // namespace

void apply_domain(const Domain& domain, GenerateRequest& request) {
  fill(request.sampling.temperature, domain.temperature);
  fill(request.sampling.top_p, domain.top_p);
  fill(request.sampling.top_k, domain.top_k);
  fill(request.max_tokens, domain.max_tokens);
  if (request.stop.empty()) request.stop = domain.stop;
  auto* chat = std::get_if<ChatInput>(&request.input);
  if (chat != nullptr && domain.system_prompt) add_system_prompt(*domain.system_prompt, *chat);
}

CandidateRun::CandidateRun(CandidateContext context, Serving serving,
                           std::shared_ptr<RequestState> state, GenerateRequest request,
                           TimePoint deadline)
    : context_(std::move(context)),
      serving_(std::move(serving)),
      state_(std::move(state)),
      request_(std::move(request)),
      deadline_(deadline) {}

void CandidateRun::guarded(const std::function<void()>& work) {
  try {
    work();
  } catch (const std::bad_alloc&) {
    state_->fail(exhausted("out of memory"));
  } catch (const std::exception& error) {
    state_->fail({Code::kInternal, error.what()});
  }
}

void CandidateRun::start(const std::string& name) {
  guarded([&] {
    Result<Candidates> found =
        choose_candidates(*serving_.resolver, *serving_.router, name, request_);
    if (!found.ok()) return state_->fail(std::move(found.error()));
    candidates_ = std::move(*found);
    if (candidates_.domain != nullptr) apply_domain(*candidates_.domain, request_);
    next();
  });
}

void CandidateRun::next() {
  if (context_.stopping()) return state_->fail(cancelled("the server is stopping"));
  while (at_ < candidates_.list.size() && candidates_.list[at_].skip) {
    Candidate& unusable = candidates_.list[at_];
    skip(unusable.skip->reason, std::move(unusable.error));
  }
  if (at_ == candidates_.list.size()) return give_up();
  context_.cache.acquire(
      candidates_.list[at_].target.source,
      {.stop = state_->stop_token(), .deadline = deadline_, .progress = request_.progress},
      [self = shared_from_this()](Result<ModelCache::Lease> lease) {
        auto held = std::make_shared<Result<ModelCache::Lease>>(std::move(lease));
        self->context_.workers.post(
            [self, held] { self->guarded([&] { self->answer(std::move(*held)); }); });
      });
}

void CandidateRun::answer(Result<ModelCache::Lease> lease) {
  if (!lease.ok()) {
    if (lease.error().code == Code::kCancelled) return state_->fail(std::move(lease.error()));
    const bool of_service = candidates_.list[at_].target.source.service.has_value();
    const std::string reason(reason_of(lease.error(), of_service));
    skip(reason, std::move(lease.error()));
    return next();
  }
  if (context_.stopping()) return state_->fail(cancelled("the server is stopping"));
  const Candidate& candidate = candidates_.list[at_];
  Resolution resolution = candidate.target.resolution;
  resolution.route = candidates_.route;
  resolution.route_reason = candidates_.route_reason;
  resolution.domain = candidates_.domain == nullptr ? "" : candidates_.domain->id;
  resolution.fallback = at_ > 0;
  resolution.skipped = skipped_;
  Status running =
      state_->run(std::move(*lease), std::move(resolution), request_for(candidate),
                  [self = shared_from_this()](Error error) { self->try_next(std::move(error)); });
  if (running.ok()) return;
  if (running.error().code != Code::kUnavailable) return state_->fail(std::move(running.error()));
  skip("backend_down", std::move(running.error()));
  next();
}

// The model failed on its way to the first word. From the backend's thread.
void CandidateRun::try_next(Error error) {
  auto held = std::make_shared<Error>(std::move(error));
  context_.workers.post([self = shared_from_this(), held] {
    self->guarded([&] {
      self->skip("backend_down", std::move(*held));
      self->next();
    });
  });
}

// The persona is that of the domain that was asked; the form (template, context) is that of the
// model that answers.
GenerateRequest CandidateRun::request_for(const Candidate& candidate) {
  const bool last = at_ + 1 == candidates_.list.size();
  GenerateRequest request = last ? std::move(request_) : request_;
  const Domain* domain = candidate.target.domain;
  if (domain == nullptr) return request;
  request.context_length = domain->context_length.value_or(0);
  if (auto* chat = std::get_if<ChatInput>(&request.input))
    chat->chat_template = domain->compiled_template;
  return request;
}

void CandidateRun::skip(std::string reason, Error error) {
  const std::string& name = candidates_.list[at_].name;
  if (skipped_.empty()) first_error_ = error;
  skipped_.push_back({name, std::move(reason), std::move(error.message)});
  ++at_;
}

void CandidateRun::give_up() {
  Error error = std::move(first_error_);
  if (candidates_.domain == nullptr) return state_->fail(std::move(error));
  // The name is known, so this is no 404.
  if (error.code == Code::kNotFound) error.code = Code::kUnavailable;
  for (size_t i = 1; i < skipped_.size(); ++i)
    error.message += (i == 1 ? "; instead: '" : ", '") + skipped_[i].name + "' (" +
                     skipped_[i].reason + ": " + skipped_[i].message + ")";
  state_->fail(std::move(error));
}

}  // namespace localai::runtime
