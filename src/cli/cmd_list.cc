// localai list and localai domains list|check: what there is to ask, and whether the config is
// right.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "cli/command.h"
#include "cli/service_options.h"
#include "runtime/domain_keys.h"
#include "runtime/model_stores.h"
#include "runtime/native_backend.h"

namespace localai::cli {
namespace {

struct ListArguments : ServiceArguments {
  bool json = false;
};

std::string mib(uint64_t bytes) { return fmt::format("{:.1f} MiB", double(bytes) / (1 << 20)); }

Status list(const ListArguments& arguments) {
  LAI_TRY(runtime::ServiceOptions options, service_options(arguments));
  options.settings.lazy_loading = true;
  options.settings.preload.clear();
  for (runtime::Domain& domain : options.config.domains) domain.preload = false;
  const runtime::LocalService service(std::move(options), runtime::make_native_opener());
  Json out = Json::array();
  for (const runtime::ModelEntry& entry : service.models()) {
    out.push_back({{"id", entry.id},
                   {"kind", entry.kind},
                   {"backend", entry.backend},
                   {"path", entry.path},
                   {"bytes", entry.bytes},
                   {"source", entry.source}});
    if (!arguments.json)
      fmt::print("{:32} {:7} {:15} {:>12}  {:11} {}\n", entry.id, entry.kind, entry.backend,
                 entry.bytes == 0 ? "not here" : mib(entry.bytes), entry.source, entry.path);
  }
  if (arguments.json) std::cout << dump_json(out, 1) << std::endl;
  if (!arguments.json && out.empty())
    std::cout << "no models in " << arguments.models_dir << " (scripts/get-models.sh fetches some)"
              << std::endl;
  return Ok{};
}

Json problems(const std::vector<runtime::DomainProblem>& list) {
  Json out = Json::array();
  for (const runtime::DomainProblem& problem : list)
    out.push_back({{"domain", problem.domain}, {"message", problem.message}});
  return out;
}

Result<runtime::DomainConfig> read_config(const ListArguments& arguments) {
  LAI_TRY(const runtime::Settings settings, runtime::read_settings(runtime::process_environment()));
  LAI_TRY(runtime::DomainConfig config, read_domains(arguments, settings));
  if (config.file.empty() && config.domains.empty() && config.errors.empty())
    return not_found("there is neither a config file nor a domain store: --config names one");
  return config;
}

Status list_domains(const ListArguments& arguments) {
  LAI_TRY(const runtime::DomainConfig config, read_config(arguments));
  Json out = Json::array();
  for (const runtime::Domain& domain : config.domains) {
    const bool is_default = domain.id == config.default_domain;
    out.push_back({{"id", domain.id},
                   {"name", domain.name},
                   {"layer", domain.layer},
                   {"team", domain.team},
                   {"backend", domain.backend},
                   {"model_path", domain.model_path},
                   {"version", domain.version},
                   {"default", is_default},
                   {"available", domain.unsupported.empty()}});
    if (!arguments.json)
      fmt::print("{:40} {:8} {:16} {:16} {}{}\n", domain.id, domain.layer, domain.team,
                 domain.backend, domain.model_path.empty() ? domain.model_name : domain.model_path,
                 is_default ? "  (default)" : "");
  }
  if (arguments.json) std::cout << dump_json(out, 1) << std::endl;
  return Ok{};
}

Status check_domains(const ListArguments& arguments) {
  LAI_TRY(runtime::DomainConfig config, read_config(arguments));
  runtime::ResolverOptions options;
  options.models_dir = arguments.models_dir;
  options.stores = runtime::stores_of(runtime::process_environment());
  const runtime::Resolver resolver(config, options);
  for (const runtime::Domain& domain : config.domains) {
    const auto path = resolver.model_of(domain);
    if (!domain.unsupported.empty())
      config.warnings.push_back({domain.id, domain.unsupported});
    else if (!path.ok())
      config.warnings.push_back({domain.id, path.error().message});
  }
  if (arguments.json) {
    std::cout << dump_json({{"domains", config.domains.size()},
                            {"errors", problems(config.errors)},
                            {"warnings", problems(config.warnings)}},
                           1)
              << std::endl;
  } else {
    for (const auto& problem : config.errors)
      fmt::print("error: {}: {}\n", problem.domain, problem.message);
    for (const auto& problem : config.warnings)
      fmt::print("warning: {}: {}\n", problem.domain, problem.message);
    fmt::print("{}: {} domains, {} errors, {} warnings\n", config.file.string(),
               config.domains.size(), config.errors.size(), config.warnings.size());
  }
  if (config.errors.empty()) return Ok{};
  return invalid(config.file.string() + ": " + std::to_string(config.errors.size()) + " errors");
}

Status print_schema(const ListArguments& arguments) {
  (void)arguments;  // the schema is of the format, not of one file
  std::cout << dump_json(runtime::domain_config_schema(), 2) << std::endl;
  return Ok{};
}

}  // namespace

void add_list(CLI::App& app, Program& program) {
  auto arguments = std::make_shared<ListArguments>();
  CLI::App* command = app.add_subcommand("list", "List domains and the models on disk");
  add_config_options(*command, *arguments);
  command->add_flag("--json", arguments->json, "print one JSON array");
  command->callback([arguments, &program] {
    program.run = [arguments]() -> Status { return list(*arguments); };
  });
}

void add_domains(CLI::App& app, Program& program) {
  CLI::App* domains = app.add_subcommand(
      "domains", "The configured domains: list, check, schema, explain, eval, fit");
  domains->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, Status (*work)(const ListArguments&)) {
    auto arguments = std::make_shared<ListArguments>();
    CLI::App* command = domains->add_subcommand(name, help);
    add_config_options(*command, *arguments);
    command->add_flag("--json", arguments->json, "print JSON");
    command->callback([arguments, work, &program] {
      program.run = [arguments, work]() -> Status { return work(*arguments); };
    });
  };
  add("list", "The domains of the config file and the domain store", list_domains);
  add("check", "What is wrong with the domains; fails when one is unusable", check_domains);
  add("schema", "The JSON Schema of a config file", print_schema);
  add_domain_routing(*domains, program);
}

}  // namespace localai::cli
