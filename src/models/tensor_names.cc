#include "models/tensor_names.h"

namespace localai::models {

std::string layer_tensor_name(std::string_view pattern, uint32_t layer) {
  std::string name(pattern);
  if (const size_t at = name.find("{}"); at != std::string::npos)
    name.replace(at, 2, std::to_string(layer));
  return name;
}

TensorNames::TensorNames(const ArchSpec& spec, const formats::Checkpoint& checkpoint)
    : spec_(spec), checkpoint_(checkpoint) {
  const std::string prefix(spec.optional_prefix);
  if (checkpoint.gguf() == nullptr &&
      checkpoint.find(prefix + std::string(spec.tensors.front().hf)) != nullptr)
    prefix_ = prefix;
}

std::string TensorNames::spelled(std::string_view pattern, uint32_t layer) const {
  std::string name = layer_tensor_name(pattern, layer);
  if (name.empty()) return name;
  name.insert(0, prefix_);
  if (checkpoint_.gguf() != nullptr || checkpoint_.find(name) != nullptr) return name;
  for (const OldEnding& ending : spec_.old_endings) {
    if (!name.ends_with(ending.now)) continue;
    std::string old = name.substr(0, name.size() - ending.now.size()) + std::string(ending.then);
    if (checkpoint_.find(old) != nullptr) return old;
  }
  return name;
}

}  // namespace localai::models
