// localai doctor: what this machine has, what localai makes of it, and what is configured but
// cannot work.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <sstream>

#include "base/cpu.h"
#include "base/number.h"
#include "cli/command.h"
#include "cli/service_options.h"
#include "kernels/kernels.h"
#include "runtime/model_stores.h"
#include "runtime/transformers_service.h"

namespace localai::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSetUp = "scripts/setup-transformers.sh installs one";

struct DoctorArguments : ServiceArguments {
  bool json = false;
};

std::string mib(uint64_t bytes) { return fmt::format("{} MiB", bytes >> 20); }

// What was found, as JSON and as lines for a reader. A problem is something that was asked for and
// cannot work; a warning works, though not as one might think.
class Report {
 public:
  void add(const char* section, Json facts, const std::string& line) {
    json_[section] = std::move(facts);
    text_ += fmt::format("{:13} {}\n", section, line);
  }
  void problem(std::string what, std::string message) {
    problems_.push_back({{"what", std::move(what)}, {"message", std::move(message)}});
  }
  void warning(std::string what, std::string message) {
    warnings_.push_back({{"what", std::move(what)}, {"message", std::move(message)}});
  }

  // Errors: kUnavailable, when there are problems.
  [[nodiscard]] Status print(bool as_json) {
    json_["problems"] = problems_;
    json_["warnings"] = warnings_;
    if (as_json) {
      std::cout << dump_json(json_, 1) << std::endl;
    } else {
      std::cout << text_;
      print("warning", warnings_);
      print("problem", problems_);
      std::cout << std::flush;
    }
    if (problems_.empty()) return Ok{};
    return unavailable("not all that is configured can work; problems: " +
                       std::to_string(problems_.size()));
  }

 private:
  static void print(const char* kind, const Json& findings) {
    for (const Json& finding : findings)
      fmt::print("{}: {}: {}\n", kind, finding["what"].get<std::string>(),
                 finding["message"].get<std::string>());
    std::fflush(stdout);
  }

  Json json_ = Json::object(), problems_ = Json::array(), warnings_ = Json::array();
  std::string text_;
};

// "MemTotal:  24 kB" of /proc/meminfo, in bytes; 0 where there is none.
uint64_t memory_info(std::string_view key) {
  std::ifstream in("/proc/meminfo");
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ':') continue;
    return std::strtoull(line.c_str() + key.size() + 1, nullptr, 10) << 10;
  }
  return 0;
}

// What the container allows; nothing without a limit.
std::optional<uint64_t> cgroup_memory() {
  std::ifstream in("/sys/fs/cgroup/memory.max");
  std::string limit;
  if (!(in >> limit)) return std::nullopt;
  return parse_number<uint64_t>(limit);
}

// "madvise" of "always [madvise] never"; "absent" where the kernel has none.
std::string huge_pages() {
  std::ifstream in("/sys/kernel/mm/transparent_hugepage/enabled");
  for (std::string word; in >> word;)
    if (word.size() > 2 && word.front() == '[') return word.substr(1, word.size() - 2);
  return "absent";
}

void check_cpu(Report& report) {
  const uint32_t features = cpu_features();
  const char* forced = std::getenv("LOCALAI_KERNELS");
  const auto kernels = kernels::select_kernels(features, forced == nullptr ? "" : forced);
  if (!kernels.ok()) report.problem("LOCALAI_KERNELS", kernels.error().message);
  const std::string name(kernels.ok() ? (*kernels)->name : "none");
  const std::string names = cpu_feature_names(features);
  report.add("cpu", {{"features", names}, {"kernels", name}, {"cores", usable_cpu_count()}},
             fmt::format("{} cores to use, {}; kernel set {}", usable_cpu_count(),
                         names.empty() ? "no wide instructions" : names, name));
}

