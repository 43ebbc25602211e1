// localai tokenize --model M [--no-specials] [--ids] [--jsonl] [TEXT|-]: text to ids, and back.
#include <CLI/CLI.hpp>
#include <iostream>
#include <iterator>
#include <memory>
#include <vector>

#include "base/json.h"
#include "cli/command.h"
#include "cli/model_argument.h"
#include "engine/engine.h"

namespace localai::cli {
namespace {

using text::TokenId;

struct Arguments {
  std::string model, models_dir = "models";
  bool no_specials = false, ids = false, jsonl = false;
  std::string text = "-";
};

Result<std::vector<TokenId>> ids_of(const Json& value, const text::Tokenizer& tokenizer) {
  if (!value.is_array()) return invalid("ids: not a JSON array: " + dump_json(value));
  std::vector<TokenId> ids;
  for (const Json& element : value) {
    if (!element.is_number_integer() || element < 0 || element >= tokenizer.size())
      return invalid("ids: " + dump_json(element) + " is not an id within 0.." +
                     std::to_string(tokenizer.size() - 1));
    ids.push_back(element.get<TokenId>());
  }
  return ids;
}

Result<std::string> text_of(const Json& value, const text::Tokenizer& tokenizer,
                            const Arguments& arguments) {
  LAI_TRY(const auto ids, ids_of(value, tokenizer));
  return tokenizer.decode(ids, !arguments.no_specials);
}

std::string ids_json(std::string_view text, const text::Tokenizer& tokenizer,
                     const Arguments& arguments) {
  const text::EncodeOptions options{.add_special = !arguments.no_specials,
                                    .parse_special = !arguments.no_specials};
  return dump_json(Json(tokenizer.encode(text, options)));
}

// One JSON value a line in, one a line out.
Status convert_lines(const text::Tokenizer& tokenizer, const Arguments& arguments) {
  std::string line;
  for (size_t number = 1; std::getline(std::cin, line); ++number) {
    const std::string where = "line " + std::to_string(number);
    LAI_TRY(const Json value, parse_json(line), where);
    if (arguments.ids) {
      LAI_TRY(const std::string out, text_of(value, tokenizer, arguments), where);
      std::cout << dump_json(Json(out)) << '\n';
    } else if (value.is_string()) {
      std::cout << ids_json(value.get_ref<const std::string&>(), tokenizer, arguments) << '\n';
    } else {
      return invalid(where + ": not a JSON string: " + dump_json(value));
    }
  }
  return Ok{};
}

Status tokenize(const Arguments& arguments) {
  LAI_TRY(const auto path, find_model(arguments.model, arguments.models_dir));
  LAI_TRY(const formats::Checkpoint checkpoint, formats::Checkpoint::open(path));
  LAI_TRY(const engine::TextModel model, engine::load_text_model(checkpoint));
  if (arguments.jsonl) return convert_lines(*model.tokenizer, arguments);
  std::string text = arguments.text;
  if (text == "-") text.assign(std::istreambuf_iterator<char>(std::cin), {});
  if (!arguments.ids) {
    std::cout << ids_json(text, *model.tokenizer, arguments) << '\n';
    return Ok{};
  }
  LAI_TRY(const Json value, parse_json(text), "ids");
  LAI_TRY(const std::string out, text_of(value, *model.tokenizer, arguments));
  std::cout << out;  // byte for byte: no line end is added
  return Ok{};
}

}  // namespace

void add_tokenize(CLI::App& app, Program& program) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("tokenize", "Turn text into token ids, or ids into text");
  command->add_option("--model", arguments->model, "model name or path")->required();
  command->add_option("--models-dir", arguments->models_dir, "where models are looked up")
      ->capture_default_str();
  command->add_flag("--no-specials", arguments->no_specials,
                    "no BOS or EOS; special tokens are text (with --ids: left out)");
  command->add_flag("--ids", arguments->ids, "a JSON array of ids in, its text out");
  command->add_flag("--jsonl", arguments->jsonl,
                    "one JSON string (with --ids: array) per line of stdin, one answer per line");
  command->add_option("text", arguments->text, "the text, or - for stdin")->capture_default_str();
  command->callback(
      [arguments, &program] { program.run = [arguments] { return tokenize(*arguments); }; });
}

}  // namespace localai::cli
