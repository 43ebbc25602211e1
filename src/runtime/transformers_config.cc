#include "runtime/transformers_config.h"

#include <algorithm>

#include "net/client.h"
#include "runtime/model_catalog.h"

namespace localai::runtime {
namespace {

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

Status one_of(const char* key, const std::string& value,
              std::initializer_list<std::string_view> allowed) {
  if (value.empty() || std::find(allowed.begin(), allowed.end(), value) != allowed.end())
    return Ok{};
  std::string list;
  for (const std::string_view item : allowed)
    list += (list.empty() ? "" : ", ") + std::string(item);
  return invalid("transformers_config." + std::string(key) + ": '" + value + "' is not one of " +
                 list);
}

// As the service takes it: null, or {"bits", "type"?, "double_quant"?, "compute_dtype"?}.
Result<Json> read_quantization(const Json& config) {
  const std::string name = text_of(config, "quantization");
  const std::string compute = text_of(config, "compute_dtype");
  const bool twice = config.value("double_quant", Json()) == true;
  LAI_TRY_STATUS(one_of("quantization", name, {"4bit", "nf4", "fp4", "8bit"}));
  LAI_TRY_STATUS(one_of("compute_dtype", compute, {"float32", "bfloat16", "float16"}));
  if (name.empty() && (twice || !compute.empty()))
    return invalid("transformers_config: double_quant and compute_dtype need 'quantization'");
  if (name == "8bit" && twice)
    return invalid("transformers_config.double_quant: only 4 bits are quantized twice");
  if (name.empty()) return Json();
  Json out = {{"bits", name == "8bit" ? 8 : 4}};
  if (name != "8bit") out["type"] = name == "fp4" ? "fp4" : "nf4";
  if (twice) out["double_quant"] = true;
  if (!compute.empty()) out["compute_dtype"] = compute;
  return out;
}

}  // namespace

Result<std::string> service_base_url(std::string_view url) {
  constexpr std::string_view kEndpoint = "/v1/chat/completions", kVersion = "/v1";
  LAI_TRY(const net::Upstream upstream, net::parse_upstream(url));
  std::string_view base = url;
  while (base.ends_with('/')) base.remove_suffix(1);
  if (base.ends_with(kEndpoint))
    base.remove_suffix(kEndpoint.size());
  else if (base.ends_with(kVersion))
    base.remove_suffix(kVersion.size());
  else if (upstream.prefix.find("/v1/") != std::string::npos)
    return unsupported("'" + std::string(url) +
                       "' is not in this build: of a service's endpoints it calls " +
                       std::string(kEndpoint));
  return std::string(base);
}

Result<ServiceModel> read_service_model(const Json& domain, const Settings& settings) {
  const auto section = domain.find("transformers_config");
  const Json config =
      section != domain.end() && section->is_object() ? Json(*section) : Json::object();
  ServiceModel model;
  std::string url = settings.transformers_base_url;
  if (const std::string endpoint = text_of(config, "endpoint"); !endpoint.empty()) {
    // Also where the variable goes before it: a domain for translation is none for chat.
    LAI_TRY(const std::string base, service_base_url(endpoint), "transformers_config.endpoint");
    if (url.empty()) url = base;
  }
  model.base_url = std::move(url);
  model.name = text_of(config, "model_name");
  if (model.name.empty()) model.name = text_of(domain, "model_name");
  if (model.name.empty()) model.name = model_name_of(text_of(domain, "model_path"));
  model.dtype = text_of(config, "dtype");
  LAI_TRY_STATUS(one_of("dtype", model.dtype, {"float32", "bfloat16", "float16"}));
  LAI_TRY(model.quantization, read_quantization(config));
  if (const auto limit = config.find("timeout_seconds");
      limit != config.end() && limit->is_number_integer() && *limit > 0)
    model.timeout_seconds = limit->get<uint32_t>();
  for (const char* key : {"quantize", "kv_cache_type"})
    if (!text_of(domain, key).empty())
      return unsupported("'" + std::string(key) + "' is a setting of the native engine; for " +
                         "hf-transformers there are transformers_config.dtype and .quantization");
  return model;
}

}  // namespace localai::runtime
