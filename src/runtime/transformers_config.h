#pragma once
// From a domain's settings to the model of a Transformers service that answers for it.
#include "base/json.h"
#include "base/result.h"
#include "runtime/service_model.h"
#include "runtime/settings.h"

namespace localai::runtime {

// Of a domain with the backend hf-transformers: its `transformers_config`, else `model_name`, else
// the folder of `model_path`. The kinds of the values were checked before. TRANSFORMERS_BASE_URL
// goes before the endpoint. Errors, naming the key: kInvalidArgument; kUnsupported (an endpoint of
// another kind than chat, a setting of the native engine).
Result<ServiceModel> read_service_model(const Json& domain, const Settings& settings);

// The URL of a service without the path of an endpoint: "http://host:9090/v1/chat/completions" and
// "http://host:9090/v1" are "http://host:9090". Errors: kInvalidArgument, kUnsupported.
Result<std::string> service_base_url(std::string_view url);

}  // namespace localai::runtime
