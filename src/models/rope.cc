#include "models/rope.h"

#include <cmath>
#include <numbers>
#include <optional>

namespace localai::models {
namespace {

// llama3: long wavelengths are stretched by `factor`, short ones kept, the ones between blended.
double scale_llama3(const RopeParameters& p, double frequency) {
  const double wavelength = 2.0 * std::numbers::pi / frequency;
  if (wavelength < p.original_context / p.high_freq_factor) return frequency;
  if (wavelength > p.original_context / p.low_freq_factor) return frequency / p.factor;
  const double smooth = (p.original_context / wavelength - p.low_freq_factor) /
                        (p.high_freq_factor - p.low_freq_factor);
  return frequency * ((1.0 - smooth) / p.factor + smooth);
}

Status set_scaling(const std::string& type, const std::string& where, RopeParameters& out) {
  if (type == "default" || type == "none") {
    out.scaling = RopeScaling::kNone;
  } else if (type == "linear") {
    out.scaling = RopeScaling::kLinear;
  } else if (type == "llama3") {
    out.scaling = RopeScaling::kLlama3;
  } else if (type == "longrope" || type == "su") {  // "su": the first Phi-3 files
    out.scaling = RopeScaling::kLongRope;
  } else {
    return unsupported(where + ": RoPE scaling '" + type +
                       "' is not supported (default, linear, llama3 and longrope are)");
  }
  return Ok{};
}

Status read_field(const Json& object, std::string_view key, const std::string& where, bool required,
                  double& out) {
  LAI_TRY(const std::optional<double> value, json_number(object, key, where));
  if (!value && required) return corrupt(where + ": key '" + std::string(key) + "' is missing");
  out = value.value_or(out);
  return Ok{};
}

Status read_factors(const Json& object, std::string_view key, const std::string& where,
                    std::vector<float>& out) {
  const auto found = object.find(std::string(key));
  const auto fail = [&](const std::string& what) {
    return corrupt(where + ": key '" + std::string(key) + "': " + what);
  };
  if (found == object.end() || !found->is_array()) return fail("expected an array of numbers");
  out.clear();
  for (const Json& factor : *found) {
    if (!factor.is_number()) return fail("expected numbers, got " + dump_json(factor));
    out.push_back(factor.get<float>());
  }
  return Ok{};
}

// LongRoPE of config.json. `factor`, the stretch of the context, may be missing: then, as in
// transformers, the ratio of the two context lengths stands for it.
Status read_long_rope(const Json& object, const std::string& where, RopeParameters& out) {
  LAI_TRY_STATUS(read_factors(object, "short_factor", where, out.short_factors));
  LAI_TRY_STATUS(read_factors(object, "long_factor", where, out.long_factors));
  out.factor = out.attention_factor = out.original_context = 0.0;  // not stated
  LAI_TRY_STATUS(read_field(object, "factor", where, false, out.factor));
  LAI_TRY_STATUS(read_field(object, "attention_factor", where, false, out.attention_factor));
  return read_field(object, "original_max_position_embeddings", where, false, out.original_context);
}

// What depends on the model's context length. The top level's key comes before the object's own.
Status finish_long_rope(const Metadata& metadata, RopeParameters& out) {
  constexpr Key kContext{"", "max_position_embeddings"};
  constexpr Key kOriginal{"", "original_max_position_embeddings"};
  LAI_TRY(out.original_context, metadata.number_or(kOriginal, out.original_context));
  LAI_TRY(const double context, metadata.number_or(kContext, out.original_context));
  if (out.factor == 0.0) out.factor = context / out.original_context;
  if (out.attention_factor == 0.0)
    out.attention_factor =
        out.factor <= 1.0 ? 1.0
                          : std::sqrt(1.0 + std::log(out.factor) / std::log(out.original_context));
  return Ok{};
}

Status read_gguf_scaling(const Metadata& metadata, RopeParameters& out) {
  constexpr Key kType{"rope.scaling.type", ""};
  constexpr Key kFactor{"rope.scaling.factor", ""};
  constexpr Key kContext{"context_length", ""};
  LAI_TRY(out.attention_factor, metadata.number_or({"rope.scaling.attn_factor", ""}, 1.0));
  LAI_TRY(const double context, metadata.number_or(kContext, out.original_context));
  LAI_TRY(out.original_context,
          metadata.number_or({"rope.scaling.original_context_length", ""}, context));
  LAI_TRY(const std::optional<std::string> type, metadata.string(kType));
  if (!type) return Ok{};
  LAI_TRY_STATUS(set_scaling(*type, metadata.file() + ": " + metadata.describe(kType), out));
  if (out.scaling == RopeScaling::kLlama3)
    return metadata.error(Code::kUnsupported, kType, "'llama3' is given by rope_freqs.weight");
  LAI_TRY(out.factor, metadata.number_or(kFactor, 1.0));
  return Ok{};
}

}  // namespace

std::vector<double> rope_frequencies(const RopeParameters& p, std::span<const float> divisors) {
  std::vector<double> out(p.rotary / 2);
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = std::pow(p.base, -2.0 * static_cast<double>(i) / static_cast<double>(p.rotary));
    if (!divisors.empty()) {
      out[i] /= static_cast<double>(divisors[i]);
    } else if (p.scaling == RopeScaling::kLinear) {
      out[i] /= p.factor;
    } else if (p.scaling == RopeScaling::kLlama3) {
      out[i] = scale_llama3(p, out[i]);
    }
  }
  return out;
}

