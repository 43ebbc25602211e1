#include "runtime/transformers_backend.h"

#include <utility>

#include "base/process_memory.h"
#include "net/guard.h"
#include "runtime/backend_choice.h"
#include "runtime/transformers_call.h"
#include "runtime/transformers_embedding.h"

namespace localai::runtime {
namespace {

constexpr const char* kProcessName = "transformers-service";
// Python with torch and transformers, once it answered something: it imports parts as they are
// needed, so what it has when it starts is less.
constexpr uint64_t kProcessBytes = uint64_t{768} << 20;

// Names the model, and where its architecture chose the service, that. A path stands in place of a
// name only there.
std::string why(const ModelSource& source) {
  const std::string& name = source.service->name;
  const BackendChoice choice = name.starts_with('/') ? choose_backend_of(name) : BackendChoice{};
  return "model '" + source.name + "'" + (choice.service ? " (" + choice.reason + ")" : "");
}

// What the caller holds: dropping it closes the connection.
class CallTicket final : public engine::Ticket {
 public:
  explicit CallTicket(std::shared_ptr<TransformersCall> call) : call_(std::move(call)) {}
  CallTicket(const CallTicket&) = delete;
  CallTicket& operator=(const CallTicket&) = delete;
  ~CallTicket() override { call_->cancel(); }
  void cancel() override { call_->cancel(); }

 private:
  std::shared_ptr<TransformersCall> call_;
};

class TransformersBackend final : public Backend {
 public:
  TransformersBackend(TransformersService& service, ServiceModel model,
                      TransformersService::Loaded loaded)
      : service_(service), model_(std::move(model)), loaded_(loaded) {}
  TransformersBackend(const TransformersBackend&) = delete;
  TransformersBackend& operator=(const TransformersBackend&) = delete;
  ~TransformersBackend() override { service_.unload(model_); }

  [[nodiscard]] std::string_view kind() const override { return "hf-transformers"; }
  [[nodiscard]] engine::EngineMemory memory() const override { return {0, loaded_.bytes, 0, 0}; }
  [[nodiscard]] uint32_t context_length() const override { return loaded_.context_length; }

  Result<Generation> generate(GenerateRequest request, GenerateSink sink) override {
    LAI_TRY(net::ClientRequest wanted, service_request(model_, request));
    LAI_TRY(CircuitBreaker::Permit permit, service_.admit());
    auto call = std::make_shared<TransformersCall>(service_, std::move(permit), std::move(wanted),
                                                   std::chrono::seconds(model_.timeout_seconds),
                                                   std::move(sink));
    call->send();
    return Generation(std::make_unique<CallTicket>(std::move(call)));
  }

  Status embed(std::vector<engine::EmbeddingInput> inputs, std::stop_token stop,
               EmbeddingSink sink) override {
    return start_embedding(service_, model_, inputs, std::move(stop), std::move(sink));
  }

 private:
  TransformersService& service_;
  const ServiceModel model_;
  const TransformersService::Loaded loaded_;
};

// The process that the models of our own service live in.
class ProcessBackend final : public Backend {
 public:
  ProcessBackend(TransformersServices& services, uint64_t bytes)
      : services_(services), bytes_(bytes) {}
  ProcessBackend(const ProcessBackend&) = delete;
  ProcessBackend& operator=(const ProcessBackend&) = delete;
  ~ProcessBackend() override { services_.stop_process(); }

  [[nodiscard]] std::string_view kind() const override { return "hf-transformers"; }
  [[nodiscard]] engine::EngineMemory memory() const override { return {0, 0, 0, bytes_}; }
  [[nodiscard]] uint32_t context_length() const override { return 0; }
  Result<Generation> generate(GenerateRequest /*request*/, GenerateSink /*sink*/) override {
    return unsupported("the Transformers service is no model");
  }

 private:
  TransformersServices& services_;
  const uint64_t bytes_;
};

class Opener final : public ModelOpener {
 public:
  Opener(std::unique_ptr<ModelOpener> native, TransformersServices& services)
      : native_(std::move(native)), services_(services) {}

  std::optional<ModelSource> host_of(const ModelSource& source) override {
    if (!source.service || !services_.needs_process(*source.service)) return std::nullopt;
    return services_.process_source();
  }

  Result<engine::EngineMemory> predict(const ModelSource& source) override {
    if (is_process(source)) return engine::EngineMemory{0, 0, 0, kProcessBytes};
    if (!source.service) return native_->predict(source);
    LAI_TRY(TransformersService * service, services_.find(*source.service, {}), why(source));
    LAI_TRY(const uint64_t bytes, service->predicted_bytes(*source.service));
    return engine::EngineMemory{0, bytes, 0, 0};
  }