void check_memory(const runtime::Settings& settings, Report& report) {
  const uint64_t total = memory_info("MemTotal"), available = memory_info("MemAvailable");
  const auto limit = cgroup_memory();
  const std::string pages = huge_pages();
  report.add("memory",
             {{"total_bytes", total},
              {"available_bytes", available},
              {"container_limit_bytes", limit ? Json(*limit) : Json()},
              {"cache_limit_bytes", settings.cache_bytes_max},
              {"huge_pages", pages}},
             fmt::format("{} of {} available{}; models get {}; huge pages: {}", mib(available),
                         mib(total), limit ? ", the container's limit is " + mib(*limit) : "",
                         mib(settings.cache_bytes_max), pages));
  const uint64_t most = std::min(total, limit.value_or(std::numeric_limits<uint64_t>::max()));
  if (most > 0 && settings.cache_bytes_max > most)
    report.warning(
        "MODEL_CACHE_MAX_MEMORY_MB",
        fmt::format("models may take {}, there are {}", mib(settings.cache_bytes_max), mib(most)));
  if (pages == "never" || pages == "absent")
    report.warning("huge pages",
                   "the kernel gives none: quantized models run slower than they "
                   "could (/sys/kernel/mm/transparent_hugepage/enabled)");
}

void check_gpu(const runtime::Settings& settings, Report& report) {
  std::error_code ignored;
  const bool present = fs::exists("/dev/nvidiactl", ignored) || fs::exists("/dev/kfd", ignored);
  report.add("gpu", {{"present", present}, {"supported", false}},
             fmt::format("{}; this build computes on the CPU", present ? "there is one" : "none"));
  if (settings.gpu_wanted)
    report.warning("gpu",
                   "the environment asks for one (CUDA_VISIBLE_DEVICES, GGML_CUDA); it is "
                   "not used");
}

// The models directory and the stores of other programs, with what they hold.
void check_models(const DoctorArguments& arguments, const runtime::ModelCatalog& catalog,
                  const runtime::ModelStores& stores, Report& report) {
  std::map<std::string, size_t> counts;
  for (const runtime::ModelFile& model : catalog.scan()) ++counts[model.source];
  Json facts = Json::array();
  std::string lines;
  const auto add = [&](const std::string& source, const fs::path& path, size_t count) {
    std::error_code ignored;
    const bool found = fs::is_directory(path, ignored);
    facts.push_back(
        {{"source", source}, {"path", path.string()}, {"found", found}, {"models", count}});
    lines += fmt::format("{}{:12} {} {}", lines.empty() ? "" : "\n              ", source,
                         path.string(), found ? fmt::format("({} models)", count) : "is not there");
    return found;
  };
  if (!add("models", arguments.models_dir, counts["models"]) && arguments.models_dir != "models")
    report.problem("--models-dir", arguments.models_dir + ": there is no such folder");
  const auto add_store = [&](const char* source, const fs::path& path, const char* variable) {
    if (path.empty()) return;
    if (!add(source, path, counts[source]) && std::getenv(variable) != nullptr)
      report.problem(variable, path.string() + ": there is no such folder");
  };
  add_store("huggingface", stores.hugging_face,
            std::getenv("HF_HUB_CACHE") != nullptr ? "HF_HUB_CACHE" : "HF_HOME");
  add_store("ollama", stores.ollama, "OLLAMA_MODELS");
  // Two folders of one program: what they hold is counted together, beside the one that is there.
  std::error_code ignored;
  for (const fs::path& folder : stores.lm_studio)
    if (fs::is_directory(folder, ignored)) add("lmstudio", folder, counts["lmstudio"]);
  report.add("models", std::move(facts), lines);
}

bool is_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return ::access(name.c_str(), X_OK) == 0;
  std::istringstream folders(runtime::process_environment()("PATH").value_or(""));
  for (std::string folder; std::getline(folders, folder, ':');)
    if (::access((fs::path(folder) / name).c_str(), X_OK) == 0) return true;
  return false;
}

