#include "runtime/routing_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/json.h"

namespace localai::runtime {
namespace {

// How far the covariance is drawn toward a ball, and how sharp the softmax is: the best of a
// cross-validation over tests/data/routing_tuning.jsonl and most of config/routing_examples.jsonl.
constexpr double kShrinkage = 2.0;
constexpr double kSharpness = 0.5;
constexpr size_t kDimensionMax = 1 << 14;

using Matrix = std::vector<double>;  // [dimension, dimension], rows first

struct Means {
  std::vector<std::vector<double>> of;  // by domain
  std::vector<size_t> count;
};

Means means_of(size_t domains, size_t dimension, std::span<const FitSample> samples) {
  Means means{std::vector(domains, std::vector<double>(dimension)), std::vector<size_t>(domains)};
  for (const FitSample& sample : samples) {
    ++means.count[sample.domain];
    for (size_t i = 0; i < dimension; ++i)
      means.of[sample.domain][i] += static_cast<double>((*sample.vector)[i]);
  }
  for (size_t d = 0; d < domains; ++d)
    for (double& value : means.of[d])
      value /= static_cast<double>(std::max<size_t>(means.count[d], 1));
  return means;
}

// Within the domains, lower triangle, shrunk toward the mean variance; never singular.
Matrix covariance_of(const Means& means, size_t dimension, std::span<const FitSample> samples) {
  Matrix sum(dimension * dimension);
  std::vector<double> off(dimension);
  for (const FitSample& sample : samples) {
    for (size_t i = 0; i < dimension; ++i)
      off[i] = static_cast<double>((*sample.vector)[i]) - means.of[sample.domain][i];
    for (size_t i = 0; i < dimension; ++i)
      for (size_t j = 0; j <= i; ++j) sum[i * dimension + j] += off[i] * off[j];
  }
  double trace = 0;
  for (double& value : sum) value /= static_cast<double>(samples.size());
  for (size_t i = 0; i < dimension; ++i) trace += sum[i * dimension + i];
  // One sample a domain has no spread at all: then it is the nearest mean that counts.
  const double mean_variance =
      trace > 1e-9 ? trace / static_cast<double>(dimension) : 1 / static_cast<double>(dimension);
  for (size_t i = 0; i < dimension; ++i) sum[i * dimension + i] += kShrinkage * mean_variance;
  return sum;
}

// In place: the lower triangle becomes L of A = L L^T. A is positive definite.
void cholesky(Matrix& a, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j <= i; ++j) {
      double sum = a[i * n + j];
      for (size_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = i == j ? std::sqrt(sum) : sum / a[j * n + j];
    }
  }
}

std::vector<double> solve(const Matrix& lower, std::vector<double> x) {
  const size_t n = x.size();
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k) x[i] -= lower[i * n + k] * x[k];
    x[i] /= lower[i * n + i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k) x[i] -= lower[k * n + i] * x[k];
    x[i] /= lower[i * n + i];
  }
  return x;
}

Result<HeadRow> parse_row(const std::string& id, const Json& row, size_t dimension) {
  const auto fault = [&](const char* what) { return invalid("domains: '" + id + "': " + what); };
  if (!row.is_object()) return fault("must be an object");
  const auto bias = row.find("bias"), weights = row.find("weights");
  if (bias == row.end() || !bias->is_number()) return fault("'bias' must be a number");
  if (weights == row.end() || !weights->is_array() || weights->size() != dimension)
    return fault("'weights' must be an array of 'dimension' numbers");
  HeadRow out{id, bias->get<float>(), {}};
  for (const Json& weight : *weights) {
    if (!weight.is_number()) return fault("'weights' must be an array of 'dimension' numbers");
    out.weights.push_back(weight.get<float>());
  }
  const auto finite = [](float value) { return std::isfinite(value); };
  if (!finite(out.bias) || !std::all_of(out.weights.begin(), out.weights.end(), finite))
    return fault("a number is not finite");
  return out;
}

}  // namespace

