#include "engine/logits.h"

#include <algorithm>
#include <cmath>

namespace localai::engine {

double log_sum_exp(std::span<const float> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - top);
  return top + std::log(sum);
}

double kl_divergence(std::span<const float> reference, double reference_total,
                     std::span<const float> other, double other_total) {
  double kl = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    const double log_p = reference[i] - reference_total;
    const double p = std::exp(log_p);
    if (p != 0) kl += p * (log_p - (other[i] - other_total));
  }
  return kl;
}

size_t first_choice(std::span<const float> logits) {
  return static_cast<size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace localai::engine
