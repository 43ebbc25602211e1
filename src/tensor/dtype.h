#pragma once
// Element types: plain numbers and the ggml block formats. One row a type; adding a quantization
// starts here (docs/ARCHITECTURE.md, "Add a quantization").
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace localai {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kF64,
  kI8,
  kI16,
  kI32,
  kI64,
  kU8,
  kBool,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kQ2_K,
  kQ3_K,
  kQ8_K,  // ggml's activation format: readable, but no weights
  kIQ4_NL,
  kIQ4_XS,
  kMXFP4,
  kF8_E4M3,
  kF8_E5M2,
};
inline constexpr size_t kDTypeCount = 26;

struct DTypeInfo {
  DType dtype;
  std::string_view name;  // as GGUF tools print it: "F32", "Q4_K"
  int32_t ggml_id;        // in GGUF tensor infos; -1: not a GGUF type
  uint32_t block_elements;
  uint32_t block_bytes;
};

const DTypeInfo& dtype_info(DType dtype);
inline std::string_view dtype_name(DType dtype) { return dtype_info(dtype).name; }
std::optional<DType> dtype_from_ggml(uint32_t ggml_id);
// What a GGUF id is called even if it cannot be read ("IQ2_XXS"), or "" when no one defined it.
std::string_view ggml_type_name(uint32_t ggml_id);
// "F32", "BF16", "I64" ... as safetensors headers spell them.
std::optional<DType> dtype_from_safetensors(std::string_view name);

// Bytes of `elements` contiguous values, or nothing on overflow or if they fill no whole blocks.
std::optional<uint64_t> dtype_bytes(DType dtype, uint64_t elements);

}  // namespace localai
