#pragma once
// How a checkpoint spells the names in its architecture's table.
#include <cstdint>
#include <string>
#include <string_view>

#include "formats/checkpoint.h"
#include "models/arch.h"

namespace localai::models {

// `pattern` with the layer's number in place of "{}".
std::string layer_tensor_name(std::string_view pattern, uint32_t layer);

class TensorNames {
 public:
  // Both are borrowed.
  TensorNames(const ArchSpec& spec, const formats::Checkpoint& checkpoint);

  // The name of the tensor, which need not be there; "" where the format has none.
  template <class Named>  // TensorRow or FusedTensor
  [[nodiscard]] std::string of(const Named& row, uint32_t layer) const {
    return spelled(checkpoint_.gguf() != nullptr ? row.gguf : row.hf, layer);
  }

 private:
  [[nodiscard]] std::string spelled(std::string_view pattern, uint32_t layer) const;

  const ArchSpec& spec_;
  const formats::Checkpoint& checkpoint_;
  std::string prefix_;  // before every name
};

}  // namespace localai::models
