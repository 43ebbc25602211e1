#include "runtime/transformers_launch.h"

#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "base/number.h"

namespace localai::runtime {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kIdleSecondsMax = 86400 * 30;

// "", or the program that scripts/setup-transformers.sh installed: build/transformers, for a
// program in build/release or a working directory that is the checkout.
fs::path installed_program() {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  for (const fs::path& build : {self.parent_path().parent_path(), fs::absolute("build", error)}) {
    fs::path program = build / "transformers/bin/localai-transformers";
    if (::access(program.c_str(), X_OK) == 0) return program;
  }
  return {};
}

}  // namespace

Result<TransformersLaunch> read_transformers_launch(const Environment& environment) {
  TransformersLaunch out;
  std::istringstream words(environment("TRANSFORMERS_COMMAND").value_or(""));
  for (std::string word; words >> word;) out.command.push_back(word);
  if (out.command.empty())
    if (const fs::path program = installed_program(); !program.empty())
      out.command.push_back(program.string());
  if (!out.command.empty()) out.command.insert(out.command.end(), {"--port", "%PORT%"});
  const auto idle = environment("TRANSFORMERS_IDLE_SECONDS");
  if (!idle || idle->empty()) return out;
  const auto seconds = parse_number<uint32_t>(*idle);
  if (!seconds || *seconds > kIdleSecondsMax)
    return invalid("TRANSFORMERS_IDLE_SECONDS='" + *idle + "': not a whole number within 0.." +
                   std::to_string(kIdleSecondsMax));
  out.idle = std::chrono::seconds(*seconds);
  return out;
}

Json service_models(const Resolver& resolver) {
  Json models = Json::object();
  for (const Domain& domain : resolver.config().domains) {
    if (domain.model_path.empty()) continue;
    const auto path = resolver.catalog().find_path(domain.model_path);
    if (!path.ok()) continue;
    const auto target = resolver.resolve(domain.id);
    const auto& service = target.ok() ? target->source.service : domain.service;
    if (service && !service->name.starts_with('/'))
      models[service->name] = {{"path", canonical_path(*path).string()}};
  }
  return {{"models", std::move(models)}};
}

ServiceProcessOptions service_process_options(const TransformersLaunch& launch) {
  ServiceProcessOptions out;
  out.name = "transformers";
  out.command = launch.command;
  return out;
}

}  // namespace localai::runtime