void rope_angles(std::span<const double> frequencies, uint32_t position, double factor, float* cos,
                 float* sin) {
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double angle = static_cast<double>(position) * frequencies[i];
    cos[i] = static_cast<float>(std::cos(angle) * factor);
    sin[i] = static_cast<float>(std::sin(angle) * factor);
  }
}

Status read_rope_object(const Json& object, const std::string& where, RopeParameters& out) {
  if (!object.is_object()) return corrupt(where + ": expected an object");
  LAI_TRY_STATUS(read_field(object, "rope_theta", where, false, out.base));
  LAI_TRY(std::optional<std::string> type, json_string(object, "rope_type", where));
  if (!type) {
    LAI_TRY(type, json_string(object, "type", where));
  }
  LAI_TRY_STATUS(set_scaling(type.value_or("default"), where, out));
  if (out.scaling == RopeScaling::kNone) return Ok{};
  if (out.scaling == RopeScaling::kLongRope) return read_long_rope(object, where, out);
  LAI_TRY_STATUS(read_field(object, "factor", where, true, out.factor));
  if (out.scaling == RopeScaling::kLinear) return Ok{};
  LAI_TRY_STATUS(read_field(object, "low_freq_factor", where, true, out.low_freq_factor));
  LAI_TRY_STATUS(read_field(object, "high_freq_factor", where, true, out.high_freq_factor));
  return read_field(object, "original_max_position_embeddings", where, true, out.original_context);
}

Status read_rope(const Metadata& metadata, uint32_t head_dim, RopeParameters& out) {
  LAI_TRY(out.base, metadata.number_or({"rope.freq_base", "rope_theta"}, out.base));
  LAI_TRY(out.rotary, metadata.dimension({"rope.dimension_count", ""}, head_dim, head_dim));
  if (metadata.is_gguf()) return read_gguf_scaling(metadata, out);
  const std::string file = metadata.file() + ": config.json: ";
  LAI_TRY(double part, metadata.number_or({"", "partial_rotary_factor"}, 1.0));
  for (const std::string_view key : {"rope_scaling", "rope_parameters"}) {
    const Json* object = metadata.config(key);
    if (object == nullptr) continue;
    LAI_TRY_STATUS(read_rope_object(*object, file + std::string(key), out));
    LAI_TRY_STATUS(
        read_field(*object, "partial_rotary_factor", file + std::string(key), false, part));
  }
  if (!(part > 0.0 && part <= 1.0))
    return metadata.error(Code::kCorrupt, {"", "partial_rotary_factor"}, "not within 0..1");
  out.rotary = static_cast<uint32_t>(head_dim * part);
  return out.scaling == RopeScaling::kLongRope ? finish_long_rope(metadata, out) : Ok{};
}

Status check_rope(const Metadata& metadata, uint32_t head_dim, const RopeParameters& rope) {
  const auto fail = [&](const std::string& what) {
    return corrupt(metadata.file() + ": RoPE: " + what);
  };
  if (!(rope.base > 0.0)) return fail("the base frequency has to be positive");
  if (!(rope.factor > 0.0)) return fail("the scaling factor has to be positive");
  if (!(rope.attention_factor > 0.0 && std::isfinite(rope.attention_factor)))
    return fail("the attention factor has to be positive");
  if (!(rope.original_context >= 1.0 && rope.original_context <= 1u << 30))
    return fail("the original context length has to be within 1.." + std::to_string(1u << 30));
  if (rope.rotary == 0 || rope.rotary % 2 != 0 || rope.rotary > head_dim)
    return fail(std::to_string(rope.rotary) +
                " rotated elements, which has to be even and within " + std::to_string(head_dim));
  if (rope.scaling == RopeScaling::kLlama3 &&
      !(rope.low_freq_factor > 0.0 && rope.high_freq_factor > rope.low_freq_factor))
    return fail("llama3 scaling needs 0 < low_freq_factor < high_freq_factor");
  for (const std::vector<float>* factors : {&rope.short_factors, &rope.long_factors})
    if (!factors->empty() && factors->size() != rope.rotary / 2)
      return fail(std::to_string(factors->size()) + " LongRoPE factors for " +
                  std::to_string(rope.rotary / 2) + " pairs");
  return Ok{};
}

}  // namespace localai::models
