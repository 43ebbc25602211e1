#include "engine/convert/element_change.h"

#include <cmath>

namespace localai::engine {
namespace {

float plus_one(float w) { return w + 1.f; }
float minus_one(float w) { return w - 1.f; }
// As a load computes it (models/arch_granite_hybrid.cc), so that both formats give the same bits.
float minus_exp(float log) { return static_cast<float>(-std::exp(static_cast<double>(log))); }
float log_of_minus(float a) { return static_cast<float>(std::log(-static_cast<double>(a))); }
bool is_not_positive(float a) { return a <= 0.f; }

constexpr ElementChange kPlusOne{plus_one, minus_one, nullptr, ""};
constexpr ElementChange kMinusOne{minus_one, plus_one, nullptr, ""};
constexpr ElementChange kMinusExp{minus_exp, log_of_minus, nullptr, ""};
constexpr ElementChange kLogOfMinus{log_of_minus, minus_exp, is_not_positive,
                                    "-exp(A_log) is expected, which is negative"};

}  // namespace

const ElementChange* change_of(const models::TensorRow& row, const models::ArchSpec& spec,
                               bool to_gguf) {
  if (row.norm && spec.norm_minus_one) return to_gguf ? &kPlusOne : &kMinusOne;
  if (row.slot == models::Slot(&models::LayerWeights::mamba_a))
    return to_gguf ? &kMinusExp : &kLogOfMinus;
  return nullptr;
}

}  // namespace localai::engine
