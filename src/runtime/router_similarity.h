#pragma once
// How near a text is to what the domains are asked, by the vectors of an embedding model.
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/domain_config.h"
#include "runtime/embedder.h"
#include "runtime/routing_head.h"

namespace localai::runtime {

// What of a text is embedded: its beginning and, of a longer one, its end.
inline constexpr size_t kEmbeddedHeadBytes = 320;
inline constexpr size_t kEmbeddedTailBytes = 96;
// `text` is valid UTF-8, and so is the result.
std::string embedded_part(std::string_view text);

// A text that is known to belong to a domain.
struct RoutingExample {
  std::string text;
  size_t domain = 0;  // index in the config
};
// The domains' own descriptions and examples.
std::vector<RoutingExample> routing_examples(const DomainConfig& config);
// Embeds the examples and fits a head to them. Errors: the embedder's; no examples.
Result<RoutingHead> fit_routing_head(const DomainConfig& config, Embedder& embedder,
                                     const std::vector<RoutingExample>& examples);

// Thread-safe. The head is read from the file that the config names, or fitted to the domains' own
// texts, when it is first needed.
class Similarity {
 public:
  Similarity(const DomainConfig& config, std::shared_ptr<Embedder> embedder);

  // By domain, how likely the text is for it; they add up to 1. 0 for one the head does not know.
  // Errors: the embedder's, or why there is no head.
  [[nodiscard]] Result<std::vector<float>> of(const std::string& text) const;

 private:
  struct Prepared {
    std::mutex mutex;
    std::optional<Result<RoutingHead>> head;  // its rows are domains of the config
  };
  [[nodiscard]] Result<RoutingHead> prepare() const;
  [[nodiscard]] Result<const RoutingHead*> head() const;

  std::shared_ptr<Embedder> embedder_;
  std::filesystem::path head_file_;  // "": none is named
  DomainConfig config_;              // ids and texts alone
  std::unique_ptr<Prepared> prepared_;
};

}  // namespace localai::runtime
