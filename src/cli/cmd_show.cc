// localai show MODEL [--json]: everything known of one model without touching its weights.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "cli/command.h"
#include "cli/service_options.h"
#include "engine/engine.h"
#include "runtime/backend_choice.h"

namespace localai::cli {
namespace {

struct ShowArguments : ServiceArguments {
  std::string model;
  bool json = false;
};

Json described(const runtime::Domain& domain) {
  return {{"id", domain.id},
          {"name", domain.name},
          {"system_prompt", domain.system_prompt.value_or("")}};
}

Json describe(const engine::LoadedModel& model, const runtime::Target& target) {
  const models::ModelInfo& info = model.model->info();
  const text::VocabularySpec& vocabulary = model.tokenizer->spec();
  Json out = {{"model", target.source.name},
              {"path", target.source.path.string()},
              {"format", model.checkpoint->format()},
              {"backend", target.resolution.backend},
              {"backend_reason", "the native engine has architecture '" + info.architecture + "'"},
              {"architecture", info.architecture},
              {"name", info.name},
              {"parameters", info.parameters},
              {"layers", info.layers},
              {"hidden_size", info.hidden},
              {"vocabulary", info.vocab_size},
              {"context_length", info.context_length},
              {"weight_types", info.weight_types},
              {"weights_mapped_bytes", info.weights_mapped_bytes},
              {"weights_private_bytes", info.weights_private_bytes}};
  const engine::EngineMemory needed =
      engine::Engine::predicted_memory(*model.model, target.source.engine);
  out["state_bytes"] = needed.kv_bytes + needed.scratch_bytes;
  const bool sentence_piece = vocabulary.kind == text::TokenizerKind::kSentencePieceBpe;
  out["tokenizer"] = sentence_piece ? "SentencePiece BPE" : "byte-level BPE";
  out["chat_template"] = !model.chat_template.empty();
  if (target.domain != nullptr) out["domain"] = described(*target.domain);
  return out;
}

// Where a model that a service answers for lies here, if it does.
Result<std::filesystem::path> folder_of(const runtime::Target& target, const std::string& asked,
                                        const runtime::ModelCatalog& catalog) {
  if (target.domain == nullptr) {
    if (const auto file = catalog.find_name(asked); file.ok()) return file->path;
    return catalog.find_path(asked);
  }
  if (auto path = catalog.find_path(target.domain->model_path); path.ok()) return path;
  LAI_TRY(const runtime::ModelFile file, catalog.find_name(target.domain->model_name));
  return file.path;
}

// A model of a Transformers service: what this program knows of it.
Json describe_service(const runtime::Target& target, const std::string& asked,
                      const runtime::Resolver& resolver) {
  const runtime::ServiceModel& model = *target.source.service;
  const runtime::Domain* domain = target.domain;
  const auto path = folder_of(target, asked, resolver.catalog());
  const runtime::BackendChoice choice =
      path.ok() ? runtime::choose_backend_of(*path) : runtime::BackendChoice{};
  std::string reason = choice.reason;
  if (domain != nullptr && domain->service)
    reason = domain->config.contains("backend_type")
                 ? "the domain's backend_type says so"
                 : "TRANSFORMERS_BASE_URL is set, and the domain names no backend";
  Json out = {{"model", target.source.name},
              {"backend", target.resolution.backend},
              {"backend_reason", reason},
              {"service", model.base_url.empty() ? "one of our own" : model.base_url},
              {"service_model", model.name},
              {"dtype", model.dtype.empty() ? Json("as the service chooses") : Json(model.dtype)},
              {"quantization", model.quantization},
              {"timeout_seconds", model.timeout_seconds}};
  if (path.ok()) out["path"] = path->string();
  if (!choice.architecture.empty()) out["architecture"] = choice.architecture;
  if (domain != nullptr) out["domain"] = described(*domain);
  return out;
}

void print_flat(const Json& object, const std::string& prefix) {
  for (const auto& [key, value] : object.items()) {
    if (value.is_object())
      print_flat(value, prefix + key + ".");
    else
      fmt::print("{:24} {}\n", prefix + key,
                 value.is_string() ? value.get<std::string>() : dump_json(value));
  }
}

Status show(const ShowArguments& arguments) {
  LAI_TRY(runtime::ServiceOptions options, service_options(arguments));
  options.resolver.any_path = true;
  const runtime::Resolver resolver(std::move(options.config), options.resolver);
  LAI_TRY(const runtime::Target target, resolver.resolve(arguments.model));
  Json out;
  if (target.source.service) {
    out = describe_service(target, arguments.model, resolver);
  } else {
    models::ModelOptions look;
    look.predict_only = true;
    LAI_TRY(const engine::LoadedModel model, engine::load_model(target.source.path, look));
    out = describe(model, target);
  }
  if (arguments.json)
    std::cout << dump_json(out, 1) << std::endl;
  else
    print_flat(out, "");
  return Ok{};
}

}  // namespace

void add_show(CLI::App& app, Program& program) {
  auto arguments = std::make_shared<ShowArguments>();
  CLI::App* command = app.add_subcommand("show", "Show everything known of one model");
  command->add_option("model", arguments->model, "domain, alias, model name or path")->required();
  add_config_options(*command, *arguments);
  command->add_flag("--json", arguments->json, "print one JSON object");
  command->callback([arguments, &program] {
    program.run = [arguments]() -> Status { return show(*arguments); };
  });
}

}  // namespace localai::cli
