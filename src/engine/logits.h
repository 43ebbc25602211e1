#pragma once
// What rows of logits say, and how far two of them are from each other. In double precision, in the
// order of the vocabulary: the numbers depend on nothing else.
#include <cstddef>
#include <span>

namespace localai::engine {

// log(sum(exp(logits))); `logits` has at least one.
double log_sum_exp(std::span<const float> logits);
// KL(reference || other) in nats, of two rows as long as each other and their log_sum_exp.
double kl_divergence(std::span<const float> reference, double reference_total,
                     std::span<const float> other, double other_total);
// The greatest one's index, the first of equals.
size_t first_choice(std::span<const float> logits);

}  // namespace localai::engine
