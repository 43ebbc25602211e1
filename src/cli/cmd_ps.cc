// localai ps: what a running server holds in memory.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "base/json.h"
#include "cli/command.h"
#include "net/client.h"

namespace localai::cli {
namespace {

struct PsArguments {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;
  bool json = false;
};

std::string mib(uint64_t bytes) { return fmt::format("{:.1f} MiB", double(bytes) / (1 << 20)); }

Result<Json> ask(const PsArguments& arguments) {
  const std::string where = fmt::format("the server at {}:{}", arguments.host, arguments.port);
  const auto client = net::Client::create({arguments.host, arguments.port, ""});
  LAI_TRY(const net::ClientAnswer answer,
          net::fetch(*client, {.path = "/v1/models/loaded", .body = {}}, {}), where);
  if (answer.status != 200)
    return unavailable(fmt::format("{} answered status {}", where, answer.status));
  LAI_TRY(Json loaded, parse_json(answer.body), where);
  const bool known = loaded.is_object() && loaded.contains("data") && loaded["data"].is_array() &&
                     loaded.contains("bytes") && loaded.contains("budget_bytes");
  if (!known) return corrupt(where + " is no localai: its answer has other fields");
  return loaded;
}

Status print(const Json& loaded) try {
  fmt::print("{:32} {:12} {:>12} {:>12} {:>12} {:>7}  {}\n", "MODEL", "BACKEND", "BYTES", "WEIGHTS",
             "KV", "IN USE", "PINNED");
  for (const Json& model : loaded["data"]) {
    const Json& memory = model.at("memory");
    const uint64_t weights = memory.at("weights_mapped_bytes").get<uint64_t>() +
                             memory.at("weights_private_bytes").get<uint64_t>();
    fmt::print("{:32} {:12} {:>12} {:>12} {:>12} {:>7}  {}\n", model.at("id").get<std::string>(),
               model.at("backend").get<std::string>(), mib(model.at("bytes").get<uint64_t>()),
               mib(weights), mib(memory.at("kv_bytes").get<uint64_t>()),
               model.at("in_use").get<uint64_t>(), model.at("pinned").get<bool>() ? "yes" : "no");
  }
  fmt::print("{} of {}\n", mib(loaded["bytes"].get<uint64_t>()),
             mib(loaded["budget_bytes"].get<uint64_t>()));
  return Ok{};
} catch (const Json::exception& error) {
  return corrupt(std::string("the server's answer: ") + error.what());
}

Status ps(const PsArguments& arguments) {
  LAI_TRY(const Json loaded, ask(arguments));
  if (!arguments.json) return print(loaded);
  std::cout << dump_json(loaded, 1) << std::endl;
  return Ok{};
}

}  // namespace

void add_ps(CLI::App& app, Program& program) {
  auto arguments = std::make_shared<PsArguments>();
  CLI::App* command = app.add_subcommand("ps", "List the models that a running server has loaded");
  command->add_option("--host", arguments->host, "where the server listens")->capture_default_str();
  command->add_option("--port", arguments->port, "its port")->capture_default_str();
  command->add_flag("--json", arguments->json, "print the server's JSON");
  command->callback(
      [arguments, &program] { program.run = [arguments]() -> Status { return ps(*arguments); }; });
}

}  // namespace localai::cli