std::vector<float> RoutingHead::probabilities(const std::vector<float>& vector) const {
  std::vector<double> logits;
  for (const HeadRow& row : rows) {
    double sum = static_cast<double>(row.bias);
    for (size_t i = 0; i < std::min(vector.size(), row.weights.size()); ++i)
      sum += static_cast<double>(row.weights[i]) * static_cast<double>(vector[i]);
    logits.push_back(sum);
  }
  if (logits.empty()) return {};
  const double top = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (double& logit : logits) total += logit = std::exp(logit - top);
  std::vector<float> out;
  out.reserve(logits.size());
  for (const double logit : logits) out.push_back(static_cast<float>(logit / total));
  return out;
}

Result<RoutingHead> fit_routing_head(std::string embedder, const std::vector<std::string>& domains,
                                     std::span<const FitSample> samples) {
  if (samples.empty()) return invalid("no example tells what a domain is asked");
  const size_t dimension = samples.front().vector->size();
  for (const FitSample& sample : samples)
    if (sample.vector->size() != dimension || dimension > kDimensionMax)
      return invalid("the examples' vectors differ in length, or are too long");
  const Means means = means_of(domains.size(), dimension, samples);
  Matrix lower = covariance_of(means, dimension, samples);
  cholesky(lower, dimension);
  RoutingHead head{std::move(embedder), {}};
  for (size_t d = 0; d < domains.size(); ++d) {
    if (means.count[d] == 0) continue;
    const std::vector<double> direction = solve(lower, means.of[d]);
    HeadRow row{domains[d], 0, {}};
    double half = 0;
    for (size_t i = 0; i < dimension; ++i) {
      row.weights.push_back(static_cast<float>(kSharpness * direction[i]));
      half += 0.5 * direction[i] * means.of[d][i];
    }
    row.bias = static_cast<float>(-kSharpness * half);
    head.rows.push_back(std::move(row));
  }
  return head;
}

std::string write_routing_head(const RoutingHead& head) {
  const size_t dimension = head.rows.empty() ? 0 : head.rows.front().weights.size();
  std::string out = fmt::format("{{\n \"embedder\": {},\n \"dimension\": {},\n \"domains\": {{",
                                Json(head.embedder).dump(), dimension);
  const char* comma = "\n";
  for (const HeadRow& row : head.rows) {
    out += fmt::format("{}  {}: {{\"bias\": {:.4f}, \"weights\": [", comma, Json(row.domain).dump(),
                       row.bias);
    for (size_t i = 0; i < row.weights.size(); ++i)
      out += fmt::format("{}{:.3f}", i == 0 ? "" : ",", row.weights[i]);
    out += "]}";
    comma = ",\n";
  }
  return out + "\n }\n}\n";
}

Result<RoutingHead> parse_routing_head(std::string_view json) {
  LAI_TRY(const Json root, parse_json(json));
  if (!root.is_object()) return invalid("must be an object");
  const auto embedder = root.find("embedder"), dimension = root.find("dimension"),
             domains = root.find("domains");
  if (embedder == root.end() || !embedder->is_string()) return invalid("'embedder' must be a text");
  if (dimension == root.end() || !dimension->is_number_unsigned() ||
      dimension->get<uint64_t>() == 0 || dimension->get<uint64_t>() > kDimensionMax)
    return invalid(fmt::format("'dimension' must be within 1..{}", kDimensionMax));
  if (domains == root.end() || !domains->is_object()) return invalid("'domains' must be an object");
  RoutingHead head{embedder->get<std::string>(), {}};
  for (const auto& [id, row] : domains->items()) {
    LAI_TRY(HeadRow parsed, parse_row(id, row, dimension->get<size_t>()));
    head.rows.push_back(std::move(parsed));
  }
  return head;
}

}  // namespace localai::runtime
