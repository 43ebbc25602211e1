#include "runtime/domain_keys.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace localai::runtime {
namespace {

using enum ValueKind;

constexpr double kInt32Max = std::numeric_limits<int32_t>::max();

constexpr KeySpec kTransformersKeys[] = {
    {"endpoint", kString,
     "URL of the service's chat endpoint; TRANSFORMERS_BASE_URL goes before it"},
    {"model_name", kString, "the model's name in the service; absent: the domain's model_name"},
    {"timeout_seconds", kInteger,
     "longest wait for an answer's first byte, for a load and between two pieces; 0: 120 s", 0,
     86400},
    {"dtype", kString, "float32, bfloat16 or float16; absent: the service chooses"},
    {"quantization", kString, "bitsandbytes weights: nf4, fp4, 4bit (nf4) or 8bit"},
    {"double_quant", kBool, "4 bits: quantize the scales too"},
    {"compute_dtype", kString, "of quantized weights: float32, bfloat16 (default) or float16"},
    {"source_lang", kString, "translation: language code of the input"},
    {"target_lang", kString, "translation: language code of the output"},
};

constexpr KeySpec kVisionKeys[] = {
    {"endpoint", kString, "URL of the OCR service"},
    {"api_key", kString, "sent to the OCR service; never shown"},
    {"python_exec", kString, "interpreter for script_path"},
    {"script_path", kString, "script that reads an image"},
    {"model_variant", kString, "size of the OCR model"},
    {"default_prompt", kString, "prompt when the request has none"},
    {"timeout_seconds", kInteger, "0: the service's default", 0, 86400},
};

constexpr KeySpec kToonKeys[] = {
    {"use_arbml", kBool, "accepted, no effect"},
    {"use_qadi", kBool, "accepted, no effect"},
    {"use_kuwain", kBool, "accepted, no effect"},
};

constexpr double kWeightMax = 1000;

constexpr KeySpec kLengthKeys[] = {
    {"min", kNumber, "fewest characters"},
    {"max", kNumber, "most characters"},
    {"weight", kNumber, "added when the prompt is as long; 1 when absent", -kWeightMax, kWeightMax},
};

constexpr KeySpec kRoutingKeys[] = {
    {"keywords", kNumberMap, "keyword -> weight, beside or in place of 'keywords'", -kWeightMax,
     kWeightMax},
    {"patterns", kNumberMap, "regular expression -> weight", -kWeightMax, kWeightMax},
    {"languages", kNumberMap, "language of the prompt, such as ar -> weight", -kWeightMax,
     kWeightMax},
    {"metadata", kNumberMap, "key=value, or key, of the request's metadata -> weight", -kWeightMax,
     kWeightMax},
    {"has_image", kNumber, "weight of an image in the request", -kWeightMax, kWeightMax},
    {"length", kObject, "weight of a prompt's length", 0, 0, kLengthKeys},
};

constexpr KeySpec kFileRoutingKeys[] = {
    {"embedder", kString, "embedding model of the router; none: it goes by rules alone"},
    {"head", kString, "file of `domains fit`, beside the config; none: fitted to the examples"},
    {"min_score", kNumber, "score of the rules that decides; 1 when absent", 0, kWeightMax},
    {"min_lead", kNumber, "a smaller lead is left to the embeddings; 2 when absent", 0, kWeightMax},
    {"min_similarity", kNumber, "likelihood that decides; 0.1 when absent", 0, 1},
};

constexpr KeySpec kDomainKeys[] = {
    {"name", kString, "shown name; the id when absent"},
    {"layer", kString, "shown, and in layer_mapping"},
    {"team", kString, "shown, and in layer_mapping"},
    {"backend_type", kString,
     "gguf, safetensors, hf-transformers or deepseek-ocr; absent: by the environment"},
    {"model_path", kString, "GGUF file or safetensors directory"},
    {"model_name", kString, "name of a model in the models directory, or of the service's model"},
    {"api_key", kString, "for an upstream service; never shown"},
    {"base_url", kString, "of an upstream service"},
    {"agent_id", kString, "another name of the domain, such as 0x3579"},
    {"attention_weights", kNumberMap, "weights of topics; shown, not used in this build", -1e6,
     1e6},
    {"max_tokens", kInteger, "longest answer when the request does not say", 1, kInt32Max},
    {"temperature", kNumber, "when the request does not say; 0 is greedy", 0, 2},
    {"top_p", kNumber, "when the request does not say; 0 or 1: off", 0, 1},
    {"top_k", kInteger, "when the request does not say; 0: off", 0, kInt32Max},
    {"tags", kStringList, "shown"},
    {"keywords", kStringList, "words that speak for this domain when a request names none"},
    {"fallback_model", kString, "domain id, alias or model to answer when this one cannot"},
    {"fallback_models", kStringList, "more of them, in order, after fallback_model"},
    {"enabled_env_var", kString, "the domain exists only when this variable is truthy"},
    {"gpu_layers", kInteger, "layers on the GPU; accepted, this build computes on the CPU", -1,
     100000},
    {"vision_config", kObject, "of a deepseek-ocr domain", 0, 0, kVisionKeys},
    {"transformers_config", kObject, "of a hf-transformers domain", 0, 0, kTransformersKeys},
    {"toon_enabled", kBool, "accepted, no effect"},
    {"toon_config", kObject, "accepted, no effect", 0, 0, kToonKeys},
    {"system_prompt", kString, "used when the request has no system message"},
    {"stop", kStringList, "stop strings when the request has none"},
    {"context_length", kInteger, "longest prompt and answer together; 2048 when absent", 1,
     kInt32Max},
    {"chat_template", kString, "Jinja source, or a file ending in .jinja; absent: the model's own"},
    {"quantize", kString,
     "weights become this while loading: q8_0, q4_k_m, q4_0, q5_k_m or q6_k; absent: as they are"},
    {"kv_cache_type", kString, "f16 (default) or f32"},
    {"aliases", kStringList, "more names of the domain"},
    {"preload", kBool, "load at start"},
    {"pin", kBool, "never unload for another model"},
    {"ttl_seconds", kInteger, "unload after so long without use; 0 or absent: never", 0, kInt32Max},
    {"lora", kString, "adapter over the weights; not in this build"},
    {"description", kString, "what it answers, in one sentence; routing by embeddings reads it"},
    {"examples", kStringList, "requests it should get; routing by embeddings reads them"},
    {"routing", kObject, "what speaks for this domain when a request names none", 0, 0,
     kRoutingKeys},
};

constexpr KeySpec kFileKeys[] = {
    {"$schema", kString, "where editors find the schema"},
    {"domains", kDomains, "id -> domain"},
    {"default_domain", kString, "answers when a request names none; 'general' when absent"},
    {"layer_mapping", kTeams, "layer -> team -> domain ids"},
    {"routing", kObject, "how a request that names no domain finds one", 0, 0, kFileRoutingKeys},
};

// Optimal string alignment distance. Source: Damerau (1964), Levenshtein (1966).
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

std::string show(const Json& value) {
  std::string text = dump_json(value);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

std::string show_bound(double bound) {
  if (bound == std::floor(bound) && std::abs(bound) < 1e15)
    return std::to_string(static_cast<int64_t>(bound));
  return std::to_string(bound);
}

Error wrong(const KeySpec& key, const Json& value, std::string_view allowed) {
  return invalid(std::string(key.name) + ": " + show(value) + " is not " + std::string(allowed));
}

Status check_range(const KeySpec& key, const Json& value, std::string_view what) {
  const double number = value.get<double>();
  if (number >= key.min && number <= key.max) return Ok{};
  const std::string range = std::isinf(key.max)
                                ? " of at least " + show_bound(key.min)
                                : " within " + show_bound(key.min) + ".." + show_bound(key.max);
  return wrong(key, value, std::string(what) + range);
}

bool all_strings(const Json& value) {
  return value.is_array() &&
         std::all_of(value.begin(), value.end(), [](const Json& item) { return item.is_string(); });
}

Status check_object(const KeySpec& key, const Json& value) {
  if (!value.is_object()) return wrong(key, value, "an object");
  for (const auto& [name, item] : value.items()) {
    const KeySpec* nested = find_key(key.nested, name);
    if (nested != nullptr) LAI_TRY_STATUS(check_value(*nested, item), key.name);
  }
  return Ok{};
}

Status check_teams(const KeySpec& key, const Json& value) {
  constexpr std::string_view kShape = "an object of layers, each an object of teams with lists";
  if (!value.is_object()) return wrong(key, value, kShape);
  for (const Json& teams : value) {
    if (!teams.is_object()) return wrong(key, teams, kShape);
    for (const Json& ids : teams)
      if (!all_strings(ids)) return wrong(key, ids, "a list of domain ids");
  }
  return Ok{};
}

Status check_number_map(const KeySpec& key, const Json& value) {
  if (!value.is_object()) return wrong(key, value, "an object of numbers");
  for (const Json& item : value) {
    if (!item.is_number()) return wrong(key, item, "a number");
    LAI_TRY_STATUS(check_range(key, item, "a number"));
  }
  return Ok{};
}

Json schema_of(std::span<const KeySpec> keys);

Json schema_of(const KeySpec& key) {
  Json schema = Json::object();
  switch (key.kind) {
    case kString:
      schema["type"] = "string";
      break;
    case kBool:
      schema["type"] = "boolean";
      break;
    case kInteger:
    case kNumber:
      schema["type"] = key.kind == kInteger ? "integer" : "number";
      schema["minimum"] = key.min;
      if (!std::isinf(key.max)) schema["maximum"] = key.max;
      break;
    case kStringList:
      schema["type"] = "array";
      schema["items"] = {{"type", "string"}};
      break;
    case kNumberMap:
      schema["type"] = "object";
      schema["additionalProperties"] = {
          {"type", "number"}, {"minimum", key.min}, {"maximum", key.max}};
      break;
    case kObject:
      schema = schema_of(key.nested);
      break;
    case kTeams:
      schema["type"] = "object";
      schema["additionalProperties"] = {
          {"type", "object"},
          {"additionalProperties", {{"type", "array"}, {"items", {{"type", "string"}}}}}};
      break;
    case kDomains:
      schema["type"] = "object";
      schema["additionalProperties"] = {{"$ref", "#/$defs/domain"}};
      break;
  }
  schema["description"] = key.meaning;
  return schema;
}

Json schema_of(std::span<const KeySpec> keys) {
  Json schema = {{"type", "object"}, {"additionalProperties", false}};
  schema["properties"] = Json::object();
  for (const KeySpec& key : keys) schema["properties"][std::string(key.name)] = schema_of(key);
  return schema;
}

}  // namespace

std::span<const KeySpec> file_keys() { return kFileKeys; }
std::span<const KeySpec> domain_keys() { return kDomainKeys; }

const KeySpec* find_key(std::span<const KeySpec> keys, std::string_view name) {
  const auto found =
      std::find_if(keys.begin(), keys.end(), [&](const KeySpec& key) { return key.name == name; });
  return found == keys.end() ? nullptr : &*found;
}

std::string_view nearest_key(std::span<const KeySpec> keys, std::string_view name) {
  if (name.size() > 64) return "";  // no known key is near, and the distance costs its product
  size_t best = std::max<size_t>(2, name.size() / 3) + 1;
  std::string_view nearest;
  for (const KeySpec& key : keys) {
    const size_t distance = edit_distance(name, key.name);
    if (distance < best) {
      best = distance;
      nearest = key.name;
    }
  }
  return nearest;
}

Status check_value(const KeySpec& key, const Json& value) {
  if (value.is_null()) return Ok{};
  switch (key.kind) {
    case kString:
      if (!value.is_string()) return wrong(key, value, "a string");
      return Ok{};
    case kBool:
      if (!value.is_boolean()) return wrong(key, value, "true or false");
      return Ok{};
    case kInteger:
      if (!value.is_number_integer()) return wrong(key, value, "a whole number");
      return check_range(key, value, "a whole number");
    case kNumber:
      if (!value.is_number()) return wrong(key, value, "a number");
      return check_range(key, value, "a number");
    case kStringList:
      if (!all_strings(value)) return wrong(key, value, "a list of strings");
      return Ok{};
    case kNumberMap:
      return check_number_map(key, value);
    case kObject:
      return check_object(key, value);
    case kTeams:
      return check_teams(key, value);
    case kDomains:
      if (!value.is_object()) return wrong(key, value, "an object");
      return Ok{};
  }
  return Ok{};
}

Json domain_config_schema() {
  Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                 {"title", "localai domain configuration"}};
  schema.update(schema_of(file_keys()));
  schema["required"] = {"domains"};
  schema["$defs"] = {{"domain", schema_of(domain_keys())}};
  return schema;
}

}  // namespace localai::runtime
