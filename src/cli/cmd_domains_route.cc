// localai domains explain and localai domains eval: which domain a prompt would get, and how often
// that is right.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "base/file.h"
#include "cli/command.h"
#include "cli/service_options.h"
#include "runtime/route_eval.h"
#include "runtime/route_request.h"

namespace localai::cli {
namespace {

constexpr uint64_t kPromptsBytesMax = uint64_t{64} << 20;

struct RouteArguments : ServiceArguments {
  bool json = false;
  std::string text, file;
  std::vector<std::string> only;
  double target = 0;
  bool sweep = false;
};

void print_decision(const runtime::RouteDecision& decision) {
  fmt::print("{}  ({}, model {}, backend {})\n{}\n\n", decision.domain, decision.stage,
             decision.model, decision.backend, decision.reason);
  for (const runtime::RouteCandidate& candidate : decision.candidates) {
    const std::string similarity =
        candidate.similarity ? fmt::format("{:7.3f}", *candidate.similarity) : "";
    fmt::print("{:36} {:7.4g} {:7}  {}\n", candidate.domain, candidate.score, similarity,
               candidate.why);
  }
}

Status explain(const RouteArguments& arguments) {
  LAI_TRY(runtime::ServiceOptions options, service_options(arguments));
  const runtime::Resolver resolver(std::move(options.config), std::move(options.resolver));
  const runtime::Router router(resolver.config(), options.embedder);
  runtime::GenerateRequest request;
  request.input = arguments.text;
  request.route.domains = arguments.only;
  LAI_TRY(const runtime::RouteDecision decision,
          runtime::explain_route(resolver, router, "auto", request));
  if (arguments.json)
    std::cout << dump_json(runtime::route_decision_json(decision), 1) << std::endl;
  else
    print_decision(decision);
  return Ok{};
}

void print_evaluation(const runtime::RouteEvaluation& result, const Json& json) {
  for (const auto& miss : result.misses)
    fmt::print("miss: {}\n      expected {}, got {} ({})\n", miss.prompt, miss.expected,
               miss.chosen, miss.reason);
  for (const Json& point : json.value("sweep", Json::array()))
    fmt::print("min_score {:5.2f}  min_similarity {:5.2f}  accuracy {:.4f}\n",
               point["min_score"].get<double>(), point["min_similarity"].get<double>(),
               point["accuracy"].get<double>());
  for (const auto& [stage, count] : json["stages"].items())
    fmt::print("{:10} decided {:4}, right {:4}\n", stage, count["total"].get<size_t>(),
               count["right"].get<size_t>());
  for (const std::string& id : result.unknown)
    fmt::print("not configured: {} (the default is right where nothing else is accepted)\n", id);
  fmt::print(
      "accuracy {:.4f} ({} of {}); substring counting {:.4f}; {:.0f} us p50, {:.0f} us p99\n",
      result.accuracy(), result.right, result.total, json["substring_accuracy"].get<double>(),
      result.p50_us, result.p99_us);
}

Status evaluate(const RouteArguments& arguments) {
  LAI_TRY(const std::string text, read_file(arguments.file, kPromptsBytesMax), "labelled prompts");
  LAI_TRY(const auto prompts, runtime::parse_labelled_prompts(text), arguments.file);
  LAI_TRY(const runtime::ServiceOptions options, service_options(arguments));
  const runtime::Router router(options.config, options.embedder);
  const runtime::RouteEvaluation result =
      runtime::evaluate_router(router, options.config, prompts, arguments.sweep);
  const Json json = runtime::route_evaluation_json(result);
  if (arguments.json)
    std::cout << dump_json(json, 1) << std::endl;
  else
    print_evaluation(result, json);
  if (result.accuracy() >= arguments.target) return Ok{};
  return invalid(fmt::format("{}: accuracy {:.4f} is under the target {:.4f}", arguments.file,
                             result.accuracy(), arguments.target));
}

CLI::App* add_command(CLI::App& domains, const char* name, const char* help,
                      const std::shared_ptr<RouteArguments>& arguments,
                      Status (*work)(const RouteArguments&), Program& program) {
  CLI::App* command = domains.add_subcommand(name, help);
  add_service_options(*command, *arguments);
  command->add_flag("--json", arguments->json, "print JSON");
  command->callback([arguments, work, &program] {
    program.run = [arguments, work]() -> Status { return work(*arguments); };
  });
  return command;
}

}  // namespace

void add_domain_routing(CLI::App& domains, Program& program) {
  auto text = std::make_shared<RouteArguments>();
  CLI::App* command = add_command(domains, "explain", "Which domain a text is routed to, and why",
                                  text, explain, program);
  command->add_option("text", text->text, "what a user might write")->required();
  command->add_option("--only", text->only, "as `domains` of a request: no other may answer");

  auto file = std::make_shared<RouteArguments>();
  command = add_command(domains, "eval", "How often the router is right about labelled prompts",
                        file, evaluate, program);
  command->add_option("file", file->file, "one {\"prompt\", \"accept\": [ids]} a line")->required();
  command->add_option("--target", file->target, "fail under this accuracy")
      ->check(CLI::Range(0.0, 1.0));
  command->add_flag("--sweep", file->sweep, "also the accuracy with other thresholds");
}

}  // namespace localai::cli
