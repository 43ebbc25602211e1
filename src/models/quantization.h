#pragma once
// Which element type each tensor of a model gets under a name such as Q4_K_M. The names and rules
// are those of llama.cpp's quantizer without an importance matrix, so that files are
// interchangeable. Used offline (models/quantize_file.h) and while loading.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor_view.h"

namespace localai::models {

struct QuantizationType {
  std::string_view name;   // "Q4_K_M"
  DType dtype;             // of most tensors
  uint32_t file_type;      // general.file_type
  std::string_view about;  // one line for --help
};

std::span<const QuantizationType> quantization_types();
// By name, in any case; Q4_K and Q5_K mean their _M forms. Null: there is no such type.
const QuantizationType* find_quantization(std::string_view name);
std::string quantization_names();  // "Q4_0, Q4_1, ...", for messages
// Those that weights may be quantized to while loading.
std::string load_quantization_names();
// As find_quantization(), but only those. Null: not one of them.
const QuantizationType* find_load_quantization(std::string_view name);

// What the rules look at besides the tensors themselves.
struct MixFacts {
  std::string architecture;  // as in general.architecture
  uint64_t layers = 0, heads = 0, kv_heads = 0, experts = 0;
};

struct MixTensor {
  std::string name;  // as in GGUF
  DType dtype = DType::kF32;
  Shape shape;
};

// The type of each tensor, in the order given. What has less than two dimensions, is a norm, a
// router or the like keeps the type it has.
std::vector<DType> choose_types(const QuantizationType& type, const MixFacts& facts,
                                std::span<const MixTensor> tensors);

}  // namespace localai::models
