// localai domains explain, eval and fit: which domain a prompt would get, how often that is right,
// and what the embedding stage learns from examples.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <span>

#include "base/file.h"
#include "cli/command.h"
#include "cli/service_options.h"
#include "runtime/route_eval.h"
#include "runtime/route_request.h"
#include "runtime/router_embedder.h"

namespace localai::cli {
namespace {

constexpr uint64_t kPromptsBytesMax = uint64_t{64} << 20;

struct RouteArguments : ServiceArguments {
  bool json = false;
  std::string text, file, out;
  std::vector<std::string> files;
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
  const runtime::Router router(resolver.config(), runtime::router_embedder(resolver));
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
  fmt::print("\nexpected -> chosen, where they differ:\n");
  for (const auto& [expected, row] : result.confusion)
    for (const auto& [chosen, count] : row)
      if (chosen != expected) fmt::print("{:36} -> {:36} {:3}\n", expected, chosen, count);
  for (const Json& point : json.value("sweep", Json::array()))
    fmt::print("min_score {:5.2f}  min_similarity {:5.2f}  accuracy {:.4f}\n",
               point["min_score"].get<double>(), point["min_similarity"].get<double>(),
               point["accuracy"].get<double>());
  for (const auto& [stage, count] : json["stages"].items())
    fmt::print("{:10} decided {:4}, right {:4}\n", stage, count["total"].get<size_t>(),
               count["right"].get<size_t>());
  for (const std::string& id : result.unknown)
    fmt::print("not configured: {} (the default is right where nothing else is accepted)\n", id);
  if (!result.similarity_error.empty()) fmt::print("no embeddings: {}\n", result.similarity_error);
  fmt::print("rules: {:.0f} us p50, {:.0f} us p99; embeddings: {:.0f} us p50, {:.0f} us p99\n",
             result.rules.p50, result.rules.p99, result.embedding.p50, result.embedding.p99);
  fmt::print("accuracy {:.4f} ({} of {}); rules alone {:.4f}; substring counting {:.4f}\n",
             result.accuracy(), result.right, result.total, json["rules_accuracy"].get<double>(),
             json["substring_accuracy"].get<double>());
}

Status evaluate(const RouteArguments& arguments) {
  LAI_TRY(const std::string text, read_file(arguments.file, kPromptsBytesMax), "labelled prompts");
  LAI_TRY(const auto prompts, runtime::parse_labelled_prompts(text), arguments.file);
  LAI_TRY(runtime::ServiceOptions options, service_options(arguments));
  const runtime::Resolver resolver(std::move(options.config), std::move(options.resolver));
  const runtime::Router router(resolver.config(), runtime::router_embedder(resolver));
  const runtime::RouteEvaluation result =
      runtime::evaluate_router(router, resolver.config(), prompts, arguments.sweep);
  const Json json = runtime::route_evaluation_json(result);
  if (arguments.json)
    std::cout << dump_json(json, 1) << std::endl;
  else
    print_evaluation(result, json);
  if (result.accuracy() >= arguments.target) return Ok{};
  return invalid(fmt::format("{}: accuracy {:.4f} is under the target {:.4f}", arguments.file,
                             result.accuracy(), arguments.target));
}

// The examples of the config and those of the files, which may name any accepted domain first.
Result<std::vector<runtime::RoutingExample>> examples_of(const runtime::DomainConfig& config,
                                                         const std::vector<std::string>& files) {
  std::vector<runtime::RoutingExample> out = runtime::routing_examples(config);
  for (const std::string& file : files) {
    LAI_TRY(const std::string text, read_file(file, kPromptsBytesMax), "labelled prompts");
    LAI_TRY(const auto prompts, runtime::parse_labelled_prompts(text), file);
    for (const runtime::LabelledPrompt& prompt : prompts)
      if (const runtime::Domain* domain = config.find(prompt.accept.front()))
        out.push_back({prompt.prompt, static_cast<size_t>(domain - config.domains.data())});
  }
  return out;
}

Status fit(const RouteArguments& arguments) {
  LAI_TRY(runtime::ServiceOptions options, service_options(arguments));
  const runtime::Resolver resolver(std::move(options.config), std::move(options.resolver));
  const std::shared_ptr<runtime::Embedder> embedder = runtime::router_embedder(resolver);
  if (!embedder) return invalid("the config names no embedder under 'routing'");
  LAI_TRY(const auto examples, examples_of(resolver.config(), arguments.files));
  LAI_TRY(const runtime::RoutingHead head,
          runtime::fit_routing_head(resolver.config(), *embedder, examples));
  const std::string text = runtime::write_routing_head(head);
  LAI_TRY_STATUS(write_file_atomically(arguments.out, std::as_bytes(std::span(text))));
  fmt::print("{}: {} domains from {} examples\n", arguments.out, head.rows.size(), examples.size());
  return Ok{};
}

CLI::App* add_command(CLI::App& domains, const char* name, const char* help,
                      const std::shared_ptr<RouteArguments>& arguments,
                      Status (*work)(const RouteArguments&), Program& program) {
  CLI::App* command = domains.add_subcommand(name, help);
  add_service_options(*command, *arguments);
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
  command->add_flag("--json", text->json, "print JSON");
  command->add_option("text", text->text, "what a user might write")->required();
  command->add_option("--only", text->only, "as `domains` of a request: no other may answer");

  auto file = std::make_shared<RouteArguments>();
  command = add_command(domains, "eval", "How often the router is right about labelled prompts",
                        file, evaluate, program);
  command->add_flag("--json", file->json, "print JSON");
  command->add_option("file", file->file, "one {\"prompt\", \"accept\": [ids]} a line")->required();
  command->add_option("--target", file->target, "fail under this accuracy")
      ->check(CLI::Range(0.0, 1.0));
  command->add_flag("--sweep", file->sweep, "also the accuracy with other thresholds");

  auto examples = std::make_shared<RouteArguments>();
  command = add_command(domains, "fit",
                        "Fit the embedding stage to the examples of the config and of files",
                        examples, fit, program);
  command->add_option("files", examples->files, "one {\"prompt\", \"accept\": [ids]} a line");
  command->add_option("--out", examples->out, "file for the key 'head' of 'routing'")->required();
}

}  // namespace localai::cli
