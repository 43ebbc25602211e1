#include "runtime/router_similarity.h"

#include <algorithm>

#include "base/file.h"
#include "base/utf8.h"

namespace localai::runtime {
namespace {

constexpr uint64_t kHeadBytesMax = uint64_t{64} << 20;

// Where the character that holds byte `at` begins.
size_t character_start(std::string_view text, size_t at) {
  while (at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

// Is it an error that may be gone the next time (the embedder has no room yet)?
bool is_passing(const Result<RoutingHead>& head) {
  return !head.ok() &&
         (head.error().code == Code::kExhausted || head.error().code == Code::kUnavailable);
}

}  // namespace

std::string embedded_part(std::string_view text) {
  if (text.size() <= kEmbeddedHeadBytes + kEmbeddedTailBytes) return std::string(text);
  std::string out(text.substr(0, character_start(text, kEmbeddedHeadBytes)));
  out += '\n';
  return out.append(text.substr(character_start(text, text.size() - kEmbeddedTailBytes)));
}

std::vector<RoutingExample> routing_examples(const DomainConfig& config) {
  std::vector<RoutingExample> out;
  for (size_t i = 0; i < config.domains.size(); ++i) {
    const Domain& domain = config.domains[i];
    if (!domain.description.empty()) out.push_back({domain.description, i});
    for (const std::string& example : domain.examples)
      if (!example.empty()) out.push_back({example, i});
  }
  return out;
}

Result<RoutingHead> fit_routing_head(const DomainConfig& config, Embedder& embedder,
                                     const std::vector<RoutingExample>& examples) {
  std::vector<std::string> texts, ids;
  for (const RoutingExample& example : examples)
    texts.push_back(embedded_part(sanitize_utf8(example.text)));
  for (const Domain& domain : config.domains) ids.push_back(domain.id);
  LAI_TRY(const auto vectors, embedder.embed(texts));
  std::vector<FitSample> samples;
  for (size_t i = 0; i < examples.size(); ++i) samples.push_back({&vectors[i], examples[i].domain});
  return fit_routing_head(config.routing.embedder, ids, samples);
}

Similarity::Similarity(const DomainConfig& config, std::shared_ptr<Embedder> embedder)
    : embedder_(std::move(embedder)), prepared_(std::make_unique<Prepared>()) {
  if (!config.routing.head.empty()) head_file_ = config.file.parent_path() / config.routing.head;
  config_.routing = config.routing;
  for (const Domain& domain : config.domains) {
    Domain kept;
    kept.id = domain.id;
    kept.description = domain.description;
    kept.examples = domain.examples;
    config_.domains.push_back(std::move(kept));
  }
}

Result<RoutingHead> Similarity::prepare() const {
  if (head_file_.empty()) return fit_routing_head(config_, *embedder_, routing_examples(config_));
  LAI_TRY(const std::string text, read_file(head_file_, kHeadBytesMax), "routing: head");
  LAI_TRY(RoutingHead head, parse_routing_head(text), head_file_.string());
  if (head.embedder != config_.routing.embedder)
    return invalid(head_file_.string() + ": made for the embedder '" + head.embedder +
                   "', the config names '" + config_.routing.embedder + "'");
  // A domain that is switched off takes no share.
  std::erase_if(head.rows, [&](const HeadRow& row) { return config_.find(row.domain) == nullptr; });
  return head;
}

Result<const RoutingHead*> Similarity::head() const {
  const std::lock_guard lock(prepared_->mutex);
  if (!prepared_->head || is_passing(*prepared_->head)) prepared_->head = prepare();
  if (!prepared_->head->ok()) return prepared_->head->error();
  return &**prepared_->head;
}

Result<std::vector<float>> Similarity::of(const std::string& text) const {
  LAI_TRY(const RoutingHead* fitted, head());
  const std::string part = embedded_part(text);
  LAI_TRY(const auto vectors, embedder_->embed(std::span(&part, 1)));
  const std::vector<float> likely = fitted->probabilities(vectors.front());
  std::vector<float> out(config_.domains.size());
  for (size_t i = 0; i < likely.size(); ++i) {
    const Domain* domain = config_.find(fitted->rows[i].domain);
    out[static_cast<size_t>(domain - config_.domains.data())] = likely[i];
  }
  return out;
}

}  // namespace localai::runtime