  Result<std::unique_ptr<Backend>> load(const ModelSource& source,
                                        const std::function<bool()>& wanted) override {
    if (is_process(source)) {
      LAI_TRY(const uint64_t bytes, services_.start_process(wanted));
      return std::unique_ptr<Backend>(std::make_unique<ProcessBackend>(services_, bytes));
    }
    if (!source.service) return native_->load(source, wanted);
    LAI_TRY(TransformersService * service, services_.find(*source.service, wanted), why(source));
    LAI_TRY(const auto loaded, service->load(*source.service, wanted));
    return std::unique_ptr<Backend>(
        std::make_unique<TransformersBackend>(*service, *source.service, loaded));
  }

 private:
  static bool is_process(const ModelSource& source) { return source.path == kProcessName; }

  std::unique_ptr<ModelOpener> native_;
  TransformersServices& services_;
};

}  // namespace

TransformersServices::~TransformersServices() { process_.reset(); }

bool TransformersServices::may_start(const ServiceModel& model) const {
  if (options_.launch.command.empty()) return false;
  if (model.base_url.empty()) return true;
  const auto upstream = net::parse_upstream(model.base_url);
  return upstream.ok() && net::is_loopback_host(upstream->host);
}

Result<TransformersService*> TransformersServices::find(const ServiceModel& model,
                                                        const std::function<bool()>& wanted) {
  if (!needs_process(model)) {
    if (!model.base_url.empty()) return at(model.base_url);
    return unavailable(
        "no Transformers service: set TRANSFORMERS_BASE_URL to one that runs, or let "
        "scripts/setup-transformers.sh install one that is started when it is needed");
  }
  LAI_TRY(ServiceProcess * own, running_process(wanted));
  return at(own->url());
}

bool TransformersServices::needs_process(const ServiceModel& model) {
  if (!may_start(model)) return false;
  if (model.base_url.empty()) return true;
  auto named = at(model.base_url);
  return !named.ok() || !(*named)->health().ok();
}

Result<ServiceProcess*> TransformersServices::running_process(const std::function<bool()>& wanted) {
  LAI_TRY(ServiceProcess * own, process());
  LAI_TRY_STATUS(
      own->ensure_running([&] { return !stopping_ && (wanted == nullptr || wanted()); }));
  return own;
}

Result<uint64_t> TransformersServices::start_process(const std::function<bool()>& wanted) {
  auto own = running_process(wanted);
  if (own.ok()) return resident_bytes((*own)->state().pid);
  stop_process();  // nothing starts behind the cache's back
  return std::move(own.error());
}

void TransformersServices::stop_process() {
  ServiceProcess* own = nullptr;
  {
    const std::lock_guard lock(mutex_);
    own = process_.get();
  }
  if (own != nullptr) own->stop();
}

ModelSource TransformersServices::process_source() const {
  ModelSource out;
  out.path = out.name = kProcessName;
  out.ttl_seconds = static_cast<uint32_t>(options_.launch.idle.count());
  return out;
}

Result<TransformersService*> TransformersServices::at(const std::string& url) {
  const std::lock_guard lock(mutex_);
  const auto known = services_.find(url);
  if (known != services_.end()) return known->second.get();
  LAI_TRY(auto created, TransformersService::create(url, options_.breaker));
  return services_.emplace(url, std::move(created)).first->second.get();
}

Result<ServiceProcess*> TransformersServices::process() {
  {
    const std::lock_guard lock(mutex_);
    if (process_) return process_.get();
  }
  // Its hooks ask the service at its address, which is known only once it is made. Nobody else
  // makes it: models are opened by one thread.
  auto service = std::make_shared<TransformersService*>(nullptr);
  ServiceProcessOptions options = service_process_options(options_.launch);
  options.environment = options_.environment;
  options.healthy = [service] { return (*service)->health().ok(); };
  options.on_ready = [service] { (*service)->breaker().reset(); };
  LAI_TRY(auto made, ServiceProcess::create(std::move(options)));
  LAI_TRY(*service, at(made->url()));
  const std::lock_guard lock(mutex_);
  process_ = std::move(made);
  return process_.get();
}

std::vector<ServiceState> TransformersServices::states() const {
  const std::lock_guard lock(mutex_);
  std::vector<ServiceState> out;
  for (const auto& [url, service] : services_) {
    ServiceState state{url, service->breaker().snapshot()};
    if (process_ && process_->url() == url) {
      const ServiceProcess::State process = process_->state();
      state.own = true;
      state.running = process.running;
      state.starts = process.starts;
    }
    out.push_back(std::move(state));
  }
  return out;
}

std::unique_ptr<ModelOpener> make_opener(std::unique_ptr<ModelOpener> native,
                                         TransformersServices& services) {
  return std::make_unique<Opener>(std::move(native), services);
}

}  // namespace localai::runtime
