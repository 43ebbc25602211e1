#include "server/embedding_call.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>

#include "base/base64.h"
#include "server/fields.h"
#include "server/renderer.h"

namespace localai::server {
namespace {

constexpr size_t kInputsMax = 2048;  // as OpenAI has it
constexpr size_t kNameBytesMax = 4096;
constexpr int64_t kDimensionsMax = 1 << 20;

// Token ids; the model says whether they are within its vocabulary.
std::optional<std::vector<engine::TokenId>> tokens_of(const Json& array) {
  std::vector<engine::TokenId> tokens;
  for (const Json& id : array) {
    if (!id.is_number_integer()) return std::nullopt;
    if (id < 0 || id > std::numeric_limits<engine::TokenId>::max()) return std::nullopt;
    tokens.push_back(id.get<engine::TokenId>());
  }
  return tokens;
}

// One element of the array of inputs: a text or an array of token ids.
void read_element(const Json& value, size_t index, Fields& fields, EmbeddingCall& out) {
  const std::string name = "input[" + std::to_string(index) + "]";
  if (value.is_string()) {
    if (value.get_ref<const std::string&>().empty())
      return fields.fail(name, "is an empty text", "invalid_value");
    out.inputs.emplace_back(value.get<std::string>());
    return;
  }
  if (!value.is_array())
    return fields.fail(
        name, "is " + std::string(json_kind(value)) + "; a text or an array of token ids is needed",
        "invalid_type");
  auto tokens = tokens_of(value);
  if (!tokens || tokens->empty())
    return fields.fail(name, "is no array of token ids", "invalid_value");
  out.inputs.emplace_back(std::move(*tokens));
}

// A text, an array of texts, an array of token ids, or an array of such arrays.
void read_input(const Json* value, Fields& fields, EmbeddingCall& out) {
  if (value == nullptr) return fields.fail("input", "is missing", "missing_required_parameter");
  if (value->is_string()) return read_element(*value, 0, fields, out);
  if (!value->is_array())
    return fields.fail("input",
                       "is " + std::string(json_kind(*value)) +
                           "; a text, an array of texts or an array of token ids is needed",
                       "invalid_type");
  if (value->empty()) return fields.fail("input", "is an empty array", "invalid_value");
  if (value->front().is_number()) return read_element(*value, 0, fields, out);
  if (value->size() > kInputsMax)
    return fields.fail(
        "input",
        std::to_string(value->size()) + " inputs are more than " + std::to_string(kInputsMax),
        "invalid_value");
  for (size_t i = 0; i < value->size(); ++i) read_element((*value)[i], i, fields, out);
}

// The shortest decimal that gives the same float, so that no digits of noise are sent.
double shortest(float value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  double out = 0;
  std::from_chars(text, end, out);
  return out;
}

Json vector_json(std::span<const float> vector, bool base64) {
  if (base64) {
    static_assert(std::endian::native == std::endian::little);
    return base64_of({reinterpret_cast<const char*>(vector.data()), vector.size_bytes()});
  }
  Json out = Json::array();
  for (const float x : vector) out.push_back(shortest(x));
  return out;
}

// The first `count`, of length 1 again.
std::vector<float> shortened(std::span<const float> vector, size_t count) {
  std::vector<float> out(vector.begin(), vector.begin() + static_cast<ptrdiff_t>(count));
  double squares = 0;
  for (const float x : out) squares += static_cast<double>(x) * x;
  if (squares > 0)
    for (float& x : out) x = static_cast<float>(x / std::sqrt(squares));
  return out;
}

}  // namespace

ParsedEmbeddingCall parse_embedding_call(std::string_view body) {
  const std::variant<Json, ApiError> json = parse_body(body);
  if (const auto* error = std::get_if<ApiError>(&json)) return *error;
  Fields fields(std::get<Json>(json), "");
  EmbeddingCall out;
  out.model = fields.string("model", kNameBytesMax).value_or("");
  read_input(fields.any("input"), fields, out);
  const std::string format = fields.string("encoding_format", 16).value_or("float");
  if (format != "float" && format != "base64")
    fields.fail("encoding_format", "'" + format + "' is neither float nor base64", "invalid_value");
  out.base64 = format == "base64";
  if (const auto dimensions = fields.integer("dimensions", 1, kDimensionsMax))
    out.dimensions = static_cast<uint32_t>(*dimensions);
  fields.any("user");
  fields.finish();
  if (fields.error()) return *fields.error();
  return out;
}

std::variant<Json, ApiError> render_embeddings(const EmbeddingCall& call,
                                               const runtime::EmbeddingAnswer& answer) {
  const engine::Embeddings& embeddings = answer.embeddings;
  const uint32_t full = embeddings.dimension, wanted = call.dimensions.value_or(full);
  if (wanted > full)
    return bad_field("dimensions",
                     std::to_string(wanted) + " is more than the " + std::to_string(full) +
                         " of model '" + answer.resolution.model + "'",
                     "invalid_value");
  Json data = Json::array();
  for (size_t i = 0; i * full < embeddings.values.size(); ++i) {
    const std::span<const float> vector(embeddings.values.data() + i * full, full);
    data.push_back(
        {{"object", "embedding"},
         {"index", i},
         {"embedding", wanted == full ? vector_json(vector, call.base64)
                                      : vector_json(shortened(vector, wanted), call.base64)}});
  }
  return Json{
      {"object", "list"},
      {"data", std::move(data)},
      {"model", answer.resolution.model},
      {"usage", {{"prompt_tokens", embeddings.tokens}, {"total_tokens", embeddings.tokens}}},
      {"localai", resolution_json(answer.resolution)}};
}

}  // namespace localai::server