// Whether a service at `url` ("": one of our own) can answer. What it says is asked once.
bool check_service(const std::string& url, const runtime::ServiceOptions& options, Report& report) {
  if (url.empty()) {
    if (options.launch.command.empty()) return false;
    if (is_program(options.launch.command.front())) return true;
    report.problem("TRANSFORMERS_COMMAND",
                   "'" + options.launch.command.front() + "' is no program that can be started");
    return false;
  }
  auto service = runtime::TransformersService::create(url, options.settings.breaker);
  const auto health = service.ok() ? (*service)->health() : Result<Json>(service.error());
  if (health.ok()) return true;
  report.problem("transformers", health.error().message);
  return false;
}

// The services that answer, by address ("": one of our own).
std::set<std::string> check_transformers(const runtime::ServiceOptions& options, Report& report) {
  std::set<std::string> urls = {options.settings.transformers_base_url}, answering;
  for (const runtime::Domain& domain : options.config.domains)
    if (domain.service) urls.insert(domain.service->base_url);
  Json facts = Json::array();
  std::string lines;
  for (const std::string& url : urls) {
    const bool works = check_service(url, options, report);
    if (works) answering.insert(url);
    const std::string command =
        options.launch.command.empty() ? "" : options.launch.command.front();
    facts.push_back({{"url", url}, {"command", url.empty() ? command : ""}, {"works", works}});
    const std::string name = !url.empty() ? url : command.empty() ? "none is set up" : command;
    lines += (lines.empty() ? "" : "\n              ") + name +
             (url.empty() && command.empty() ? std::string(": ") + kSetUp
              : works                        ? (url.empty() ? ", started when needed" : ", answers")
                                             : ", does not work");
  }
  report.add("transformers", std::move(facts), lines);
  return answering;
}

// Why nobody can answer for a domain; "" when somebody can.
std::string why_unanswered(const runtime::Resolver& resolver, const runtime::Domain& domain,
                           const runtime::Settings& settings,
                           const std::set<std::string>& services) {
  const auto candidates = resolver.candidates(domain.id);
  if (!candidates.ok()) return candidates.error().message;
  std::string why;
  const auto failed = [&](const std::string& reason) {
    if (why.empty()) why = reason;  // the domain's own; what stands in for it fails as well
  };
  for (const runtime::Candidate& candidate : candidates->list) {
    const runtime::ModelSource& source = candidate.target.source;
    if (candidate.skip) {
      failed(candidate.skip->message);
    } else if (source.service) {
      if (services.contains(source.service->base_url)) return "";
      failed(source.service->base_url.empty()
                 ? std::string("there is no Transformers service: ") + kSetUp
                 : source.service->base_url + " does not answer");
    } else {
      const uint64_t bytes = runtime::model_bytes_on_disk(source.path);
      if (bytes <= settings.cache_bytes_max || source.quantize != nullptr) return "";
      failed(fmt::format("{} has {}, MODEL_CACHE_MAX_MEMORY_MB allows {}", source.name, mib(bytes),
                         mib(settings.cache_bytes_max)));
    }
  }
  return why;
}

void check_domains(const runtime::ServiceOptions& options, const std::string& path,
                   const std::set<std::string>& services, Report& report) {
  const runtime::DomainConfig& config = options.config;
  for (const runtime::DomainProblem& error : config.errors)
    report.problem(error.domain.empty() ? path : "domain '" + error.domain + "'", error.message);
  const runtime::Resolver resolver(config, options.resolver);
  size_t answered = 0;
  std::map<std::string, std::string> unanswered;  // why -> who, since many share a model
  for (const runtime::Domain& domain : config.domains) {
    std::string why = why_unanswered(resolver, domain, options.settings, services);
    answered += why.empty();
    if (why.empty()) continue;
    const std::string prefix = "domain '" + domain.id + "': ";
    if (why.starts_with(prefix)) why.erase(0, prefix.size());
    std::string& who = unanswered[why];
    who += (who.empty() ? "domain '" : ", '") + domain.id + "'";
  }
  for (const auto& [why, who] : unanswered)
    report.problem(who, why + "; nothing can stand in for it");
  report.add("config",
             {{"path", path},
              {"domains", config.domains.size()},
              {"answerable", answered},
              {"default_domain", config.default_domain},
              {"errors", config.errors.size()}},
             path.empty() && config.domains.empty()
                 ? "no config file: models are asked for by name"
                 : fmt::format("{}: {} domains, {} can answer, default '{}'", path,
                               config.domains.size(), answered, config.default_domain));
}

