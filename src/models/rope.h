#pragma once
// Rotary position embedding: frequencies from a checkpoint's parameters, and the angles of a
// position. Source: RoFormer (arXiv 2104.09864); scaling as in transformers' modeling_rope_utils.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "models/metadata.h"

namespace localai::models {

enum class RopeScaling : uint8_t { kNone, kLinear, kLlama3, kLongRope };

struct RopeParameters {
  double base = 10000.0;
  uint32_t rotary = 0;  // rotated elements of a head, even
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;
  double low_freq_factor = 1.0, high_freq_factor = 4.0;  // llama3
  double original_context = 8192.0;                      // llama3, LongRoPE
  // LongRoPE: divisors of each frequency for sequences up to original_context and for longer ones.
  // Given by config.json; GGUF files hold them as tensors.
  std::vector<float> short_factors = {}, long_factors = {};
  double attention_factor = 1.0;  // multiplies cos and sin, and so scores by its square

  [[nodiscard]] bool operator==(const RopeParameters&) const = default;
};

// Radians per position for each of the rotary/2 pairs.
// `divisors` (LongRoPE's factors, GGUF rope_freqs.weight) is empty, or divides each unscaled
// frequency.
std::vector<double> rope_frequencies(const RopeParameters& parameters,
                                     std::span<const float> divisors);

// cos and sin [frequencies.size()] of one position, times `factor`; the angle is taken in double,
// since position * frequency reaches 1e5 radians.
void rope_angles(std::span<const double> frequencies, uint32_t position, double factor, float* cos,
                 float* sin);

// Fills base and scaling from one config.json object: "rope_parameters" (or its part for a layer
// type), or "rope_scaling". Errors: kUnsupported (a scaling type, named), kCorrupt.
Status read_rope_object(const Json& object, const std::string& where, RopeParameters& out);

// Base and scaling of a model with one kind of RoPE: GGUF keys or both generations of config.json.
// `out.rotary` is set to head_dim where nothing else is stated; LongRoPE's attention factor follows
// from the two context lengths where nothing else is stated.
Status read_rope(const Metadata& metadata, uint32_t head_dim, RopeParameters& out);

// A base frequency has to be positive, a factor too, and `rotary` even and within the head; one
// LongRoPE factor a pair.
Status check_rope(const Metadata& metadata, uint32_t head_dim, const RopeParameters& rope);

}  // namespace localai::models
