// localai run MODEL [PROMPT] and localai chat MODEL: answers on the terminal.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <iterator>
#include <memory>

#include "cli/answer_printer.h"
#include "cli/command.h"
#include "cli/service_options.h"
#include "runtime/native_backend.h"

namespace localai::cli {
namespace {

struct RunArguments : ServiceArguments {
  std::string model;
  std::optional<std::string> prompt, system;
  GenerationArguments generation;
};

void add_flags(CLI::App& command, RunArguments& arguments) {
  command.add_option("model", arguments.model, "domain, alias, model name or path")->required();
  auto& sampling = arguments.generation.sampling;
  command.add_option("--system", arguments.system, "system message");
  command.add_option("--max-tokens", arguments.generation.max_tokens, "tokens of the answer")
      ->check(CLI::Range(1, 1 << 30));
  command.add_option("--temperature", sampling.temperature, "0 is greedy")
      ->check(CLI::Range(0.0, 100.0));
  command.add_option("--top-k", sampling.top_k, "0 is off")->check(CLI::Range(0, 1 << 30));
  command.add_option("--top-p", sampling.top_p, "1 is off")->check(CLI::Range(0.0, 1.0));
  command.add_option("--seed", sampling.seed, "the same seed gives the same answer");
  add_service_options(command, arguments);
}

Result<std::unique_ptr<runtime::LocalService>> make_service(const RunArguments& arguments) {
  LAI_TRY(runtime::ServiceOptions options, service_options(arguments));
  options.resolver.any_path = true;
  options.settings.lazy_loading = true;  // one model is wanted, not all
  options.settings.preload.clear();
  options.resolver.engine.parallel = 1;
  return std::make_unique<runtime::LocalService>(std::move(options), runtime::make_native_opener());
}

// A base model has no chat form of its own; `run` lets it go on with the text instead.
Result<bool> has_chat_template(const RunArguments& arguments) {
  LAI_TRY(runtime::ServiceOptions options, service_options(arguments));
  options.resolver.any_path = true;
  const runtime::Resolver resolver(std::move(options.config), options.resolver);
  LAI_TRY(const runtime::Target target, resolver.resolve(arguments.model));
  if (target.source.service) return true;  // the service has a form for every model
  if (target.domain != nullptr && target.domain->compiled_template) return true;
  LAI_TRY(const auto checkpoint, formats::Checkpoint::open(target.source.path));
  LAI_TRY(const engine::TextModel text, engine::load_text_model(checkpoint));
  return !text.chat_template.empty();
}

runtime::GenerateRequest chat_request(const RunArguments& arguments, const Json& messages) {
  runtime::GenerateRequest request;
  runtime::ChatInput chat;
  chat.messages = messages;
  request.input = std::move(chat);
  request.sampling = arguments.generation.sampling;
  request.max_tokens = arguments.generation.max_tokens;
  return request;
}

Json first_messages(const RunArguments& arguments) {
  Json messages = Json::array();
  if (arguments.system)
    messages.push_back(Json{{"role", "system"}, {"content", *arguments.system}});
  return messages;
}

Status run(const RunArguments& arguments) {
  const std::string prompt = arguments.prompt
                                 ? *arguments.prompt
                                 : std::string(std::istreambuf_iterator<char>(std::cin), {});
  if (prompt.empty()) return invalid("the prompt is empty");
  LAI_TRY(const bool chat, has_chat_template(arguments));
  LAI_TRY(const auto service, make_service(arguments));
  Json messages = first_messages(arguments);
  messages.push_back(Json{{"role", "user"}, {"content", prompt}});
  runtime::GenerateRequest request = chat_request(arguments, messages);
  if (!chat) request.input = arguments.system ? *arguments.system + "\n\n" + prompt : prompt;
  LAI_TRY(const std::string answer, print_answer(*service, arguments.model, std::move(request)));
  std::cout << std::endl;
  return Ok{};
}

Status chat(const RunArguments& arguments) {
  LAI_TRY(const auto service, make_service(arguments));
  const bool terminal = ::isatty(STDIN_FILENO) != 0;
  if (terminal) std::cout << "/clear forgets, /bye ends.\n";
  Json messages = first_messages(arguments);
  std::string line;
  while (true) {
    if (terminal) std::cout << ">>> " << std::flush;
    if (!std::getline(std::cin, line) || line == "/bye") return Ok{};
    if (line.empty()) continue;
    if (line == "/clear") {
      messages = first_messages(arguments);
      continue;
    }
    messages.push_back(Json{{"role", "user"}, {"content", line}});
    LAI_TRY(const std::string answer,
            print_answer(*service, arguments.model, chat_request(arguments, messages)));
    std::cout << std::endl;
    messages.push_back(Json{{"role", "assistant"}, {"content", answer}});
  }
}

}  // namespace

void add_run(CLI::App& app, Program& program) {
  auto arguments = std::make_shared<RunArguments>();
  CLI::App* command = app.add_subcommand(
      "run", "Answer one prompt (a model without a chat template goes on with the text)");
  add_flags(*command, *arguments);
  command->add_option("prompt", arguments->prompt, "the prompt; without it, standard input");
  command->callback(
      [arguments, &program] { program.run = [arguments]() -> Status { return run(*arguments); }; });
}

void add_chat(CLI::App& app, Program& program) {
  auto arguments = std::make_shared<RunArguments>();
  CLI::App* command = app.add_subcommand("chat", "Talk with a model on the terminal");
  add_flags(*command, *arguments);
  command->callback([arguments, &program] {
    program.run = [arguments]() -> Status { return chat(*arguments); };
  });
}

}  // namespace localai::cli