// Can the store's file be changed, or made? It, and the folders up to one that is there.
bool is_writable(fs::path path) {
  std::error_code error;
  if (fs::exists(path, error) && ::access(path.c_str(), W_OK) != 0) return false;
  path = fs::absolute(path, error).parent_path();
  while (!fs::exists(path, error) && path.has_relative_path()) path = path.parent_path();
  return fs::is_directory(path, error) && ::access(path.c_str(), W_OK) == 0;
}

// The domains of the file with those of the store, as far as both can be read.
void read_config(const DoctorArguments& arguments, const std::string& path,
                 runtime::ServiceOptions& options, Report& report) {
  const runtime::Settings& settings = options.settings;
  auto file = read_config_file(path);
  if (!file.ok()) report.problem("config", file.error().message);
  std::vector<runtime::StoredDomain> stored;
  std::string failure;
  const auto store = open_store(arguments, settings, path, runtime::StoreAccess::kRead);
  if (!store.ok()) {
    failure = store.error().message;
  } else if (auto listed = (*store)->list(); listed.ok()) {
    stored = std::move(*listed);
  } else {
    failure = listed.error().message;
  }
  if (!failure.empty()) report.problem("domain store", failure);
  options.config = runtime::overlay_config(file.ok() ? *file : runtime::ConfigFile{}, stored,
                                           settings, runtime::process_environment());

  const bool postgres = !settings.postgres_dsn.empty();
  const fs::path database = store_path(arguments, settings, path);
  const bool writable = postgres ? failure.empty() : is_writable(database);
  report.add("store",
             {{"kind", postgres ? "postgresql" : "sqlite"},
              {"path", postgres ? "" : database.string()},
              {"domains", stored.size()},
              {"writable", writable}},
             fmt::format("{}: {} domains{}", postgres ? "PostgreSQL" : database.string(),
                         stored.size(), writable ? "" : ", cannot be changed"));
  if (postgres || writable) return;
  const std::string message = database.string() +
                              " cannot be written: changes of domains over "
                              "the API are refused; --data-dir names another folder";
  const bool asked_for = !arguments.data_dir.empty() || !settings.data_dir.empty();
  asked_for ? report.problem("domain store", message) : report.warning("domain store", message);
}

Status doctor(const DoctorArguments& arguments) {
  Report report;
  const runtime::Environment environment = runtime::process_environment();
  auto read = bare_service_options(arguments);
  if (!read.ok()) report.problem("environment", read.error().message);
  runtime::ServiceOptions options = read.ok() ? std::move(*read) : runtime::ServiceOptions{};
  options.resolver.models_dir = arguments.models_dir;
  options.resolver.stores = runtime::stores_of(environment);
  options.resolver.vaultgemma_fallback = options.settings.vaultgemma_fallback;

  check_cpu(report);
  check_memory(options.settings, report);
  check_gpu(options.settings, report);
  check_models(arguments, {{}, arguments.models_dir, options.resolver.stores},
               options.resolver.stores, report);
  const std::string path = config_path(arguments, options.settings);
  read_config(arguments, path, options, report);
  const std::set<std::string> services = check_transformers(options, report);
  check_domains(options, path, services, report);
  return report.print(arguments.json);
}

}  // namespace

void add_doctor(CLI::App& app, Program& program) {
  auto arguments = std::make_shared<DoctorArguments>();
  CLI::App* command = app.add_subcommand(
      "doctor",
      "What this machine has and localai uses; fails when something configured cannot "
      "work");
  add_config_options(*command, *arguments);
  command->add_flag("--json", arguments->json, "print one JSON object");
  command->callback([arguments, &program] {
    program.run = [arguments]() -> Status { return doctor(*arguments); };
  });
}

}  // namespace localai::cli
